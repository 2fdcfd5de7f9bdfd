// hearth::attention: softmax(scale · q kᵀ) v without the matrix of scores, and its gradient: tiles of scores are made,
// used and forgotten, and the backward pass makes them again from each query's log-sum-exp.
// Sources: Dao et al., "FlashAttention", arXiv:2205.14135; Dao, "FlashAttention-2", arXiv:2307.08691.
//   q (B, H, T, E), k and v (B, K, S, E), any strides; query head h reads key head floor(h / (H / K)). The output lies
//   in memory as q does: of a q that is a view of (B, T, H, E) it is one too. logsumexp (B, H, T).
//   Query t stands at key p = S - T + t. It sees key s if s <= p (causal), |s - p| < window (0: all), and both belong to
//   one document. documents (B, S): a number for each position; positions side by side with the same number are one
//   document, so one cumulative sum over separators makes them, and what a query sees is one interval of keys.
//   cos, sin (S, R): q and k are turned by rotary positions first, as in packages/hearth/src/nn/rotary.ts.
#include <torch/csrc/autograd/custom_function.h>
#include <torch/library.h>

#include "kernels/attention-operator.h"
#include "kernels/operands.h"

namespace hearth {

namespace {

using at::Tensor;
using OptionalTensor = c10::optional<Tensor>;

void checkHeads(const AttentionArguments& a) {
  TORCH_CHECK(a.q.dim() == 4 && a.k.dim() == 4 && a.k.sizes() == a.v.sizes() && a.q.size(0) == a.k.size(0) && a.q.size(3) == a.k.size(3),
              "hearth::attention: q must be (B, H, T, E), k and v (B, K, S, E), got ", a.q.sizes(), ", ", a.k.sizes(), " and ", a.v.sizes());
  TORCH_CHECK(a.q.scalar_type() == a.k.scalar_type() && a.q.scalar_type() == a.v.scalar_type(),
              "hearth::attention: q, k and v must have one dtype, got ", a.q.scalar_type(), ", ", a.k.scalar_type(), " and ", a.v.scalar_type());
  TORCH_CHECK(a.width() > 0 && a.keyHeads() > 0 && a.heads() % a.keyHeads() == 0, "hearth::attention: ", a.heads(),
              " query heads do not share ", a.keyHeads(), " key heads of width ", a.width(), " evenly");
}

void checkPositions(const AttentionArguments& a) {
  TORCH_CHECK(a.window >= 0, "hearth::attention: window must be 0 (none) or positive, got ", a.window);
  TORCH_CHECK(a.keys() < (int64_t{1} << 30) && a.queries() < (int64_t{1} << 30), "hearth::attention: at most 2^30 positions, got ", a.keys());
  const bool placed = a.causal || a.window > 0 || a.hasDocuments() || a.turns();
  TORCH_CHECK(!placed || a.queries() <= a.keys(), "hearth::attention: ", a.queries(), " queries do not stand at the end of ", a.keys(), " keys");
  if (a.hasDocuments())
    TORCH_CHECK(a.documents->dim() == 2 && a.documents->size(0) == a.batch() && a.documents->size(1) == a.keys() &&
                    at::isIntegralType(a.documents->scalar_type(), false),
                "hearth::attention: documents must be integers of shape (", a.batch(), ", ", a.keys(), "), got ",
                a.documents->scalar_type(), a.documents->sizes());
  TORCH_CHECK(a.turns() == (a.sin.has_value() && a.sin->defined()), "hearth::attention: cos and sin go together");
  if (a.turns())
    TORCH_CHECK(a.cos->dim() == 2 && a.cos->sizes() == a.sin->sizes() && a.cos->size(0) == a.keys() && a.cos->size(1) % 2 == 0 &&
                    a.cos->size(1) <= a.width(),
                "hearth::attention: cos and sin must be (", a.keys(), ", R) with an even R up to ", a.width(), ", got ",
                a.cos->sizes(), " and ", a.sin->sizes());
}

AttentionArguments checked(AttentionArguments arguments) {
  checkHeads(arguments);
  checkPositions(arguments);
  return arguments;
}

AttentionResults checked(AttentionResults results, const AttentionArguments& a) {
  const auto like = [](const Tensor& x, const Tensor& y) { return x.sizes() == y.sizes() && x.scalar_type() == y.scalar_type(); };
  TORCH_CHECK(like(results.upstream, a.q) && like(results.out, a.q) && results.logsumexp.sizes() == a.q.sizes().slice(0, 3),
              "hearth::attention_backward: upstream and out must be like q, ", a.q.scalar_type(), a.q.sizes(), ", got ",
              results.upstream.scalar_type(), results.upstream.sizes(), " and ", results.out.scalar_type(), results.out.sizes(),
              ", logsumexp ", results.logsumexp.sizes());
  return results;
}

#define ATTENTION_PARAMETERS                                                                         \
  const Tensor &q, const Tensor &k, const Tensor &v, double scale, bool causal, int64_t window,      \
      const OptionalTensor &documents, const OptionalTensor &cos, const OptionalTensor &sin
#define ATTENTION_ARGUMENTS q, k, v, scale, causal, window, documents, cos, sin
#define RESULT_PARAMETERS const Tensor &upstream, ATTENTION_PARAMETERS, const Tensor &out, const Tensor &logsumexp

TwoTensors forwardByReference(ATTENTION_PARAMETERS) { return attentionReference(checked(AttentionArguments{ATTENTION_ARGUMENTS})); }

ThreeTensors backwardByReference(RESULT_PARAMETERS) {
  const auto arguments = checked(AttentionArguments{ATTENTION_ARGUMENTS});
  return attentionBackwardReference(checked(AttentionResults{upstream, out, logsumexp}, arguments), arguments);
}

TwoTensors forwardOnCpu(ATTENTION_PARAMETERS) {
  const auto arguments = checked(AttentionArguments{ATTENTION_ARGUMENTS});
  return isOurs(q) ? attentionKernel(arguments) : attentionReference(arguments);
}

ThreeTensors backwardOnCpu(RESULT_PARAMETERS) {
  const auto arguments = checked(AttentionArguments{ATTENTION_ARGUMENTS});
  const auto results = checked(AttentionResults{upstream, out, logsumexp}, arguments);
  return isOurs(q) ? attentionBackwardKernel(results, arguments) : attentionBackwardReference(results, arguments);
}

struct AttentionFunction : torch::autograd::Function<AttentionFunction> {
  static torch::autograd::variable_list forward(torch::autograd::AutogradContext* context, ATTENTION_PARAMETERS) {
    static const auto op =
        c10::Dispatcher::singleton().findSchemaOrThrow("hearth::attention", "").typed<TwoTensors(ATTENTION_PARAMETERS)>();
    const at::AutoDispatchBelowADInplaceOrView below;
    const auto [out, logsumexp] = op.call(ATTENTION_ARGUMENTS);
    const auto orNothing = [](const OptionalTensor& x) { return x.has_value() ? *x : Tensor(); };
    context->save_for_backward({q, k, v, orNothing(documents), orNothing(cos), orNothing(sin), out, logsumexp});
    context->saved_data["scale"] = scale;
    context->saved_data["causal"] = causal;
    context->saved_data["window"] = window;
    context->mark_non_differentiable({logsumexp});
    return {out, logsumexp};
  }

  static torch::autograd::variable_list backward(torch::autograd::AutogradContext* context, torch::autograd::variable_list upstream) {
    static const auto op =
        c10::Dispatcher::singleton().findSchemaOrThrow("hearth::attention_backward", "").typed<ThreeTensors(RESULT_PARAMETERS)>();
    const auto saved = context->get_saved_variables();
    const auto orNothing = [](const Tensor& x) { return x.defined() ? OptionalTensor(x) : OptionalTensor(); };
    auto& constants = context->saved_data;
    auto [q, k, v] = op.call(upstream[0], saved[0], saved[1], saved[2], constants["scale"].toDouble(), constants["causal"].toBool(),
                             constants["window"].toInt(), orNothing(saved[3]), orNothing(saved[4]), orNothing(saved[5]), saved[6], saved[7]);
    return {q, k, v, {}, {}, {}, {}, {}, {}};
  }
};

TwoTensors attentionAutograd(ATTENTION_PARAMETERS) {
  const auto results = AttentionFunction::apply(ATTENTION_ARGUMENTS);
  return {results[0], results[1]};
}

}  // namespace

TORCH_LIBRARY_FRAGMENT(hearth, library) {
  library.def(
      "attention(Tensor q, Tensor k, Tensor v, float scale, bool causal=False, int window=0, Tensor? documents=None, "
      "Tensor? cos=None, Tensor? sin=None) -> (Tensor out, Tensor logsumexp)");
  library.def(
      "attention_backward(Tensor upstream, Tensor q, Tensor k, Tensor v, float scale, bool causal, int window, Tensor? documents, "
      "Tensor? cos, Tensor? sin, Tensor out, Tensor logsumexp) -> (Tensor, Tensor, Tensor)");
}

TORCH_LIBRARY_IMPL(hearth, CompositeExplicitAutograd, library) {
  library.impl("attention", forwardByReference);
  library.impl("attention_backward", backwardByReference);
}

TORCH_LIBRARY_IMPL(hearth, CPU, library) {
  library.impl("attention", forwardOnCpu);
  library.impl("attention_backward", backwardOnCpu);
}

TORCH_LIBRARY_IMPL(hearth, Autograd, library) { library.impl("attention", attentionAutograd); }

}  // namespace hearth
