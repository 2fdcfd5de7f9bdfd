// One kernel, several instruction sets: each `*.simd.cc` is compiled once for every form below (scripts/setup/forms.mjs)
// and leaves a table of functions under a name of its own; the caller takes the best that this processor has.
// Such a file includes neither ATen nor anything of the standard library that is more than a declaration: an inline
// function compiled for AVX-512 must not be the copy that the linker keeps for everybody.
#pragma once
#include <stdint.h>

namespace hearth {

/** A bfloat16: the upper half of a float32. The same bits as c10::BFloat16, of which kernels know nothing. */
struct BFloat16 {
  uint16_t bits;
};

enum class Form { reference, baseline, avx2, avx512 };

/** The best form of this processor; HEARTH_KERNELS=reference|baseline|avx2|avx512 lowers it. */
Form bestForm();

/** Whether HEARTH_KERNELS=reference turned all kernels off. */
inline bool referenceWanted() { return bestForm() == Form::reference; }

}  // namespace hearth

#if defined(__x86_64__)
/** Declares the tables of type `Table` that `name`.simd.cc defines, and `name()`, which is the one to use here. */
#define HEARTH_FORMS(Table, name)                         \
  extern const Table name##_baseline;                     \
  extern const Table name##_avx2;                         \
  extern const Table name##_avx512;                       \
  inline const Table& name() {                            \
    switch (bestForm()) {                                 \
      case Form::avx512: return name##_avx512;            \
      case Form::avx2: return name##_avx2;                \
      default: return name##_baseline;                    \
    }                                                     \
  }
#else
#define HEARTH_FORMS(Table, name)     \
  extern const Table name##_baseline; \
  inline const Table& name() { return name##_baseline; }
#endif

#define HEARTH_JOIN_(a, b) a##_##b
#define HEARTH_JOIN(a, b) HEARTH_JOIN_(a, b)
/** Inside a `*.simd.cc`: the name of this form's table. HEARTH_FORM is `baseline`, `avx2` or `avx512`. */
#define HEARTH_TABLE(name) HEARTH_JOIN(name, HEARTH_FORM)
