// Registration of hearth::group_norm and its gradient; what they compute is in group-norm.cc.
#include "kernels/group-norm-operators.h"

#include <torch/csrc/autograd/custom_function.h>
#include <torch/library.h>

namespace hearth {

namespace {

using at::Tensor;
using OptionalTensor = c10::optional<Tensor>;
using TwoTensors = std::tuple<Tensor, Tensor>;
using FourTensors = std::tuple<Tensor, Tensor, Tensor, Tensor>;
using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

Tensor orUndefined(const OptionalTensor& tensor) { return tensor.has_value() ? *tensor : Tensor(); }

void checkOperands(const GroupNormOperands& o) {
  const Tensor &x = o.x, &weight = o.weight, &bias = o.bias;
  TORCH_CHECK(x.dim() >= 2 && at::isFloatingType(x.scalar_type()) && weight.dim() == 1 && weight.size(0) == x.size(-1) && bias.sizes() == weight.sizes() &&
                  bias.scalar_type() == weight.scalar_type(),
              "hearth::group_norm: x must be floats (batch, ..., channels), weight and bias (channels), got ", x.scalar_type(), x.sizes(), ", ",
              weight.sizes(), " and ", bias.sizes());
  TORCH_CHECK(o.groups > 0 && x.size(-1) > 0 && x.size(-1) % o.groups == 0, "hearth::group_norm: ", x.size(-1), " channels do not fall into ", o.groups,
              " groups evenly");
  TORCH_CHECK(!o.shift.defined() || (o.shift.dim() == 2 && o.shift.size(0) == x.size(0) && o.shift.size(1) == x.size(-1)),
              "hearth::group_norm: shift must be (batch, channels), got ", o.shift.defined() ? o.shift.sizes() : at::IntArrayRef(), " for x ", x.sizes());
}

#define GROUP_NORM_PARAMETERS \
  const Tensor &x, const OptionalTensor &shift, const Tensor &weight, const Tensor &bias, int64_t groups, double eps, bool silu
#define GROUP_NORM_ARGUMENTS x, shift, weight, bias, groups, eps, silu

template <GroupNormResult (*compute)(const GroupNormOperands&)>
TwoTensors forwardBy(GROUP_NORM_PARAMETERS) {
  const GroupNormOperands operands{x, orUndefined(shift), weight, bias, groups, eps, silu};
  checkOperands(operands);
  const GroupNormResult result = compute(operands);
  return {result.normed, result.statistics};
}

template <GroupNormGradients (*compute)(const Tensor&, const Tensor&, const GroupNormOperands&)>
FourTensors backwardBy(const Tensor& upstream, const Tensor& statistics, GROUP_NORM_PARAMETERS) {
  const GroupNormOperands operands{x, orUndefined(shift), weight, bias, groups, eps, silu};
  checkOperands(operands);
  TORCH_CHECK(upstream.sizes() == x.sizes() && upstream.scalar_type() == x.scalar_type(), "hearth::group_norm_backward: upstream must be like x, ",
              x.scalar_type(), x.sizes(), ", got ", upstream.scalar_type(), upstream.sizes());
  const std::vector<int64_t> shape{x.size(0), groups, 2};
  TORCH_CHECK(statistics.sizes().equals(shape) && statistics.scalar_type() == (x.scalar_type() == at::kDouble ? at::kDouble : at::kFloat),
              "hearth::group_norm_backward: statistics must be those of the forward pass, got ", statistics.scalar_type(), statistics.sizes());
  const GroupNormGradients result = compute(upstream, statistics, operands);
  return {result.x, result.shift, result.weight, result.bias};
}

TwoTensors callForward(GROUP_NORM_PARAMETERS) {
  static const auto op =
      c10::Dispatcher::singleton().findSchemaOrThrow("hearth::group_norm_forward", "").typed<TwoTensors(GROUP_NORM_PARAMETERS)>();
  return op.call(GROUP_NORM_ARGUMENTS);
}

struct GroupNormFunction : torch::autograd::Function<GroupNormFunction> {
  static Tensor forward(AutogradContext* context, GROUP_NORM_PARAMETERS) {
    const at::AutoDispatchBelowADInplaceOrView below;
    const auto [normed, statistics] = callForward(GROUP_NORM_ARGUMENTS);
    context->save_for_backward({x, orUndefined(shift), weight, bias, statistics});
    context->saved_data["groups"] = groups;
    context->saved_data["eps"] = eps;
    context->saved_data["silu"] = silu;
    return normed;
  }

  static variable_list backward(AutogradContext* context, variable_list upstream) {
    static const auto op = c10::Dispatcher::singleton()
                               .findSchemaOrThrow("hearth::group_norm_backward", "")
                               .typed<FourTensors(const Tensor&, const Tensor&, GROUP_NORM_PARAMETERS)>();
    const auto saved = context->get_saved_variables();
    const OptionalTensor shift = saved[1].defined() ? OptionalTensor(saved[1]) : c10::nullopt;
    auto& constants = context->saved_data;
    const auto [dx, ofShift, ofWeight, ofBias] = op.call(upstream[0], saved[4], saved[0], shift, saved[2], saved[3], constants["groups"].toInt(),
                                                         constants["eps"].toDouble(), constants["silu"].toBool());
    return {dx, ofShift, ofWeight, ofBias, Tensor(), Tensor(), Tensor()};
  }
};

Tensor groupNorm(GROUP_NORM_PARAMETERS) { return std::get<0>(callForward(GROUP_NORM_ARGUMENTS)); }
Tensor groupNormAutograd(GROUP_NORM_PARAMETERS) { return GroupNormFunction::apply(GROUP_NORM_ARGUMENTS); }

}  // namespace

TORCH_LIBRARY_FRAGMENT(hearth, library) {
  // x (batch, ..., channels), shift (batch, channels): silu(norm(x + shift)), or without the silu.
  library.def("group_norm(Tensor x, Tensor? shift, Tensor weight, Tensor bias, int groups, float eps, bool silu=False) -> Tensor");
  library.def("group_norm_forward(Tensor x, Tensor? shift, Tensor weight, Tensor bias, int groups, float eps, bool silu) -> (Tensor, Tensor)");
  library.def(
      "group_norm_backward(Tensor upstream, Tensor statistics, Tensor x, Tensor? shift, Tensor weight, Tensor bias, int groups, float eps, bool silu) "
      "-> (Tensor, Tensor, Tensor, Tensor)");
}

TORCH_LIBRARY_IMPL(hearth, CompositeExplicitAutograd, library) {
  library.impl("group_norm", groupNorm);
  library.impl("group_norm_forward", forwardBy<groupNormReference>);
  library.impl("group_norm_backward", backwardBy<groupNormBackwardReference>);
}

TORCH_LIBRARY_IMPL(hearth, CPU, library) {
  library.impl("group_norm_forward", forwardBy<groupNormCpu>);
  library.impl("group_norm_backward", backwardBy<groupNormBackwardCpu>);
}

TORCH_LIBRARY_IMPL(hearth, Autograd, library) { library.impl("group_norm", groupNormAutograd); }

}  // namespace hearth
