// The loops of GELU: every element depends on its own place alone. For the operator see gelu.cc.
#include "kernels/gelu.h"

#include "kernels/simd/vector.h"

namespace hearth {

namespace {

struct ValueAndSlope {
  Vector value, slope;
};

/** ½ x (1 + tanh(√(2/π) (x + 0.044715 x³))), where ½ (1 + tanh u) is sigmoid(2u). */
struct Tanh {
  HEARTH_MEMBER ValueAndSlope operator()(Vector x) const {
    constexpr float kTwoRoots = 1.5957691216057308f;  // 2 √(2/π)
    const Vector square = x * x;
    const Vector s = 1.0f / (1.0f + exponential(-kTwoRoots * x * (1.0f + 0.044715f * square)));
    return {x * s, s + x * s * (1.0f - s) * kTwoRoots * (1.0f + 3.0f * 0.044715f * square)};
  }
};

/** x Φ(x). The complement of the error function is Abramowitz and Stegun's 7.1.26, 1.5e-7 off at most. */
struct Erf {
  HEARTH_MEMBER ValueAndSlope operator()(Vector x) const {
    const Vector distance = maximum(x, -x) * 0.70710678118654752f, density = exponential(-0.5f * x * x);
    const Vector t = 1.0f / (1.0f + 0.3275911f * distance);
    Vector p = broadcast(1.061405429f);
    p = multiplyAdd(p, t, broadcast(-1.453152027f));
    p = multiplyAdd(p, t, broadcast(1.421413741f));
    p = multiplyAdd(p, t, broadcast(-0.284496736f));
    p = multiplyAdd(p, t, broadcast(0.254829592f));
    const Vector beyond = 0.5f * p * t * density;  // 1 - Φ(|x|)
    const Vector below = select(x > Vector{}, 1.0f - beyond, beyond);
    return {x * below, below + x * density * 0.39894228040143268f};
  }
};

template <typename T, typename Part>
HEARTH_INLINE Vector biased(const T* x, const T* bias, int64_t i, Part part) {
  return bias == nullptr ? part.load(x + i) : part.load(x + i) + part.load(bias + i);
}

template <typename Gelu, typename T>
void forward(const T* x, const T* bias, T* out, int64_t count) {
  eachVector(count, [=](int64_t i, auto part) { part.store(out + i, Gelu{}(biased(x, bias, i, part)).value); });
}

template <typename Gelu, typename T>
void backward(const T* upstream, const T* x, const T* bias, T* gradient, int64_t count) {
  eachVector(count, [=](int64_t i, auto part) { part.store(gradient + i, part.load(upstream + i) * Gelu{}(biased(x, bias, i, part)).slope); });
}

}  // namespace

extern const GeluTable HEARTH_TABLE(geluTable) = {
    {forward<Erf, float>, backward<Erf, float>},
    {forward<Erf, BFloat16>, backward<Erf, BFloat16>},
    {forward<Tanh, float>, backward<Tanh, float>},
    {forward<Tanh, BFloat16>, backward<Tanh, BFloat16>},
};

}  // namespace hearth
