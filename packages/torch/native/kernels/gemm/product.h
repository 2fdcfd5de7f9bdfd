// C = L Rᵀ by any form of kernel: packing, blocks, chunks that bound the memory, threads. What becomes of the sums is the
// caller's affair.
#pragma once
#include <functional>

#include "kernels/gemm/kernel.h"

namespace hearth {

/** Gets `count` finished sums of C from (row, column) on; called once for each part of C, by several threads. */
using Finish = std::function<void(int64_t row, int64_t column, int64_t count, const float* sums)>;

/** Every sum is taken in one order, whatever the number of threads: depth from 0 on, block by block. */
void product(const GemmKernel& kernel, const Operand& left, const Operand& right, const Finish& finish);

}  // namespace hearth
