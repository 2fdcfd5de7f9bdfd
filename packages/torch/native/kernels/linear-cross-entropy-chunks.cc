// Rows of logits are made, used up and overwritten, a chunk at a time in one scratch tensor. Their gradient is known as
// soon as their loss is, so both products of the backward pass follow at once: no logit is computed twice or kept.
// On other devices, and as reference, the same chunks go through ATen's operators.
#include "kernels/linear-cross-entropy-chunks.h"

#include <algorithm>
#include <cmath>
#include <vector>

#include "kernels/column-sums.h"
#include "kernels/linear-cross-entropy.h"
#include "kernels/operands.h"

namespace hearth {

namespace {

using at::Tensor;

// Of 8192 rows 512 are 6 % of the logits. Each chunk reads and writes the whole gradient of the weight: chunks of 256 rows
// cost 8 % more time on a Zen 3 core than 512, chunks of 128 rows 15 % more, and more where products are faster.
constexpr int64_t kMostRows = 512;
constexpr int64_t kFewestRows = 128;
/** Rows of the weight that are in another dtype at a time. */
constexpr int64_t kBlock = 2048;

int64_t rowsOfChunk(int64_t rows) {
  const int64_t most = std::min(kMostRows, std::max(kFewestRows, (rows + 1) / 2));
  const int64_t chunks = std::max<int64_t>(1, (rows + most - 1) / most);
  return std::max<int64_t>(1, (rows + chunks - 1) / chunks);
}

bool is16Bit(const Tensor& tensor) { return tensor.element_size() == 2; }

/** Where nothing multiplies bfloat16, libtorch 1.13 emulates it, 10 times slower than float32 and summing in 16 bits. */
bool mustWiden(const Tensor& tensor) {
#if defined(__x86_64__)
  static const bool hardware = __builtin_cpu_supports("avx512bf16");
#else
  static const bool hardware = false;
#endif
  return tensor.device().is_cpu() && is16Bit(tensor) && !hardware;
}

template <typename T>
const LogitLoops<T>& loopsOf(const T*) {
  if constexpr (std::is_same_v<T, float>) return logitTable().float32;
  else return logitTable().bfloat16;
}

/** The chunks of one loss. Scratch is made once and used by all. */
class LossChunks {
 public:
  LossChunks(const LossOperands& operands, const LossWanted& wanted)
      : operands_(operands), wanted_(wanted), rows_(operands.hidden.size(0)), vocabulary_(operands.weight.size(0)), widen_(mustWiden(operands.hidden)) {
    wideType_ = operands.hidden.scalar_type() == at::kDouble ? at::kDouble : at::kFloat;
    wide_ = operands.hidden.options().dtype(wideType_);
    tile_ = at::empty({rowsOfChunk(rows_), vocabulary_}, widen_ ? wide_ : operands.hidden.options());
    block_ = is16Bit(operands.hidden) ? std::min(kBlock, vocabulary_) : vocabulary_;
    // A bias in the dtype of the logits, which may be widened.
    if (operands.bias.defined()) bias_ = operands.bias.to(tile_.scalar_type()).contiguous();
    if (wanted.hidden) result_.hidden = at::empty_like(operands.hidden);
    if (wanted.weight) result_.weight = at::empty({vocabulary_, operands.hidden.size(1)}, wide_);
    if (wanted.bias) result_.bias = at::zeros({vocabulary_}, wide_);
  }

  LossResult run() {
    result_.loss = at::zeros({}, wide_.dtype(tile_.device().is_cpu() ? at::kDouble : wideType_));
    scale_ = operands_.mean ? operands_.targets.ne(operands_.ignoreIndex).sum().to(wideType_).reciprocal() : at::ones({}, wide_);
    for (int64_t begin = 0; begin < rows_; begin += tile_.size(0)) runChunk(begin, std::min(tile_.size(0), rows_ - begin));
    result_.loss = (result_.loss * scale_).to(wideType_);
    if (rows_ == 0 && wanted_.weight) result_.weight.zero_();
    if (wanted_.weight) result_.weight = result_.weight.to(operands_.weight.scalar_type());
    if (wanted_.bias) result_.bias = result_.bias.to(operands_.bias.scalar_type());
    return result_;
  }

 private:
  void runChunk(int64_t begin, int64_t count) {
    const Tensor hidden = operands_.hidden.narrow(0, begin, count).to(tile_.scalar_type());
    const Tensor targets = operands_.targets.narrow(0, begin, count), tile = tile_.narrow(0, 0, count);
    eachBlock([&](int64_t from, int64_t size, const Tensor& weight) {
      Tensor logits = tile.narrow(1, from, size);
      at::mm_out(logits, hidden, weight.t());
    });
    result_.loss.add_(isOurs(tile) ? lossOf(tile, targets) : lossByOperators(tile, targets));
    if (wanted_.hidden || wanted_.weight) multiplyBack(begin, hidden, tile);
    if (wanted_.bias) addToBias(tile);
  }

  /** work(from, count, rows of the weight in the dtype of the logits). */
  template <typename Work>
  void eachBlock(Work work) {
    for (int64_t from = 0; from < vocabulary_; from += block_) {
      const int64_t size = std::min(block_, vocabulary_ - from);
      work(from, size, operands_.weight.narrow(0, from, size).to(tile_.scalar_type()));
    }
  }

  /** Both products of the backward pass; `tile` holds the gradient of the logits. */
  void multiplyBack(int64_t begin, const Tensor& hidden, const Tensor& tile) {
    Tensor gradient = wanted_.hidden ? result_.hidden.narrow(0, begin, tile.size(0)) : Tensor();
    Tensor sum = wanted_.hidden && block_ < vocabulary_ ? at::zeros(gradient.sizes(), wide_) : gradient;
    eachBlock([&](int64_t from, int64_t size, const Tensor& weight) {
      const Tensor part = tile.narrow(1, from, size);
      if (wanted_.hidden) accumulate(sum, part, weight, /*first=*/from == 0);
      if (wanted_.weight) {
        Tensor rows = result_.weight.narrow(0, from, size);
        accumulate(rows, part.t(), hidden, /*first=*/begin == 0);
      }
    });
    if (wanted_.hidden && !sum.is_same(gradient)) gradient.copy_(sum);
  }

  /** sum = [sum +] a b. Products of 16-bit floats are rounded once each and added in float32. */
  static void accumulate(Tensor& sum, const Tensor& a, const Tensor& b, bool first) {
    if (sum.scalar_type() == a.scalar_type()) sum.addmm_(a, b, /*beta=*/first ? 0 : 1);
    else if (first) sum.copy_(at::mm(a, b));
    else sum.add_(at::mm(a, b));
  }

  /** The sum of the losses of these rows; where gradients are wanted, theirs takes the logits' place. */
  Tensor lossOf(const Tensor& tile, const Tensor& targets) {
    const int64_t* target = targets.data_ptr<int64_t>();
    const float scale = scale_.item<float>();
    std::vector<double> losses(static_cast<size_t>(tile.size(0)));
    withElementsOf(tile, [&](auto* element) {
      using T = std::remove_pointer_t<decltype(element)>;
      const T* bias = bias_.defined() ? dataOf<T>(bias_) : nullptr;
      at::parallel_for(0, tile.size(0), 1, [&](int64_t begin, int64_t end) {
        for (int64_t r = begin; r < end; ++r) losses[r] = lossOfRow(dataOf<T>(tile) + r * vocabulary_, bias, target[r], scale);
      });
    });
    double sum = 0;
    for (const double loss : losses) sum += loss;
    return at::scalar_tensor(sum, at::kDouble);
  }

  template <typename T>
  double lossOfRow(T* logits, const T* bias, int64_t target, float scale) const {
    if (target == operands_.ignoreIndex) {
      if (wanted_.any()) std::fill_n(logits, vocabulary_, T{});
      return 0;
    }
    const LogitLoops<T>& loops = loopsOf(logits);
    const LogitSums sums = wanted_.any() ? loops.gradient(logits, bias, vocabulary_, target, scale) : loops.sums(logits, bias, vocabulary_, target);
    return std::log(static_cast<double>(sums.sum)) + (static_cast<double>(sums.most) - sums.target);
  }

  /** The same, in place as far as the dtype allows: these temporaries would be the largest. */
  Tensor lossByOperators(Tensor tile, const Tensor& targets) {
    const Tensor counts = targets.ne(operands_.ignoreIndex).unsqueeze(1), ignored = counts.logical_not();  // (R, 1)
    const Tensor target = targets.unsqueeze(1).masked_fill(ignored, 0);
    Tensor logits = tile.to(wideType_);
    if (bias_.defined()) logits.add_(bias_);
    const Tensor picked = logits.gather(1, target), most = logits.amax(1, /*keepdim=*/true);
    Tensor shares = logits.sub_(most).exp_();
    const Tensor sum = shares.sum(1, /*keepdim=*/true);
    const Tensor loss = (sum.log() + most - picked).masked_fill(ignored, 0).sum();
    if (wanted_.any()) {
      shares.div_(sum).scatter_add_(1, target, at::full_like(sum, -1));
      tile.copy_(shares.mul_(scale_).masked_fill_(ignored, 0));
    }
    return loss;
  }

  void addToBias(const Tensor& tile) {
    if (!isOurs(tile)) return void(result_.bias.add_(sumOfRows(tile.to(wideType_))));
    addRowsTo(result_.bias, tile);
  }

  const LossOperands& operands_;
  const LossWanted wanted_;
  const int64_t rows_, vocabulary_;
  const bool widen_;
  int64_t block_ = 0;
  at::ScalarType wideType_;
  at::TensorOptions wide_;
  Tensor tile_, bias_, scale_;
  LossResult result_;
};

}  // namespace

LossResult lossInChunks(const LossOperands& operands, const LossWanted& wanted) { return LossChunks(operands, wanted).run(); }

}  // namespace hearth
