// Blocks into numbers. What a block means is defined by ggml (ggml-quants.c); products are taken in its order, so that
// the numbers are the same bits. Not here: the other direction (encode.cc).
#include <c10/util/Half.h>

#include <cstring>

#include "kernels/blocks/blocks.h"

namespace hearth {

namespace {

constexpr int kBlock = 32, kSuperBlock = 256;

float halfAt(const uint8_t* bytes) {
  c10::Half half;
  std::memcpy(&half.x, bytes, 2);
  return half;
}

float floatAt(const uint8_t* bytes) {
  float value;
  std::memcpy(&value, bytes, 4);
  return value;
}

uint32_t wordAt(const uint8_t* bytes) {
  uint32_t value;
  std::memcpy(&value, bytes, 4);
  return value;
}

int signedByte(uint8_t byte) { return static_cast<int8_t>(byte); }

}  // namespace

// d | 16 bytes of two 4-bit numbers: the first half of the block in the low bits.
void decodeQ4_0(const uint8_t* block, float* out) {
  const float d = halfAt(block);
  for (int i = 0; i < kBlock / 2; ++i) {
    const int byte = block[2 + i];
    out[i] = static_cast<float>((byte & 15) - 8) * d;
    out[i + kBlock / 2] = static_cast<float>((byte >> 4) - 8) * d;
  }
}

// d | minimum | 4-bit numbers
void decodeQ4_1(const uint8_t* block, float* out) {
  const float d = halfAt(block), minimum = halfAt(block + 2);
  for (int i = 0; i < kBlock / 2; ++i) {
    const int byte = block[4 + i];
    out[i] = static_cast<float>(byte & 15) * d + minimum;
    out[i + kBlock / 2] = static_cast<float>(byte >> 4) * d + minimum;
  }
}

// d | the fifth bits | 4-bit numbers
void decodeQ5_0(const uint8_t* block, float* out) {
  const float d = halfAt(block);
  const uint32_t high = wordAt(block + 2);
  for (int i = 0; i < kBlock / 2; ++i) {
    const int byte = block[6 + i];
    const int low = (byte & 15) | static_cast<int>(high >> i & 1) << 4, upper = (byte >> 4) | static_cast<int>(high >> (i + 16) & 1) << 4;
    out[i] = static_cast<float>(low - 16) * d;
    out[i + kBlock / 2] = static_cast<float>(upper - 16) * d;
  }
}

// d | minimum | the fifth bits | 4-bit numbers
void decodeQ5_1(const uint8_t* block, float* out) {
  const float d = halfAt(block), minimum = halfAt(block + 2);
  const uint32_t high = wordAt(block + 4);
  for (int i = 0; i < kBlock / 2; ++i) {
    const int byte = block[8 + i];
    const int low = (byte & 15) | static_cast<int>(high >> i & 1) << 4, upper = (byte >> 4) | static_cast<int>(high >> (i + 16) & 1) << 4;
    out[i] = static_cast<float>(low) * d + minimum;
    out[i + kBlock / 2] = static_cast<float>(upper) * d + minimum;
  }
}

// d | 32 signed bytes
void decodeQ8_0(const uint8_t* block, float* out) {
  const float d = halfAt(block);
  for (int i = 0; i < kBlock; ++i) out[i] = static_cast<float>(signedByte(block[2 + i])) * d;
}

// 16 scales and minima in 4 bits each | 64 bytes of 2-bit numbers | d | dmin
void decodeQ2_K(const uint8_t* block, float* out) {
  const float d = halfAt(block + 80), dmin = halfAt(block + 82);
  for (int part = 0; part < 16; ++part) {
    // 128 numbers share 32 bytes: part / 2 % 4 says which two bits of them.
    const uint8_t* bytes = block + 16 + part / 8 * 32 + part % 2 * 16;
    const int shift = part / 2 % 4 * 2;
    const float scale = d * static_cast<float>(block[part] & 15), minimum = dmin * static_cast<float>(block[part] >> 4);
    for (int i = 0; i < 16; ++i) out[16 * part + i] = scale * static_cast<float>(bytes[i] >> shift & 3) - minimum;
  }
}

// 32 bytes of third bits | 64 bytes of the lower two | 16 scales in 6 bits each | d
void decodeQ3_K(const uint8_t* block, float* out) {
  const float d = halfAt(block + 108);
  const uint8_t* scales = block + 96;
  for (int part = 0; part < 16; ++part) {
    const uint8_t* bytes = block + 32 + part / 8 * 32 + part % 2 * 16;
    const uint8_t* high = block + part % 2 * 16;
    const int shift = part / 2 % 4 * 2;
    const int low = part < 8 ? scales[part] & 15 : scales[part - 8] >> 4;
    const int scale = (low | (scales[8 + part % 4] >> part / 4 * 2 & 3) << 4) - 32;
    const float factor = d * static_cast<float>(scale);
    for (int i = 0; i < 16; ++i) {
      const int value = (bytes[i] >> shift & 3) - ((high[i] >> part / 2 & 1) != 0 ? 0 : 4);
      out[16 * part + i] = factor * static_cast<float>(value);
    }
  }
}

ScaleAndMinimum scaleAndMinimumAt(const uint8_t* packed, int index) {
  if (index < 4) return {packed[index] & 63, packed[index + 4] & 63};
  return {(packed[index + 4] & 15) | (packed[index - 4] >> 6) << 4, (packed[index + 4] >> 4) | (packed[index] >> 6) << 4};
}

// d | dmin | 8 scales and minima | 128 bytes of 4-bit numbers, 32 bytes for 64 of them
void decodeQ4_K(const uint8_t* block, float* out) {
  const float d = halfAt(block), dmin = halfAt(block + 2);
  for (int part = 0; part < 8; ++part) {
    const ScaleAndMinimum packed = scaleAndMinimumAt(block + 4, part);
    const float scale = d * static_cast<float>(packed.scale), minimum = dmin * static_cast<float>(packed.minimum);
    const uint8_t* bytes = block + 16 + part / 2 * 32;
    for (int i = 0; i < 32; ++i) out[32 * part + i] = scale * static_cast<float>(bytes[i] >> part % 2 * 4 & 15) - minimum;
  }
}

// as Q4_K, with 32 bytes of fifth bits before the others
void decodeQ5_K(const uint8_t* block, float* out) {
  const float d = halfAt(block), dmin = halfAt(block + 2);
  for (int part = 0; part < 8; ++part) {
    const ScaleAndMinimum packed = scaleAndMinimumAt(block + 4, part);
    const float scale = d * static_cast<float>(packed.scale), minimum = dmin * static_cast<float>(packed.minimum);
    const uint8_t *high = block + 16, *bytes = block + 48 + part / 2 * 32;
    for (int i = 0; i < 32; ++i) {
      const int value = (bytes[i] >> part % 2 * 4 & 15) | (high[i] >> part & 1) << 4;
      out[32 * part + i] = scale * static_cast<float>(value) - minimum;
    }
  }
}

// 128 bytes of the lower four bits | 64 of the upper two | 16 signed scales | d
void decodeQ6_K(const uint8_t* block, float* out) {
  const float d = halfAt(block + 208);
  for (int part = 0; part < 8; ++part) {
    // 128 numbers lie in 64 and 32 bytes: quarter `part % 4` of them in the low or high halves of one of the 32 bytes.
    const int half = part / 4, quarter = part % 4;
    const uint8_t* low = block + 64 * half + 32 * (quarter % 2);
    const uint8_t* high = block + 128 + 32 * half;
    for (int i = 0; i < 32; ++i) {
      const int value = ((low[i] >> quarter / 2 * 4 & 15) | (high[i] >> 2 * quarter & 3) << 4) - 32;
      const int scale = signedByte(block[192 + 2 * part + i / 16]);
      out[32 * part + i] = d * static_cast<float>(scale) * static_cast<float>(value);
    }
  }
}

// d in 32 bits | 256 signed bytes | sums, which reading does not need
void decodeQ8_K(const uint8_t* block, float* out) {
  const float d = floatAt(block);
  for (int i = 0; i < kSuperBlock; ++i) out[i] = d * static_cast<float>(signedByte(block[4 + i]));
}

}  // namespace hearth
