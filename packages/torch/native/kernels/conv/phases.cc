// See phases.h.
#include "kernels/conv/phases.h"

namespace hearth {

namespace {

using at::Tensor;

/** Taps along one axis: how far each lies from the patch's place, and which rows of the kernel are added up to be its weight. */
struct AxisTaps {
  std::vector<int64_t> offsets;
  std::vector<std::vector<int64_t>> sources;

  /** Further rows of the kernel at the same place join it. */
  void add(int64_t offset, int64_t source) {
    if (offsets.empty() || offsets.back() != offset) {
      offsets.push_back(offset);
      sources.emplace_back();
    }
    sources.back().push_back(source);
  }
};

int64_t halved(int64_t a) { return a >= 0 ? a / 2 : -((1 - a) / 2); }
int64_t dividedUp(int64_t a, int64_t b) { return (a + b - 1) / b; }

AxisTaps plainTaps(int64_t kernel, int64_t padding) {
  AxisTaps taps;
  for (int64_t k = 0; k < kernel; ++k) taps.add(k - padding, k);
  return taps;
}

/** Those of output pixels 2 i + `parity` over an image made twice as large, in pixels of the small one. */
AxisTaps upsampledTaps(int64_t kernel, int64_t padding, int64_t parity) {
  AxisTaps taps;
  for (int64_t k = 0; k < kernel; ++k) taps.add(halved(parity + k - padding), k);
  return taps;
}

/** Those of the output pixels that image pixels i · stride + `rest` went to. */
AxisTaps gradientTaps(int64_t kernel, int64_t padding, int64_t stride, int64_t rest) {
  AxisTaps taps;
  for (int64_t k = 0; k < kernel; ++k)
    if ((rest + padding - k) % stride == 0) taps.add((rest + padding - k) / stride, k);
  return taps;
}

std::vector<Tap> allTaps(const AxisTaps& y, const AxisTaps& x) {
  std::vector<Tap> taps;
  for (const int64_t atY : y.offsets)
    for (const int64_t atX : x.offsets) taps.push_back({atY, atX});
  return taps;
}

/** (O, h, w, C) -> (O, taps, C), in float32 where rows are added up. */
Tensor sumOfTaps(const Tensor& weight, const AxisTaps& y, const AxisTaps& x) {
  const auto along = [](const Tensor& wide, int64_t dim, const AxisTaps& taps) {
    std::vector<Tensor> parts;
    for (const auto& sources : taps.sources) parts.push_back(wide.narrow(dim, sources.front(), static_cast<int64_t>(sources.size())).sum(dim));
    return at::stack(parts, dim);
  };
  return along(along(weight.to(at::kFloat), 1, y), 2, x).to(weight.scalar_type());
}

/** (O, h, w, C) -> (C, taps · O) as a view of (taps, O, C). */
Tensor turnedWeight(const Tensor& weight, const AxisTaps& y, const AxisTaps& x) {
  const int64_t O = weight.size(0), w = weight.size(2), C = weight.size(3);
  std::vector<int64_t> taps;
  for (const auto& atY : y.sources)
    for (const auto& atX : x.sources) taps.push_back(atY.front() * w + atX.front());
  const Tensor chosen = weight.view({O, -1, C}).transpose(0, 1).index_select(0, at::tensor(taps, at::kLong));  // (taps, O, C)
  return chosen.reshape({static_cast<int64_t>(taps.size()) * O, C}).t();
}

Patches patchesOf(const Tensor& image, int64_t gridHeight, int64_t gridWidth, int64_t stepY, int64_t stepX, std::vector<Tap> taps) {
  return {image.data_ptr(), static_cast<int64_t>(image.element_size()), image.size(0), image.size(1), image.size(2), image.size(3),
          gridHeight,       gridWidth,                                  stepY,         stepX,         std::move(taps)};
}

Phase upsampledPhase(const Tensor& x, const Tensor& weight, const ConvGeometry& g, int64_t parityY, int64_t parityX) {
  const AxisTaps y = upsampledTaps(g.kernelHeight, g.top, parityY), along = upsampledTaps(g.kernelWidth, g.left, parityX);
  const int64_t height = dividedUp(g.outHeight() - parityY, 2), width = dividedUp(g.outWidth() - parityX, 2);
  return {patchesOf(x, height, width, 1, 1, allTaps(y, along)), sumOfTaps(weight, y, along).view({g.outChannels, -1}),
          {height, width, g.outHeight(), g.outWidth(), 2, 2, parityY, parityX}};
}

}  // namespace

std::vector<Phase> forwardPhases(const Tensor& x, const Tensor& weight, const ConvGeometry& g) {
  const int64_t height = g.outHeight(), width = g.outWidth();
  std::vector<Phase> phases;
  if (g.upsample) {
    for (int64_t y = 0; y < 2 && y < height; ++y)
      for (int64_t along = 0; along < 2 && along < width; ++along) phases.push_back(upsampledPhase(x, weight, g, y, along));
    return phases;
  }
  const std::vector<Tap> taps = allTaps(plainTaps(g.kernelHeight, g.top), plainTaps(g.kernelWidth, g.left));
  phases.push_back({patchesOf(x, height, width, g.strideY, g.strideX, taps), weight.view({g.outChannels, -1}), {height, width, height, width, 1, 1, 0, 0}});
  return phases;
}

std::vector<Phase> inputGradientPhases(const Tensor& upstream, const Tensor& weight, const ConvGeometry& g) {
  std::vector<Phase> phases;
  for (int64_t restY = 0; restY < std::min(g.strideY, g.height); ++restY) {
    for (int64_t restX = 0; restX < std::min(g.strideX, g.width); ++restX) {
      const AxisTaps y = gradientTaps(g.kernelHeight, g.top, g.strideY, restY), x = gradientTaps(g.kernelWidth, g.left, g.strideX, restX);
      const int64_t height = dividedUp(g.height - restY, g.strideY), width = dividedUp(g.width - restX, g.strideX);
      phases.push_back({patchesOf(upstream, height, width, 1, 1, allTaps(y, x)), turnedWeight(weight, y, x),
                        {height, width, g.height, g.width, g.strideY, g.strideX, restY, restX}});
    }
  }
  return phases;
}

}  // namespace hearth
