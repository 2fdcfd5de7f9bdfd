// The loops of SwiGLU: every element depends on its own place alone. For the operator see swiglu.cc.
#include "kernels/swiglu.h"

#include "kernels/simd/vector.h"

namespace hearth {

namespace {

HEARTH_INLINE Vector sigmoid(Vector x) { return 1.0f / (1.0f + exponential(-x)); }

template <typename T>
void forward(const T* gate, const T* up, T* out, int64_t count) {
  eachVector(count, [=](int64_t i, auto part) {
    const Vector g = part.load(gate + i);
    part.store(out + i, g * sigmoid(g) * part.load(up + i));
  });
}

template <typename T>
void backward(const T* upstream, const T* gate, const T* up, T* gateGradient, T* upGradient, int64_t count) {
  eachVector(count, [=](int64_t i, auto part) {
    const Vector g = part.load(gate + i), dy = part.load(upstream + i), s = sigmoid(g);
    part.store(gateGradient + i, dy * part.load(up + i) * s * (1.0f + g * (1.0f - s)));
    part.store(upGradient + i, dy * g * s);
  });
}

}  // namespace

extern const SwigluTable HEARTH_TABLE(swigluTable) = {
    {forward<float>, backward<float>},
    {forward<BFloat16>, backward<BFloat16>},
};

}  // namespace hearth
