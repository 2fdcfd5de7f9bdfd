// Numbers into blocks. A block's layout is ggml's; how its scales are found is ours: the best of several grids in weighted
// least squares, where larger numbers weigh more. Not here: the meaning of the layouts (decode.cc).
#include <c10/util/Half.h>

#include <algorithm>
#include <cmath>
#include <cstring>

#include "kernels/blocks/blocks.h"

namespace hearth {

namespace {

constexpr int kBlock = 32;

/** Rounded to nearest and clamped; NaN is the lowest, so that no bits of a neighbour are touched. */
int nearest(float value, int lowest, int highest) {
  if (!(value > static_cast<float>(lowest))) return lowest;
  return value < static_cast<float>(highest) ? static_cast<int>(std::lround(value)) : highest;
}

float inverse(float value) { return value != 0 ? 1 / value : 0; }

/** Writes a scale in 16 bits and returns what a reader will see. */
float putHalf(uint8_t* bytes, float value) {
  const c10::Half half(value);
  std::memcpy(bytes, &half.x, 2);
  return half;
}

/** The number of largest magnitude, with its sign. */
float extremeOf(const float* x, int count) {
  float extreme = 0;
  for (int i = 0; i < count; ++i)
    if (std::fabs(x[i]) > std::fabs(extreme)) extreme = x[i];
  return extreme;
}

/** x ≈ scale · level with levels from -32 to 31: the scale of the best of some grids, in least squares weighted by x². */
float scaleOf16(const float* x) {
  const float extreme = extremeOf(x, 16);
  float best = 0, bestGain = 0;
  for (int step = -9; step <= 9 && extreme != 0; ++step) {
    const float grid = -(32 + 0.1f * static_cast<float>(step)) / extreme;
    float cross = 0, square = 0;
    for (int i = 0; i < 16; ++i) {
      const float level = static_cast<float>(nearest(grid * x[i], -32, 31)), weight = x[i] * x[i];
      cross += weight * x[i] * level;
      square += weight * level * level;
    }
    // With the scale cross / square the error is Σ w x² - cross² / square.
    if (square > 0 && cross * cross > bestGain * square) {
      best = cross / square;
      bestGain = cross * cross / square;
    }
  }
  return best;
}

struct Line {
  float scale, minimum;
};

/** Sums of a weighted fit x ≈ scale · level - minimum. */
struct Fit {
  float weights = 0, levels = 0, squares = 0, numbers = 0, products = 0;

  void add(float weight, float level, float x) {
    weights += weight;
    levels += weight * level;
    squares += weight * level * level;
    numbers += weight * x;
    products += weight * level * x;
  }

  /** The normal equations' solution, with a minimum that is not negative. */
  Line solve() const {
    const float determinant = weights * squares - levels * levels;
    if (determinant <= 0) return {0, 0};
    const Line free = {(weights * products - levels * numbers) / determinant, (levels * products - squares * numbers) / determinant};
    return free.minimum >= 0 ? free : Line{squares > 0 ? products / squares : 0, 0};
  }
};

float errorOf(const float* x, const float* weights, Line line) {
  const float grid = inverse(line.scale);
  float error = 0;
  for (int i = 0; i < kBlock; ++i) {
    const float off = line.scale * static_cast<float>(nearest((x[i] + line.minimum) * grid, 0, 15)) - line.minimum - x[i];
    error += weights[i] * off * off;
  }
  return error;
}

/** x ≈ scale · level - minimum with levels from 0 to 15 and a minimum from 0 on. */
Line lineOf32(const float* x) {
  const auto [lowest, highest] = std::minmax_element(x, x + kBlock);
  const float low = std::min(*lowest, 0.0f), range = *highest - low;
  if (!(range > 0)) return {0, -low};
  float square = 0, weights[kBlock];
  for (int i = 0; i < kBlock; ++i) square += x[i] * x[i];
  const float typical = std::sqrt(square / kBlock);
  for (int i = 0; i < kBlock; ++i) weights[i] = typical + std::fabs(x[i]);
  Line best = {range / 15, -low};
  float bestError = errorOf(x, weights, best);
  for (int step = 0; step <= 20; ++step) {
    const float grid = (14 + 0.1f * static_cast<float>(step)) / range;
    Fit fit;
    for (int i = 0; i < kBlock; ++i) fit.add(weights[i], static_cast<float>(nearest(grid * (x[i] - low), 0, 15)), x[i]);
    const Line line = fit.solve();
    const float error = line.scale > 0 ? errorOf(x, weights, line) : bestError;
    if (error < bestError) {
      best = line;
      bestError = error;
    }
  }
  return best;
}

/** Puts eight scales and minima of 6 bits where scaleAndMinimumAt() finds them. */
void packScales(const int* scales, const int* minima, uint8_t* packed) {
  for (int i = 0; i < 4; ++i) {
    packed[i] = static_cast<uint8_t>(scales[i] | (scales[i + 4] >> 4) << 6);
    packed[i + 4] = static_cast<uint8_t>(minima[i] | (minima[i + 4] >> 4) << 6);
    packed[i + 8] = static_cast<uint8_t>((scales[i + 4] & 15) | (minima[i + 4] & 15) << 4);
  }
}

}  // namespace

void encodeQ4_0(const float* numbers, uint8_t* block) {
  const float d = extremeOf(numbers, kBlock) / -8, grid = inverse(d);
  putHalf(block, d);
  for (int i = 0; i < kBlock / 2; ++i) {
    const int low = nearest(numbers[i] * grid, -8, 7) + 8, high = nearest(numbers[i + kBlock / 2] * grid, -8, 7) + 8;
    block[2 + i] = static_cast<uint8_t>(low | high << 4);
  }
}

void encodeQ8_0(const float* numbers, uint8_t* block) {
  const float d = std::fabs(extremeOf(numbers, kBlock)) / 127, grid = inverse(d);
  putHalf(block, d);
  for (int i = 0; i < kBlock; ++i) block[2 + i] = static_cast<uint8_t>(nearest(numbers[i] * grid, -127, 127));
}

void encodeQ4_K(const float* numbers, uint8_t* block) {
  Line lines[8];
  float largestScale = 0, largestMinimum = 0;
  for (int part = 0; part < 8; ++part) {
    lines[part] = lineOf32(numbers + 32 * part);
    largestScale = std::max(largestScale, lines[part].scale);
    largestMinimum = std::max(largestMinimum, lines[part].minimum);
  }
  const float d = putHalf(block, largestScale / 63), dmin = putHalf(block + 2, largestMinimum / 63);
  int scales[8], minima[8];
  for (int part = 0; part < 8; ++part) {
    scales[part] = nearest(lines[part].scale * inverse(d), 0, 63);
    minima[part] = nearest(lines[part].minimum * inverse(dmin), 0, 63);
  }
  packScales(scales, minima, block + 4);
  std::memset(block + 16, 0, 128);
  for (int part = 0; part < 8; ++part) {
    const float grid = inverse(d * static_cast<float>(scales[part])), minimum = dmin * static_cast<float>(minima[part]);
    for (int i = 0; i < 32; ++i) {
      const int level = nearest((numbers[32 * part + i] + minimum) * grid, 0, 15);
      block[16 + part / 2 * 32 + i] |= static_cast<uint8_t>(level << part % 2 * 4);
    }
  }
}

void encodeQ6_K(const float* numbers, uint8_t* block) {
  float scales[16];
  for (int part = 0; part < 16; ++part) scales[part] = scaleOf16(numbers + 16 * part);
  const float d = putHalf(block + 208, extremeOf(scales, 16) / -128);
  std::memset(block, 0, 192);
  for (int part = 0; part < 16; ++part) {
    const int scale = nearest(scales[part] * inverse(d), -128, 127);
    block[192 + part] = static_cast<uint8_t>(scale);
    const float grid = inverse(d * static_cast<float>(scale));
    const int half = part / 8, quarter = part % 8 / 2;
    uint8_t* low = block + 64 * half + 32 * (quarter % 2) + part % 2 * 16;
    uint8_t* high = block + 128 + 32 * half + part % 2 * 16;
    for (int i = 0; i < 16; ++i) {
      const int level = nearest(numbers[16 * part + i] * grid, -32, 31) + 32;
      low[i] |= static_cast<uint8_t>((level & 15) << quarter / 2 * 4);
      high[i] |= static_cast<uint8_t>((level >> 4) << 2 * quarter);
    }
  }
}

}  // namespace hearth
