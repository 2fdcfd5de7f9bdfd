// Which form of the kernels this processor runs; see forms.h.
#include "kernels/simd/forms.h"

#include <cstdlib>
#include <string_view>

namespace hearth {

namespace {

Form formOfProcessor() {
#if defined(__x86_64__)
  if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl"))
    return Form::avx512;
  if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma")) return Form::avx2;
#endif
  return Form::baseline;
}

Form asked(Form best) {
  const char* text = std::getenv("HEARTH_KERNELS");
  const std::string_view wanted = text == nullptr ? "" : text;
  if (wanted == "reference") return Form::reference;
  if (wanted == "baseline") return Form::baseline;
  if (wanted == "avx2") return Form::avx2;
  return best;
}

}  // namespace

// The environment is read each time, which costs less than any kernel: tests turn the forms on and off.
Form bestForm() {
  static const Form best = formOfProcessor();
  const Form wanted = asked(best);
  return wanted < best ? wanted : best;
}

}  // namespace hearth
