// The loops of epilogue.h. Sources: Hendrycks and Gimpel, "Gaussian Error Linear Units", arXiv:1606.08415; the error
// function from Abramowitz and Stegun, Handbook of Mathematical Functions, 7.1.26 (absolute error below 1.5e-7).
#include "kernels/gemm/epilogue.h"

#include "kernels/simd/vector.h"

namespace hearth {

namespace {

HEARTH_INLINE Vector sigmoid(Vector x) { return 1.0f / (1.0f + exponential(-x)); }

struct None {
  static HEARTH_MEMBER Vector value(Vector x) { return x; }
  static HEARTH_MEMBER Vector derivative(Vector) { return broadcast(1.0f); }
};

struct Silu {
  static HEARTH_MEMBER Vector value(Vector x) { return x * sigmoid(x); }
  static HEARTH_MEMBER Vector derivative(Vector x) {
    const Vector s = sigmoid(x);
    return s * (1.0f + x * (1.0f - s));
  }
};

/** ½ (1 + tanh u) = sigmoid(2 u), with u = √(2/π) (x + 0.044715 x³). */
struct GeluTanh {
  static constexpr float kTwice = 1.5957691216057308f, kCubic = 0.044715f;
  static HEARTH_MEMBER Vector share(Vector x) { return sigmoid(kTwice * x * (1.0f + kCubic * x * x)); }
  static HEARTH_MEMBER Vector value(Vector x) { return x * share(x); }
  static HEARTH_MEMBER Vector derivative(Vector x) {
    const Vector s = share(x);
    return s + x * s * (1.0f - s) * (kTwice * (1.0f + 3.0f * kCubic * x * x));
  }
};

struct Gelu {
  /** Φ(x); `density` becomes e^(-x²/2). */
  static HEARTH_MEMBER Vector cumulative(Vector x, Vector& density) {
    const Vector z = maximum(x, -x) * 0.70710678f;
    density = exponential(-z * z);
    const Vector t = 1.0f / (1.0f + 0.3275911f * z);
    Vector p = multiplyAdd(broadcast(1.061405429f), t, broadcast(-1.453152027f));
    p = multiplyAdd(p, t, broadcast(1.421413741f));
    p = multiplyAdd(p, t, broadcast(-0.284496736f));
    p = multiplyAdd(p, t, broadcast(0.254829592f));
    const Vector tail = 0.5f * p * t * density;
    return select(x < 0.0f, tail, 1.0f - tail);
  }
  static HEARTH_MEMBER Vector value(Vector x) {
    Vector density;
    return x * cumulative(x, density);
  }
  static HEARTH_MEMBER Vector derivative(Vector x) {
    Vector density;
    const Vector share = cumulative(x, density);
    return share + 0.39894228f * x * density;
  }
};

/** work(a) with the structure that `activation` names. */
template <typename Work>
HEARTH_INLINE void withActivation(LinearActivation activation, Work work) {
  switch (activation) {
    case LinearActivation::none: return work(None{});
    case LinearActivation::gelu: return work(Gelu{});
    case LinearActivation::geluTanh: return work(GeluTanh{});
    case LinearActivation::silu: return work(Silu{});
  }
}

template <typename T>
void finish(const EpilogueTask<T>& task) {
  withActivation(task.activation, [&task](auto activation) {
    eachVector(task.count, [&task, activation](int64_t i, auto part) {
      Vector x = part.load(task.sums + i);
      if (task.bias) x += part.load(task.bias + i);
      if (task.before) part.store(task.before + i, x);
      x = activation.value(x);
      if (task.residual) x += part.load(task.residual + i);
      part.store(task.out + i, x);
    });
  });
}

template <typename T>
void gradient(const T* upstream, const T* before, T* out, int64_t count, LinearActivation activation) {
  withActivation(activation, [=](auto function) {
    eachVector(count, [=](int64_t i, auto part) { part.store(out + i, part.load(upstream + i) * function.derivative(part.load(before + i))); });
  });
}

template <typename T>
void addRows(const T* from, int64_t rows, int64_t stride, float* sums, int64_t columns) {
  for (int64_t row = 0; row < rows; ++row, from += stride)
    eachVector(columns, [=](int64_t i, auto part) { part.store(sums + i, part.load(sums + i) + part.load(from + i)); });
}

}  // namespace

extern const EpilogueTable HEARTH_TABLE(epilogueTable) = {
    {finish<float>, gradient<float>, addRows<float>},
    {finish<BFloat16>, gradient<BFloat16>, addRows<BFloat16>},
};

}  // namespace hearth
