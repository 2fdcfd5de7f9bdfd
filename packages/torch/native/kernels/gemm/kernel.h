// What a form of matrix product must give: how it packs its operands into panels, and how it multiplies a block of panels.
// The blocks, the threads and the edges are the same for all forms, in product.cc. No ATen here: `*.simd.cc` include it.
//
// A panel holds some rows of an operand in the order in which the kernel reads them, in words of 32 bits: a float32, or
// two bfloat16 that follow each other in depth. Rows and depth are filled up with zeros.
#pragma once
#include "kernels/simd/forms.h"

namespace hearth {

/** One operand of C = L Rᵀ: L is (rows, depth), R too, C is (rows of L, rows of R). Strides in elements; one of them is 1. */
struct Operand {
  const void* data;
  int64_t elementSize;
  int64_t rows, depth;
  int64_t rowStride, depthStride;
};

/** A stretch of depth, in words from `word` on. `to` is where its first panel goes; panels follow each other. */
struct PackTask {
  int64_t firstPanel, lastPanel;
  int64_t word, words;
  uint32_t* to;
};

/** One block of C, and a stretch of depth that is added to it. */
struct BlockTask {
  const uint32_t* left;
  const uint32_t* right;
  int64_t leftPanels, columns, words;
  float* sums;
  int64_t sumsStride;
  /** Whether the sums begin here. */
  bool first;
};

struct GemmKernel {
  /** Rows of L and of R in a panel. */
  int leftRows, rightRows;
  /** Elements of depth in a word, and the multiple that depth is filled up to. */
  int wordDepth, depthStep;
  /** The most words that a block has in depth, so that a right panel stays in the first cache. */
  int blockWords;
  /** Panels of a block of C. */
  int blockLeftPanels, blockRightPanels;
  void (*packLeft)(const Operand& from, const PackTask& task);
  void (*packRight)(const Operand& from, const PackTask& task);
  void (*multiply)(const BlockTask& task);
};

struct GemmTable {
  /** float32. */
  GemmKernel floats;
  /** bfloat16, widened to float32 as it is packed. */
  GemmKernel widened;
  /** bfloat16 in pairs, by vdpbf16ps in the AVX-512 form and by its meaning elsewhere. */
  GemmKernel pairs;
};

struct TilesTable {
  /** bfloat16 by the matrix unit, AMX. */
  GemmKernel amx;
  /** The same, each tile instruction replaced by what Intel says it does: for tests. */
  GemmKernel emulated;
};

HEARTH_FORMS(GemmTable, gemmTable)
HEARTH_FORMS(TilesTable, tilesTable)

}  // namespace hearth
