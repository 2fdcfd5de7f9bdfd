// How a group of 64 weights of one output becomes integers with a scale; see simd/forms.h.
#pragma once
#include "kernels/integer/integer.h"

namespace hearth {

struct GroupTable {
  /** Writes q + 128 of each weight (q from -127 to 127) and gives the unit of q. */
  BFloat16 (*quantise8)(const float* weights, uint8_t* bytes);
  /** Writes q + 8 of each weight (q from -8 to 7) and gives the unit of q, negative where that fits better. */
  BFloat16 (*quantise4)(const float* weights, uint8_t* bytes);
};

HEARTH_FORMS(GroupTable, groupTable)

}  // namespace hearth
