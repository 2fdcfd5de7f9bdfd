// The loops of group norm; see group-norm.h. Sums of channels lie in the first cache, and some rows are added at a time.
#include "kernels/group-norm.h"

#include "kernels/simd/vector.h"

namespace hearth {

namespace {

constexpr int64_t kRowsAtOnce = 8;

HEARTH_INLINE void clear(float* sums, int64_t count) { memset(sums, 0, count * sizeof(float)); }

/** work(first row, rows) for a few rows at a time. */
template <typename Work>
HEARTH_INLINE void eachFewRows(int64_t rows, Work work) {
  int64_t r = 0;
  for (; r + kRowsAtOnce <= rows; r += kRowsAtOnce) work(r, kRowsAtOnce);
  if (r < rows) work(r, rows - r);
}

template <typename T>
void moments(const T* x, int64_t rows, int64_t channels, float* mean, float* squares) {
  clear(mean, channels);
  clear(squares, channels);
  eachFewRows(rows, [=](int64_t first, int64_t count) {
    eachVector(channels, [=](int64_t c, auto part) {
      Vector sum = part.load(mean + c);
      for (int64_t r = first; r < first + count; ++r) sum += part.load(x + r * channels + c);
      part.store(mean + c, sum);
    });
  });
  const float share = 1.0f / rows;
  eachVector(channels, [=](int64_t c, auto part) { part.store(mean + c, part.load(mean + c) * share); });
  eachFewRows(rows, [=](int64_t first, int64_t count) {
    eachVector(channels, [=](int64_t c, auto part) {
      const Vector centre = part.load(mean + c);
      Vector sum = part.load(squares + c);
      for (int64_t r = first; r < first + count; ++r) {
        const Vector distance = part.load(x + r * channels + c) - centre;
        sum = multiplyAdd(distance, distance, sum);
      }
      part.store(squares + c, sum);
    });
  });
}

HEARTH_INLINE Vector sigmoid(Vector x) { return 1.0f / (1.0f + exponential(-x)); }

template <typename T, bool silu>
HEARTH_INLINE void forwardRows(const T* x, const ChannelMap& map, int64_t rows, int64_t channels, T* out) {
  for (int64_t r = 0; r < rows; ++r, x += channels, out += channels) {
    eachVector(channels, [=, &map](int64_t c, auto part) {
      const Vector y = multiplyAdd(part.load(x + c) - part.load(map.centre + c), part.load(map.scale + c), part.load(map.offset + c));
      part.store(out + c, silu ? y * sigmoid(y) : y);
    });
  }
}

template <typename T>
void forward(const T* x, const ChannelMap& map, int64_t rows, int64_t channels, T* out) {
  return map.silu ? forwardRows<T, true>(x, map, rows, channels, out) : forwardRows<T, false>(x, map, rows, channels, out);
}

/** The gradient before the silu; `distance` becomes x - centre. */
template <typename T, bool silu, typename Part>
HEARTH_INLINE Vector gradientBefore(const T* upstream, const T* x, const ChannelMap& map, int64_t c, Part part, Vector& distance) {
  const Vector dy = part.load(upstream + c);
  distance = part.load(x + c) - part.load(map.centre + c);
  if (!silu) return dy;
  const Vector y = multiplyAdd(distance, part.load(map.scale + c), part.load(map.offset + c)), s = sigmoid(y);
  return dy * s * (1.0f + y * (1.0f - s));
}

template <typename T, bool silu>
HEARTH_INLINE void sumsOfRows(const T* upstream, const T* x, const ChannelMap& map, int64_t rows, int64_t channels, float* sums) {
  clear(sums, 3 * channels);
  eachFewRows(rows, [=, &map](int64_t first, int64_t count) {
    eachVector(channels, [=, &map](int64_t c, auto part) {
      float* const at = sums + c;
      Vector ones = part.load(at), along = part.load(at + channels), distances = part.load(at + 2 * channels), distance;
      for (int64_t r = first; r < first + count; ++r) {
        const Vector d = gradientBefore<T, silu>(upstream + r * channels, x + r * channels, map, c, part, distance);
        ones += d;
        along = multiplyAdd(d, distance, along);
        distances += distance;
      }
      part.store(at, ones), part.store(at + channels, along), part.store(at + 2 * channels, distances);
    });
  });
}

template <typename T>
void sums(const T* upstream, const T* x, const ChannelMap& map, int64_t rows, int64_t channels, float* sums) {
  return map.silu ? sumsOfRows<T, true>(upstream, x, map, rows, channels, sums) : sumsOfRows<T, false>(upstream, x, map, rows, channels, sums);
}

template <typename T, bool silu>
HEARTH_INLINE void backwardRows(const T* upstream, const T* x, const ChannelMap& map, const float* constant, const float* slope, int64_t rows,
                                int64_t channels, T* gradient) {
  for (int64_t r = 0; r < rows; ++r, upstream += channels, x += channels, gradient += channels) {
    eachVector(channels, [=, &map](int64_t c, auto part) {
      Vector distance;
      const Vector d = gradientBefore<T, silu>(upstream, x, map, c, part, distance);
      part.store(gradient + c, multiplyAdd(part.load(map.scale + c), d, multiplyAdd(part.load(slope + c), distance, part.load(constant + c))));
    });
  }
}

template <typename T>
void backward(const T* upstream, const T* x, const ChannelMap& map, const float* constant, const float* slope, int64_t rows, int64_t channels, T* gradient) {
  return map.silu ? backwardRows<T, true>(upstream, x, map, constant, slope, rows, channels, gradient)
                  : backwardRows<T, false>(upstream, x, map, constant, slope, rows, channels, gradient);
}

}  // namespace

extern const GroupNormTable HEARTH_TABLE(groupNormTable) = {
    {moments<float>, forward<float>, sums<float>, backward<float>},
    {moments<BFloat16>, forward<BFloat16>, sums<BFloat16>, backward<BFloat16>},
};

}  // namespace hearth
