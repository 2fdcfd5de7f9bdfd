// hearth::measure_peak: how many billions of multiplications and additions a second all threads together reach in products whose
// operands stay in the first cache: the ceiling that benchmarks and `hearth doctor` hold products against. It runs the kernel of a form
// itself, on one panel of either side, so nothing is packed and nothing comes from farther away.
#include <ATen/Parallel.h>
#include <torch/library.h>

#include <algorithm>
#include <ctime>

#include "kernels/gemm/choice.h"

namespace hearth {

namespace {

/** Seconds that this thread has had a core: what other programs take does not lower a ceiling. */
double threadSeconds() {
  timespec now;
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
  return static_cast<double>(now.tv_sec) + 1e-9 * static_cast<double>(now.tv_nsec);
}

/** Multiplications and additions a second of one thread. */
double rateOfThread(const GemmKernel& kernel, double seconds) {
  // Both operands together fill less than the first cache, 32 KiB with AVX2 and 48 with AVX-512 and AMX.
  const int64_t words = kernel.blockWords * 5 / 8, panels = std::max(1, 16 / kernel.leftRows);
  const at::Tensor left = at::zeros({panels * kernel.leftRows * words}, at::kInt), right = at::zeros({kernel.rightRows * words}, at::kInt);
  const at::Tensor sums = at::zeros({panels * kernel.leftRows, kernel.rightRows}, at::kFloat);
  const BlockTask task{static_cast<const uint32_t*>(left.data_ptr()), static_cast<const uint32_t*>(right.data_ptr()), panels, kernel.rightRows, words,
                       sums.data_ptr<float>(), kernel.rightRows, true};
  const double start = threadSeconds();
  int64_t done = 0;
  double elapsed = 0;
  do {
    for (int i = 0; i < 256; ++i) kernel.multiply(task);
    done += 256;
    elapsed = threadSeconds() - start;
  } while (elapsed < seconds);
  return 2.0 * done * panels * kernel.leftRows * kernel.rightRows * words * kernel.wordDepth / elapsed;
}

at::ScalarType dtypeNamed(c10::string_view name) {
  TORCH_CHECK(name == "float32" || name == "bfloat16", "hearth: products are of float32 or bfloat16, got '", std::string(name), "'");
  return name == "float32" ? at::kFloat : at::kBFloat16;
}

/** 0 where this processor lacks the form. */
double measurePeak(c10::string_view dtype, c10::string_view form, double seconds) {
  const at::ScalarType type = dtypeNamed(dtype);
  const GemmKernel* const kernel = form == "chosen" ? chosenKernel(type) : kernelNamed(std::string(form), type);
  if (kernel == nullptr) return 0;
  const int64_t threads = at::get_num_threads();
  std::vector<double> rates(threads, 0.0);
  at::parallel_for(0, threads, 1, [&](int64_t thread, int64_t) { rates[thread] = rateOfThread(*kernel, seconds); });
  double all = 0;
  for (const double rate : rates) all += rate;
  return all / 1e9;
}

std::string productForm(c10::string_view dtype) { return chosenName(dtypeNamed(dtype)); }

}  // namespace

TORCH_LIBRARY_FRAGMENT(hearth, library) {
  library.def("measure_peak(str dtype, str form=\"chosen\", float seconds=0.1) -> float", measurePeak);
  library.def("product_form(str dtype) -> str", productForm);
}

}  // namespace hearth
