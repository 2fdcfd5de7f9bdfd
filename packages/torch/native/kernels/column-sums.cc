// See column-sums.h: threads share the columns.
#include "kernels/column-sums.h"

#include <algorithm>

#include "kernels/operands.h"

namespace hearth {

void addRowsTo(const at::Tensor& sums, const at::Tensor& rows) {
  const int64_t count = rows.size(0), columns = rows.size(1), stride = rows.stride(0);
  TORCH_INTERNAL_ASSERT(sums.is_contiguous() && sums.scalar_type() == at::kFloat && sums.numel() == columns && (columns <= 1 || rows.stride(1) == 1));
  constexpr int64_t kGrain = 64;  // columns: a whole number of cache lines and of the loop's vectors
  const int64_t groups = (columns + kGrain - 1) / kGrain;
  at::parallel_for(0, groups, std::max<int64_t>(1, kElementwiseGrain / (kGrain * std::max<int64_t>(count, 1))), [&](int64_t begin, int64_t end) {
    const int64_t from = begin * kGrain, size = std::min(end * kGrain, columns) - from;
    if (rows.scalar_type() == at::kFloat) columnSumsTable().float32(dataOf<float>(rows) + from, stride, count, size, dataOf<float>(sums) + from);
    else columnSumsTable().bfloat16(dataOf<BFloat16>(rows) + from, stride, count, size, dataOf<float>(sums) + from);
  });
}

}  // namespace hearth
