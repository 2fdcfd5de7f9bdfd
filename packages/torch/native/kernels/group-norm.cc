// hearth::group_norm on a CPU: y = silu(norm(x + shift)), channels last, in two passes over memory forward and two backward;
// the shift, a vector for each image (the embedding of a time), only moves means, so it costs nothing.
// Moments are taken of 64 pixels at a time about their own mean and put together in double precision in the order of the
// pixels (Chan, Golub, LeVeque 1979), so threads do not show, and a mean far from zero costs no digits.
// Source: Wu, He, "Group Normalization", arXiv:1803.08494.
#include "kernels/group-norm.h"

#include <algorithm>

#include "kernels/group-norm-operators.h"
#include "kernels/operands.h"

namespace hearth {

namespace {

using at::Tensor;

constexpr int64_t kPixelsOfChunk = 64;

template <typename T>
const GroupNormLoops<T>& loopsOf(const T*) {
  if constexpr (std::is_same_v<T, float>) return groupNormTable().float32;
  else return groupNormTable().bfloat16;
}

Tensor floats(at::IntArrayRef shape) { return at::empty(shape, at::kFloat); }
Tensor inFloat32(const Tensor& tensor) { return tensor.to(at::kFloat).contiguous(); }

/** The pixels of all images in chunks. */
struct Chunks {
  int64_t batch, pixels, channels, ofImage;

  explicit Chunks(const GroupNormOperands& o)
      : batch(o.batch()), pixels(o.pixels()), channels(o.channels()), ofImage((pixels + kPixelsOfChunk - 1) / kPixelsOfChunk) {}

  int64_t rowsOf(int64_t chunk) const { return std::min(kPixelsOfChunk, pixels - chunk * kPixelsOfChunk); }

  /** work(image, chunk of the image, its first element, its pixels), by all threads. */
  template <typename Work>
  void each(Work work) const {
    const int64_t grain = std::max<int64_t>(1, kElementwiseGrain / std::max<int64_t>(1, kPixelsOfChunk * channels));
    at::parallel_for(0, batch * ofImage, grain, [&](int64_t begin, int64_t end) {
      for (int64_t i = begin; i < end; ++i) {
        const int64_t image = i / ofImage, chunk = i % ofImage;
        work(image, chunk, (image * pixels + chunk * kPixelsOfChunk) * channels, rowsOf(chunk));
      }
    });
  }
};

/** Mean and 1 / deviation of one group from the moments (chunks, 2, C) of its image; `shift` may be null. */
void statisticsOf(const GroupNormOperands& o, const Chunks& chunks, const float* moments, const float* shift, int64_t group, float* statistics) {
  const int64_t C = chunks.channels, first = group * o.ofGroup(), last = first + o.ofGroup();
  const double count = static_cast<double>(chunks.pixels) * o.ofGroup();
  const auto total = [&](auto term) {
    double sum = 0;
    for (int64_t k = 0; k < chunks.ofImage; ++k)
      for (int64_t c = first; c < last; ++c)
        sum += term(static_cast<double>(chunks.rowsOf(k)), moments[2 * k * C + c] + (shift ? static_cast<double>(shift[c]) : 0), moments[(2 * k + 1) * C + c]);
    return sum;
  };
  const double mean = total([](double n, double m, double) { return n * m; }) / count;
  const double variance = total([=](double n, double m, double squares) { return squares + n * (m - mean) * (m - mean); }) / count;
  statistics[0] = static_cast<float>(mean);
  statistics[1] = static_cast<float>(1 / std::sqrt(variance + o.eps));
}

/** What ChannelMap points to, of every image: centres and scales (B, C), offsets (C). */
struct Maps {
  Tensor centres, scales, offsets;
  bool silu;

  Maps(const GroupNormOperands& o, const Tensor& statistics, const Tensor& shift) : offsets(inFloat32(o.bias)), silu(o.silu) {
    const auto ofChannels = [&](int64_t which) { return statistics.select(-1, which).unsqueeze(-1).expand({-1, -1, o.ofGroup()}).reshape({-1, o.channels()}); };
    centres = shift.defined() ? ofChannels(0) - shift : ofChannels(0).contiguous();
    scales = ofChannels(1) * inFloat32(o.weight);
  }

  ChannelMap of(int64_t image) const {
    const int64_t C = offsets.numel();
    return {dataOf<float>(centres) + image * C, dataOf<float>(scales) + image * C, dataOf<float>(offsets), silu};
  }
};

/** The sums (chunks, 3, C) of every image, put together in their order: (B, 3, C) in double precision. */
Tensor totalsOf(const Chunks& chunks, const Tensor& parts) {
  const Tensor totals = at::zeros({chunks.batch, 3, chunks.channels}, at::kDouble);
  const int64_t size = 3 * chunks.channels;
  at::parallel_for(0, chunks.batch * size, kElementwiseGrain, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) {
      double sum = 0;
      for (int64_t k = 0; k < chunks.ofImage; ++k) sum += dataOf<float>(parts)[(i / size * chunks.ofImage + k) * size + i % size];
      dataOf<double>(totals)[i] = sum;
    }
  });
  return totals;
}

}  // namespace

GroupNormResult groupNormCpu(const GroupNormOperands& o) {
  if (!isOurs(o.x) || o.x.numel() == 0) return groupNormReference(o);
  const Tensor x = o.x.contiguous(), shift = o.shift.defined() ? inFloat32(o.shift) : Tensor();
  const Chunks chunks(o);
  const Tensor parts = floats({chunks.batch, chunks.ofImage, 2, chunks.channels});
  const GroupNormResult result{at::empty_like(x), floats({chunks.batch, o.groups, 2})};
  withElementsOf(x, [&](auto* element) {
    using T = std::remove_pointer_t<decltype(element)>;
    const auto& loops = loopsOf(element);
    chunks.each([&](int64_t image, int64_t chunk, int64_t first, int64_t rows) {
      float* const part = dataOf<float>(parts) + (image * chunks.ofImage + chunk) * 2 * chunks.channels;
      loops.moments(dataOf<T>(x) + first, rows, chunks.channels, part, part + chunks.channels);
    });
    at::parallel_for(0, chunks.batch * o.groups, 1, [&](int64_t begin, int64_t end) {
      for (int64_t i = begin; i < end; ++i) {
        const int64_t image = i / o.groups;
        const float* const moved = shift.defined() ? dataOf<float>(shift) + image * chunks.channels : nullptr;
        statisticsOf(o, chunks, dataOf<float>(parts) + image * chunks.ofImage * 2 * chunks.channels, moved, i % o.groups,
                     dataOf<float>(result.statistics) + 2 * i);
      }
    });
    const Maps maps(o, result.statistics, shift);
    chunks.each([&](int64_t image, int64_t, int64_t first, int64_t rows) {
      loops.forward(dataOf<T>(x) + first, maps.of(image), rows, chunks.channels, dataOf<T>(result.normed) + first);
    });
  });
  return result;
}

GroupNormGradients groupNormBackwardCpu(const Tensor& upstream, const Tensor& statistics, const GroupNormOperands& o) {
  if (!isOurs(o.x) || o.x.numel() == 0) return groupNormBackwardReference(upstream, statistics, o);
  const Tensor x = o.x.contiguous(), dy = upstream.contiguous(), shift = o.shift.defined() ? inFloat32(o.shift) : Tensor();
  const Chunks chunks(o);
  const Maps maps(o, statistics, shift);
  const Tensor parts = floats({chunks.batch, chunks.ofImage, 3, chunks.channels}), gradient = at::empty_like(x);
  GroupNormGradients gradients{gradient, Tensor(), Tensor(), Tensor()};
  withElementsOf(x, [&](auto* element) {
    using T = std::remove_pointer_t<decltype(element)>;
    const auto& loops = loopsOf(element);
    chunks.each([&](int64_t image, int64_t chunk, int64_t first, int64_t rows) {
      loops.sums(dataOf<T>(dy) + first, dataOf<T>(x) + first, maps.of(image), rows, chunks.channels,
                 dataOf<float>(parts) + (image * chunks.ofImage + chunk) * 3 * chunks.channels);
    });
    // With n the normed x, of a group: dx = scale (d w - mean(d w) - n mean(d w n)).
    const Tensor totals = totalsOf(chunks, parts), ofOnes = totals.select(1, 0), along = totals.select(1, 1), distances = totals.select(1, 2);  // (B, C)
    const Tensor inverse = statistics.select(-1, 1).unsqueeze(-1).to(at::kDouble).expand({-1, -1, o.ofGroup()}).reshape({-1, o.channels()});
    const Tensor weight = o.weight.to(at::kDouble), change = along * inverse;
    const auto meanOfGroup = [&](const Tensor& t) {  // (B, C), the same for all channels of a group
      return (t.view({-1, o.groups, o.ofGroup()}).sum(-1, /*keepdim=*/true) / (o.pixels() * o.ofGroup())).expand({-1, -1, o.ofGroup()}).reshape({-1, o.channels()});
    };
    const Tensor constant = -inverse * meanOfGroup(ofOnes * weight), slope = -inverse * inverse * meanOfGroup(change * weight);
    const Tensor constants = inFloat32(constant), slopes = inFloat32(slope);
    chunks.each([&](int64_t image, int64_t, int64_t first, int64_t rows) {
      const int64_t channel = image * chunks.channels;
      loops.backward(dataOf<T>(dy) + first, dataOf<T>(x) + first, maps.of(image), dataOf<float>(constants) + channel, dataOf<float>(slopes) + channel, rows,
                     chunks.channels, dataOf<T>(gradient) + first);
    });
    if (o.shift.defined())
      gradients.shift = (inverse * weight * ofOnes + constant * o.pixels() + slope * distances).to(o.shift.scalar_type());
    gradients.weight = change.sum(0).to(o.weight.scalar_type());
    gradients.bias = ofOnes.sum(0).to(o.bias.scalar_type());
  });
  return gradients;
}

}  // namespace hearth
