// The instruction sets that a `*.simd.cc` is compiled for, one object each; packages/torch/native/kernels/simd/forms.h
// chooses among them at run time. Every other source is compiled once, for any processor of its architecture.
const X86_FORMS = {
  baseline: [],
  avx2: ['-mavx2', '-mfma', '-mf16c'],
  avx512: ['-mavx512f', '-mavx512bw', '-mavx512dq', '-mavx512vl', '-mfma', '-mf16c', '-mprefer-vector-width=512'],
}
const OTHER_FORMS = { baseline: [] }

/** @returns {{ form: string | undefined, flags: string[] }[]} the compilations that a source needs */
export function formsOf(source, architecture = process.arch) {
  if (!source.endsWith('.simd.cc')) return [{ form: undefined, flags: [] }]
  const forms = architecture === 'x64' ? X86_FORMS : OTHER_FORMS
  return Object.entries(forms).map(([form, flags]) => ({
    form,
    // Kernels are loops over floats: -O3 unrolls them, and a product may be added without rounding in between. Vectors
    // wider than the baseline's pass between inlined functions alone, so how they are passed otherwise is no concern.
    flags: ['-O3', '-ffp-contract=fast', '-fno-math-errno', '-Wno-psabi', `-DHEARTH_FORM=${form}`, ...flags],
  }))
}
