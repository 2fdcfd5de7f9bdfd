// C = L Rᵀ by any form of kernel: packing, blocks, chunks that bound the memory, threads. What becomes of the sums is the
// caller's affair.
#pragma once
#include <functional>

#include "kernels/gemm/kernel.h"

namespace hearth {

/** Gets `count` finished sums of C from (row, column) on; called once for each part of C, by several threads. */
using Finish = std::function<void(int64_t row, int64_t column, int64_t count, const float* sums)>;

/** One side of a product: a matrix that lies in memory, or one that is only made as it is packed. */
struct Side {
  int64_t rows, depth;
  /** Packs the panels of a task, which are counted from row `row` on; called by several threads. */
  std::function<void(int64_t row, const PackTask& task)> pack;
};

/** A matrix in memory as L; it and the kernel must outlive the product. */
Side leftSide(const GemmKernel& kernel, const Operand& operand);
/** The same as R. */
Side rightSide(const GemmKernel& kernel, const Operand& operand);

/** Every sum is taken in one order, whatever the number of threads: depth from 0 on, block by block. */
void product(const GemmKernel& kernel, const Side& left, const Side& right, const Finish& finish);
void product(const GemmKernel& kernel, const Operand& left, const Operand& right, const Finish& finish);

}  // namespace hearth
