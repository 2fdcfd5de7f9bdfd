// hearth::embedding: rows of a table, with a gradient that needs no atomics. Each row of the table is summed by one
// thread over its tokens in their order, in float32, and written once; so the bits do not depend on the threads.
#include <torch/csrc/autograd/custom_function.h>
#include <torch/library.h>

#include <algorithm>
#include <vector>

#include "kernels/column-sums.h"
#include "kernels/operands.h"

namespace hearth {

namespace {

using at::Tensor;
using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

void checkIds(const Tensor& ids) {
  TORCH_CHECK(ids.scalar_type() == at::kLong || ids.scalar_type() == at::kInt, "hearth::embedding: ids must be int64 or int32, got ", ids.scalar_type());
}

void checkGradient(const Tensor& upstream, const Tensor& ids, int64_t rows) {
  checkIds(ids);
  TORCH_CHECK(upstream.dim() == ids.dim() + 1 && upstream.sizes().slice(0, ids.dim()) == ids.sizes() && rows > 0,
              "hearth::embedding_backward: upstream must be (ids..., width) of at least one row, got ", upstream.sizes(), " for ids ", ids.sizes());
  // libtorch's loop on a CPU would write wherever an id points.
  if (!ids.device().is_cpu() || ids.numel() == 0) return;
  const int64_t least = ids.min().item<int64_t>(), most = ids.max().item<int64_t>();
  TORCH_CHECK(least >= 0 && most < rows, "hearth::embedding_backward: ids must be rows from 0 to ", rows - 1, ", got ", least, " to ", most);
}

Tensor rowsOf(const Tensor& weight, const Tensor& ids) {
  checkIds(ids);
  TORCH_CHECK(weight.dim() == 2, "hearth::embedding: weight must be (rows, width), got ", weight.sizes());
  return at::embedding(weight, ids);
}

Tensor embeddingBackwardReference(const Tensor& upstream, const Tensor& ids, int64_t rows) {
  checkGradient(upstream, ids, rows);
  const bool widen = upstream.device().is_cpu() && upstream.element_size() == 2;
  const Tensor wide = widen ? upstream.to(at::kFloat) : upstream;
  return at::embedding_dense_backward(wide, ids, rows, /*padding_idx=*/-1, /*scale_grad_by_freq=*/false).to(upstream.scalar_type());
}

/** The tokens of each row, as chains in rising order: the first of a row, then from each to the next; -1 ends. */
struct TokensOfRows {
  std::vector<int64_t> first, next;

  TokensOfRows(const int64_t* ids, int64_t tokens, int64_t rows) : first(rows, -1), next(tokens, -1) {
    for (int64_t token = tokens - 1; token >= 0; --token) next[token] = std::exchange(first[ids[token]], token);
  }
};

/** Sums a row's tokens into `out`. */
void sumTokens(const float* upstream, const TokensOfRows& tokens, int64_t row, int64_t width, float* out, std::vector<float>&) {
  std::copy_n(upstream + tokens.first[row] * width, width, out);
  for (int64_t token = tokens.next[tokens.first[row]]; token >= 0; token = tokens.next[token])
    columnSumsTable().float32(upstream + token * width, width, 1, width, out);
}

void sumTokens(const BFloat16* upstream, const TokensOfRows& tokens, int64_t row, int64_t width, BFloat16* out, std::vector<float>& sums) {
  std::fill(sums.begin(), sums.end(), 0.0f);
  for (int64_t token = tokens.first[row]; token >= 0; token = tokens.next[token])
    columnSumsTable().bfloat16(upstream + token * width, width, 1, width, sums.data());
  std::copy_n(sums.data(), width, reinterpret_cast<c10::BFloat16*>(out));
}

Tensor embeddingBackwardCpu(const Tensor& upstream, const Tensor& ids, int64_t rows) {
  checkGradient(upstream, ids, rows);
  if (!isOurs(upstream)) return embeddingBackwardReference(upstream, ids, rows);
  const Tensor dy = upstream.contiguous(), order = ids.to(at::kLong).contiguous();
  const int64_t width = upstream.size(-1);
  const TokensOfRows tokens(order.data_ptr<int64_t>(), order.numel(), rows);
  const Tensor gradient = at::empty({rows, width}, upstream.options());
  withElementsOf(dy, [&](auto* element) {
    using T = std::remove_pointer_t<decltype(element)>;
    at::parallel_for(0, rows, std::max<int64_t>(1, kElementwiseGrain / std::max<int64_t>(1, width)), [&](int64_t begin, int64_t end) {
      std::vector<float> sums(width);
      for (int64_t row = begin; row < end; ++row) {
        T* const out = dataOf<T>(gradient) + row * width;
        if (tokens.first[row] < 0) std::fill_n(out, width, T{});
        else sumTokens(dataOf<T>(dy), tokens, row, width, out, sums);
      }
    });
  });
  return gradient;
}

struct EmbeddingFunction : torch::autograd::Function<EmbeddingFunction> {
  static Tensor forward(AutogradContext* context, const Tensor& weight, const Tensor& ids) {
    const at::AutoDispatchBelowADInplaceOrView below;
    context->save_for_backward({ids});
    context->saved_data["rows"] = weight.dim() > 0 ? weight.size(0) : 0;
    return rowsOf(weight, ids);
  }

  static variable_list backward(AutogradContext* context, variable_list upstream) {
    static const auto op =
        c10::Dispatcher::singleton().findSchemaOrThrow("hearth::embedding_backward", "").typed<Tensor(const Tensor&, const Tensor&, int64_t)>();
    return {op.call(upstream[0], context->get_saved_variables()[0], context->saved_data["rows"].toInt()), Tensor()};
  }
};

Tensor embeddingAutograd(const Tensor& weight, const Tensor& ids) { return EmbeddingFunction::apply(weight, ids); }

}  // namespace

TORCH_LIBRARY_FRAGMENT(hearth, library) {
  library.def("embedding(Tensor weight, Tensor ids) -> Tensor");
  library.def("embedding_backward(Tensor upstream, Tensor ids, int rows) -> Tensor");
}

TORCH_LIBRARY_IMPL(hearth, CompositeExplicitAutograd, library) {
  library.impl("embedding", rowsOf);
  library.impl("embedding_backward", embeddingBackwardReference);
}

TORCH_LIBRARY_IMPL(hearth, CPU, library) { library.impl("embedding_backward", embeddingBackwardCpu); }
TORCH_LIBRARY_IMPL(hearth, Autograd, library) { library.impl("embedding", embeddingAutograd); }

}  // namespace hearth
