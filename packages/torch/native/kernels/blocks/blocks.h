// Numbers in blocks that share a scale, as GGUF files hold them: names and sizes are ggml's (ggml-common.h), the loops ours.
// Every format can be read, four can be written. Not here: files, names of tensors, which format a tensor should have.
#pragma once
#include <cstdint>
#include <string_view>

namespace hearth {

/** One way to pack `elements` numbers into `bytes`. */
struct BlockFormat {
  std::string_view name;
  int64_t elements;
  int64_t bytes;
  void (*decode)(const uint8_t* block, float* out);
  /** Null where the format is only read. */
  void (*encode)(const float* numbers, uint8_t* block);
};

/** Null when there is none of that name. */
const BlockFormat* blockFormatNamed(std::string_view name);

void decodeQ4_0(const uint8_t* block, float* out);
void decodeQ4_1(const uint8_t* block, float* out);
void decodeQ5_0(const uint8_t* block, float* out);
void decodeQ5_1(const uint8_t* block, float* out);
void decodeQ8_0(const uint8_t* block, float* out);
void decodeQ2_K(const uint8_t* block, float* out);
void decodeQ3_K(const uint8_t* block, float* out);
void decodeQ4_K(const uint8_t* block, float* out);
void decodeQ5_K(const uint8_t* block, float* out);
void decodeQ6_K(const uint8_t* block, float* out);
void decodeQ8_K(const uint8_t* block, float* out);

void encodeQ4_0(const float* numbers, uint8_t* block);
void encodeQ8_0(const float* numbers, uint8_t* block);
void encodeQ4_K(const float* numbers, uint8_t* block);
void encodeQ6_K(const float* numbers, uint8_t* block);

/** Of a K block's eight scales and minima in 6 bits each, packed into 12 bytes. */
struct ScaleAndMinimum {
  int scale, minimum;
};
ScaleAndMinimum scaleAndMinimumAt(const uint8_t* packed, int index);

}  // namespace hearth
