// Rows of logits are made, used up and overwritten, a chunk at a time in one scratch tensor. Their gradient is known as
// soon as their loss is, so both products of the backward pass follow at once: no logit is computed twice or kept.
// On other devices, and as reference, the same chunks go through ATen's operators.
#include "kernels/linear-cross-entropy-chunks.h"

#include <algorithm>
#include <cmath>
#include <vector>

#include "kernels/gemm/choice.h"
#include "kernels/gemm/epilogue.h"
#include "kernels/gemm/product.h"
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

template <typename T>
const EpilogueLoops<T>& epilogueOf(const T*) {
  if constexpr (std::is_same_v<T, float>) return epilogueTable().float32;
  else return epilogueTable().bfloat16;
}

/** out = [out +] left rightᵀ by a product of ours, summed in float32. */
void multiplyBy(const GemmKernel& kernel, const Tensor& out, const Tensor& left, const Tensor& right, bool adds = false) {
  const OperandOf l(left), r(right);
  withElementsOf(out, [&](auto* element) {
    using T = std::remove_pointer_t<decltype(element)>;
    T* const data = dataOf<T>(out);
    const int64_t stride = out.stride(0);
    product(kernel, l.operand, r.operand, [=](int64_t row, int64_t column, int64_t count, const float* sums) {
      T* const to = data + row * stride + column;
      epilogueOf(to).finish({sums, nullptr, adds ? to : nullptr, nullptr, to, count, LinearActivation::none});
    });
  });
}

/** The chunks of one loss. Scratch is made once and used by all. */
class LossChunks {
 public:
  LossChunks(const LossOperands& operands, const LossWanted& wanted)
      : operands_(operands),
        wanted_(wanted),
        rows_(operands.hidden.size(0)),
        vocabulary_(operands.weight.size(0)),
        kernel_(isOurs(operands.hidden) ? chosenKernel(operands.hidden.scalar_type()) : nullptr) {
    wideType_ = operands.hidden.scalar_type() == at::kDouble ? at::kDouble : at::kFloat;
    wide_ = operands.hidden.options().dtype(wideType_);
    // On CPUs float32: our own products give such sums of any operands, and libtorch 1.13 sums 16-bit floats in 16 bits.
    tile_ = at::empty({rowsOfChunk(rows_), vocabulary_}, operands.hidden.device().is_cpu() ? wide_ : operands.hidden.options());
    block_ = is16Bit(operands.hidden) ? std::min(kBlock, vocabulary_) : vocabulary_;
    if (operands.bias.defined()) bias_ = operands.bias.to(wideType_).contiguous();
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
    const Tensor hidden = operands_.hidden.narrow(0, begin, count);
    const Tensor targets = operands_.targets.narrow(0, begin, count), tile = tile_.narrow(0, 0, count);
    if (kernel_ != nullptr) multiplyBy(*kernel_, tile, hidden, operands_.weight);
    else multiplyByOperators(tile, hidden);
    result_.loss.add_(isOurs(tile) ? lossOf(tile, targets) : lossByOperators(tile, targets));
    if (!wanted_.any()) return;
    const Tensor gradient = gradientIn(tile);
    if (kernel_ == nullptr) multiplyBackByOperators(begin, hidden, gradient);
    else {
      if (wanted_.hidden) multiplyBy(*kernel_, result_.hidden.narrow(0, begin, count), gradient, operands_.weight.t());
      if (wanted_.weight) multiplyBy(*kernel_, result_.weight, gradient.t(), hidden.t(), /*adds=*/begin > 0);
    }
    if (wanted_.bias) addToBias(gradient);
  }

  /** Our products take both operands in one dtype: then a gradient in bfloat16 lies where its row of logits was. */
  bool gradientIsBfloat16() const { return kernel_ != nullptr && operands_.hidden.scalar_type() == at::kBFloat16; }

  /** The gradient of the logits (R, V), which has taken their place. */
  Tensor gradientIn(const Tensor& tile) const { return gradientIsBfloat16() ? tile.view(at::kBFloat16).narrow(1, 0, vocabulary_) : tile; }

  void multiplyByOperators(const Tensor& tile, const Tensor& hidden) {
    const Tensor left = hidden.to(tile.scalar_type());
    eachBlock([&](int64_t from, int64_t size, const Tensor& weight) {
      Tensor logits = tile.narrow(1, from, size);
      at::mm_out(logits, left, weight.t());
    });
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
  void multiplyBackByOperators(int64_t begin, const Tensor& x, const Tensor& tile) {
    const Tensor hidden = x.to(tile.scalar_type());
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
    const float* const bias = bias_.defined() ? dataOf<float>(bias_) : nullptr;
    std::vector<double> losses(static_cast<size_t>(tile.size(0)));
    at::parallel_for(0, tile.size(0), 1, [&](int64_t begin, int64_t end) {
      for (int64_t r = begin; r < end; ++r) losses[r] = lossOfRow(dataOf<float>(tile) + r * vocabulary_, bias, target[r], scale);
    });
    double sum = 0;
    for (const double loss : losses) sum += loss;
    return at::scalar_tensor(sum, at::kDouble);
  }

  double lossOfRow(float* logits, const float* bias, int64_t target, float scale) const {
    if (target == operands_.ignoreIndex) {
      std::fill_n(logits, vocabulary_, 0.0f);
      return 0;
    }
    const auto gradient = gradientIsBfloat16() ? logitTable().gradientBfloat16 : logitTable().gradient;
    const LogitSums sums = wanted_.any() ? gradient(logits, bias, vocabulary_, target, scale) : logitTable().sums(logits, bias, vocabulary_, target);
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
  /** Our product for the operands' dtype; null where ATen multiplies. */
  const GemmKernel* const kernel_;
  int64_t block_ = 0;
  at::ScalarType wideType_;
  at::TensorOptions wide_;
  Tensor tile_, bias_, scale_;
  LossResult result_;
};

}  // namespace

LossResult lossInChunks(const LossOperands& operands, const LossWanted& wanted) { return LossChunks(operands, wanted).run(); }

}  // namespace hearth
