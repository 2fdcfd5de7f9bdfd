// The loops of integer products (linear-integer.cc), one table a form; see simd/forms.h. Here is also how quantised weights
// lie in memory, which every form reads.
#pragma once
#include "kernels/simd/forms.h"

namespace hearth {

/** Weights of one output that share a scale; also numbers of a row of x that do. */
constexpr int64_t kGroup = 64;
/** Outputs that lie together: the lanes of one AVX-512 register, the columns of one AMX tile. */
constexpr int64_t kOutputs = 16;
/** Inputs whose products an instruction adds at once: vpmaddubsw and vpmaddwd here, vpdpbusd and AMX elsewhere. */
constexpr int64_t kQuad = 4;

/**
 * Bytes of one group of 16 outputs. With 8 bits [16 quads][16 outputs][4 inputs], each q + 128, which is a tile of AMX. With
 * 4 bits [8 quads][16 outputs][4 inputs]: the lower half of a byte holds q + 8 of input k, the upper half that of k + 32.
 */
constexpr int64_t bytesOfGroup(int64_t bits) { return kGroup * kOutputs * bits / 8; }

/** Rows of x as integers. */
struct IntegerRows {
  /** (rows, groups, 64), zeros behind the last input. */
  const int8_t* values;
  /** (rows, groups): of one unit. */
  const float* scales;
  /** (rows, groups): of the values. */
  const int32_t* sums;
  int64_t groups;
};

struct IntegerTable {
  /** One row of `count` floats to integers from -127 to 127, group by group. */
  void (*quantiseFloats)(const float* x, int64_t count, int8_t* values, float* scales, int32_t* sums);
  void (*quantiseHalves)(const BFloat16* x, int64_t count, int8_t* values, float* scales, int32_t* sums);
  /**
   * sums[row][output] of `rows` rows with 16 outputs, in float32, group after group.
   * @param weights `groups` groups as bytesOfGroup() says
   * @param scales (groups, 16)
   */
  void (*products8)(const IntegerRows& x, int64_t rows, const uint8_t* weights, const BFloat16* scales, float* sums);
  void (*products4)(const IntegerRows& x, int64_t rows, const uint8_t* weights, const BFloat16* scales, float* sums);
};

HEARTH_FORMS(IntegerTable, integerTable)

}  // namespace hearth
