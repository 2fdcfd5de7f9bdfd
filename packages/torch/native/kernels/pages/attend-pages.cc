// hearth::attend_pages: attention of new tokens of many texts, each over its own pages of keys and values, for running
// models. It first writes the new keys and values, turned by their rotary positions, then each query sees the keys up to its
// own position. What a row gets has the same bits whatever texts lie beside it, and with any number of threads.
// Source of the pages: Kwon et al., "PagedAttention", arXiv:2309.06180. There are no gradients.
#include <torch/library.h>

#include "kernels/operands.h"
#include "kernels/pages/attend-pages-operands.h"

namespace hearth {

namespace {

using at::Tensor;
using OptionalTensor = c10::optional<Tensor>;

template <typename T>
const RowLoops<T>& rowLoops() {
  if constexpr (std::is_same_v<T, float>) return pagesTable().floatRows;
  else return pagesTable().halfRows;
}

template <typename P>
const PageLoops<P>& pageLoops() {
  if constexpr (std::is_same_v<P, float>) return pagesTable().floats;
  else if constexpr (std::is_same_v<P, BFloat16>) return pagesTable().halves;
  else return pagesTable().bytes;
}

/** Some rows of a text and one key head. */
struct PagedTask {
  TextSpan span;
  int64_t head;
};

/** Everything that the tasks share. T is the type of the rows, P that of the pages. */
template <typename T, typename P>
struct PagedAttention {
  const PagedOperands& o;
  LayerPages<P> pages;
  Tensor cos, sin;
  T* out;

  RowTurn turnOf(int64_t row) const {
    if (!cos.defined()) return {0, nullptr, nullptr};
    return {cos.size(1), dataOf<float>(cos) + row * cos.size(1), dataOf<float>(sin) + row * cos.size(1)};
  }

  const T* at(const Tensor& x, int64_t row, int64_t head) const { return dataOf<T>(x) + row * x.stride(0) + head * x.stride(1); }

  const int32_t* tableOf(const TextSpan& span) const { return dataOf<int32_t>(o.tables) + span.text * o.tables.size(1); }

  void write(const PagedTask& task, float* scratch) const {
    float* const value = scratch + pages.paddedWidth;
    for (int64_t i = 0; i < task.span.rows; ++i) {
      const int64_t row = task.span.firstRow + i, position = task.span.position + i;
      rowLoops<T>().turn(at(o.k, row, task.head), pages.width, pages.paddedWidth, turnOf(row), 1, scratch);
      rowLoops<T>().turn(at(o.v, row, task.head), pages.width, pages.paddedWidth, {0, nullptr, nullptr}, 1, value);
      pageLoops<P>().write(pages, tableOf(task.span)[position / kPageTokens], task.head, position % kPageTokens, scratch, value);
    }
  }

  /** @param scratch floatsOfTask() */
  void attend(const PagedTask& task, float* scratch) const {
    const int64_t group = o.q.size(1) / pages.heads, queries = task.span.rows * group;
    KeyRange visible[kQueriesAtOnce];
    float* const rows = scratch;
    float* const outs = rows + queries * pages.paddedWidth;
    for (int64_t i = 0; i < queries; ++i) {
      const int64_t row = task.span.firstRow + i / group, position = task.span.position + i / group;
      const int64_t begin = o.window > 0 ? std::max<int64_t>(0, position - o.window + 1) : 0;
      visible[i] = {static_cast<int32_t>(begin), static_cast<int32_t>(position + 1)};
      rowLoops<T>().turn(at(o.q, row, task.head * group + i % group), pages.width, pages.paddedWidth, turnOf(row), static_cast<float>(o.scale),
                         rows + i * pages.paddedWidth);
    }
    pageLoops<P>().attend({pages, tableOf(task.span), task.head, queries, visible, rows, outs + queries * pages.paddedWidth, outs});
    for (int64_t i = 0; i < queries; ++i) {
      const int64_t row = task.span.firstRow + i / group, head = task.head * group + i % group;
      rowLoops<T>().store(outs + i * pages.paddedWidth, pages.width, out + (row * o.q.size(1) + head) * pages.width);
    }
  }
};

/** Rows of a task: as many as have kQueriesAtOnce queries. */
std::vector<PagedTask> tasksOf(const std::vector<TextSpan>& spans, int64_t heads, int64_t rowsAtOnce) {
  std::vector<PagedTask> tasks;
  for (const TextSpan& span : spans)
    for (int64_t head = 0; head < heads; ++head)
      for (int64_t row = 0; row < span.rows; row += rowsAtOnce)
        tasks.push_back({{span.text, span.firstRow + row, std::min(rowsAtOnce, span.rows - row), span.position + row}, head});
  return tasks;
}

/** work(task, scratch) for all; threads share them where that is worth waking one. */
template <typename Work>
void eachTask(const std::vector<PagedTask>& tasks, int64_t floats, bool share, Work work) {
  const int64_t count = static_cast<int64_t>(tasks.size());
  at::parallel_for(0, count, share ? 1 : count, [&](int64_t begin, int64_t end) {
    const Tensor scratch = at::empty({floats}, at::kFloat);
    for (int64_t i = begin; i < end; ++i) work(tasks[i], dataOf<float>(scratch));
  });
}

template <typename T, typename P>
void run(const PagedOperands& o, const std::vector<TextSpan>& spans, const Tensor& out) {
  const auto floats = [](const OptionalTensor& x) { return x.has_value() ? x->to(at::kFloat).contiguous() : Tensor(); };
  const int64_t heads = o.k.size(1), width = o.width(), padded = o.paddedWidth();
  const LayerPages<P> pages{dataOf<P>(o.pages), o.units.has_value() ? dataOf<float>(*o.units) : nullptr, heads, width, padded};
  const PagedAttention<T, P> attention{o, pages, floats(o.cos), floats(o.sin), dataOf<T>(out)};
  int64_t work = 0;
  for (const TextSpan& span : spans) work += span.rows * (span.position + span.rows) * o.q.size(1) * width;
  const bool share = work > kElementwiseGrain;
  // All keys are in their pages before anyone reads them.
  eachTask(tasksOf(spans, heads, o.q.size(0)), 2 * padded, share && o.q.size(0) > kPageTokens, [&](const PagedTask& task, float* scratch) { attention.write(task, scratch); });
  const int64_t rowsAtOnce = std::max<int64_t>(1, kQueriesAtOnce / (o.q.size(1) / heads));
  eachTask(tasksOf(spans, heads, rowsAtOnce), kQueriesAtOnce * (2 * padded + kKeysAtOnce), share,
           [&](const PagedTask& task, float* scratch) { attention.attend(task, scratch); });
}

Tensor attendPagesCpu(const Tensor& q, const Tensor& k, const Tensor& v, const Tensor& pages, const OptionalTensor& units, const Tensor& tables,
                      const Tensor& spans, double scale, int64_t window, const OptionalTensor& cos, const OptionalTensor& sin) {
  const auto rows = [](const Tensor& x) { return x.dim() == 3 && x.stride(2) == 1 ? x : x.contiguous(); };
  const Tensor q1 = rows(q), k1 = rows(k), v1 = rows(v);
  const PagedOperands o{q1, k1, v1, pages, units, tables, spans, scale, window, cos, sin};
  const bool ours = isOurs(q) && pages.scalar_type() != at::kDouble && q.dim() == 3 && k.dim() == 3 && k.size(1) > 0 && q.size(1) / k.size(1) <= kQueriesAtOnce;
  if (!ours) return attendPagesReference(o);
  const std::vector<TextSpan> checked = checkedSpans(o);
  const Tensor out = at::empty(q.sizes(), q.options().memory_format(at::MemoryFormat::Contiguous));
  withElementsOf(q, [&](auto* element) {
    using T = std::remove_pointer_t<decltype(element)>;
    if (pages.scalar_type() == at::kFloat) run<T, float>(o, checked, out);
    else if (pages.scalar_type() == at::kBFloat16) run<T, BFloat16>(o, checked, out);
    else run<T, int8_t>(o, checked, out);
  });
  return out;
}

Tensor attendPagesElsewhere(const Tensor& q, const Tensor& k, const Tensor& v, const Tensor& pages, const OptionalTensor& units, const Tensor& tables,
                            const Tensor& spans, double scale, int64_t window, const OptionalTensor& cos, const OptionalTensor& sin) {
  return attendPagesReference({q, k, v, pages, units, tables, spans, scale, window, cos, sin});
}

}  // namespace

TORCH_LIBRARY_FRAGMENT(hearth, library) {
  library.def(
      "attend_pages(Tensor q, Tensor k, Tensor v, Tensor(a!) pages, Tensor(b!)? units, Tensor tables, Tensor spans, float scale, int window=0, "
      "Tensor? cos=None, Tensor? sin=None) -> Tensor");
}

TORCH_LIBRARY_IMPL(hearth, CompositeExplicitAutograd, library) { library.impl("attend_pages", attendPagesElsewhere); }

TORCH_LIBRARY_IMPL(hearth, CPU, library) { library.impl("attend_pages", attendPagesCpu); }

}  // namespace hearth
