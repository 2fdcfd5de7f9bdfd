// See choice.h. float32 is multiplied by vectors of our own though OpenBLAS is 3 to 5 % faster with one thread on Zen 3
// (bench/kernels/gemm.bench.ts): its sums have other bits with two threads than with one. For bfloat16: AMX where processor
// and system have it, then vdpbf16ps, then widening to float32; on processors without AVX2 the library. A form that no
// machine of ours could run is compared with the library on a small product before it is trusted.
#include "kernels/gemm/choice.h"

#if defined(__linux__) && defined(__x86_64__)
#include <cpuid.h>
#include <sys/syscall.h>
#include <unistd.h>
#endif

#include <cstdlib>
#include <cstring>

#include "kernels/gemm/product.h"

namespace hearth {

namespace {

#if defined(__linux__) && defined(__x86_64__)
bool cpuidBit(unsigned leaf, unsigned subleaf, int reg, int bit) {
  unsigned r[4] = {};
  return __get_cpuid_count(leaf, subleaf, &r[0], &r[1], &r[2], &r[3]) && (r[reg] >> bit & 1);
}

/** Tile registers are large, so Linux gives them only to processes that ask. */
bool systemGrantsTiles() {
  constexpr long kRequestPermission = 0x1023, kTileData = 18;
  return syscall(SYS_arch_prctl, kRequestPermission, kTileData) == 0;
}

bool hasAmx() {
  static const bool has = cpuidBit(7, 0, 3, 24) && cpuidBit(7, 0, 3, 22) && systemGrantsTiles();
  return has && bestForm() == Form::avx512;
}

bool hasPairs() { return bestForm() == Form::avx512 && cpuidBit(7, 1, 0, 5); }
#else
bool hasAmx() { return false; }
bool hasPairs() { return false; }
#endif

/** Small whole numbers, whose sums are exact in any order. */
at::Tensor wholeNumbers(int64_t rows, int64_t columns, int64_t step) {
  return at::arange(rows * columns, at::kLong).mul(step).remainder(17).sub(8).to(at::kBFloat16).view({rows, columns});
}

at::Tensor productBy(const GemmKernel& kernel, const at::Tensor& left, const at::Tensor& right) {
  const OperandOf l(left), r(right);
  const at::Tensor out = at::empty({left.size(0), right.size(0)}, at::kFloat);
  float* const data = out.data_ptr<float>();
  const int64_t stride = right.size(0);
  product(kernel, l.operand, r.operand,
          [=](int64_t row, int64_t column, int64_t count, const float* sums) { std::memcpy(data + row * stride + column, sums, count * sizeof(float)); });
  return out;
}

/** Both orders of strides, edges on all sides and more than one block of depth. */
bool agrees(const GemmKernel& kernel) {
  const at::Tensor x = wholeNumbers(41, 1100, 5), w = wholeNumbers(70, 1100, 7);
  const at::Tensor tall = wholeNumbers(1100, 41, 3).t(), wide = wholeNumbers(1100, 70, 11).t();
  return at::equal(productBy(kernel, x, w), at::mm(x.to(at::kFloat), w.to(at::kFloat).t())) &&
         at::equal(productBy(kernel, tall, wide), at::mm(tall.to(at::kFloat), wide.to(at::kFloat).t()));
}

bool trusted(const GemmKernel& kernel, const char* name) {
  if (agrees(kernel)) return true;
  TORCH_WARN("the ", name, " form of Hearth's bfloat16 products gives wrong sums on this processor and is not used. Please report this, "
             "with the name of the processor.");
  return false;
}

std::string askedName() {
  const char* text = std::getenv("HEARTH_GEMM");
  return text == nullptr ? "" : text;
}

const GemmKernel* bestForBfloat16() {
  if (hasAmx() && trusted(tilesTable().amx, "AMX")) return &tilesTable().amx;
  if (hasPairs() && trusted(gemmTable().pairs, "AVX512-bf16")) return &gemmTable().pairs;
  return bestForm() == Form::baseline ? nullptr : &gemmTable().widened;
}

const GemmKernel* choose(at::ScalarType dtype) {
  const std::string asked = askedName();
  if (referenceWanted() || asked == "library") return nullptr;
  if (dtype == at::kFloat) return bestForm() == Form::baseline ? nullptr : &gemmTable().floats;
  return asked.empty() ? bestForBfloat16() : kernelNamed(asked, at::kBFloat16);
}

}  // namespace

const GemmKernel* kernelNamed(const std::string& name, at::ScalarType dtype) {
  if (name == "floats") return dtype == at::kFloat ? &gemmTable().floats : &gemmTable().widened;
  TORCH_CHECK(name == "pairs" || name == "amx" || name == "emulated",
              "HEARTH_GEMM and the name of a form must be one of floats, pairs, amx, emulated, library, got '", name, "'");
  TORCH_CHECK(dtype == at::kBFloat16, "the form '", name, "' multiplies bfloat16, got ", dtype);
  if (name == "emulated") return &tilesTable().emulated;
  if (name == "amx") return hasAmx() ? &tilesTable().amx : nullptr;
  // Outside the AVX-512 form pairs are emulated, which every processor can.
  return bestForm() != Form::avx512 || hasPairs() ? &gemmTable().pairs : nullptr;
}

const GemmKernel* chosenKernel(at::ScalarType dtype) {
  static const GemmKernel* const floats = choose(at::kFloat);
  static const GemmKernel* const halves = choose(at::kBFloat16);
  return dtype == at::kFloat ? floats : dtype == at::kBFloat16 ? halves : nullptr;
}

std::string chosenName(at::ScalarType dtype) {
  const GemmKernel* const kernel = chosenKernel(dtype);
  if (kernel == nullptr) return "library";
  if (kernel == &gemmTable().floats || kernel == &gemmTable().widened) return "floats";
  return kernel == &gemmTable().pairs ? "pairs" : kernel == &tilesTable().emulated ? "emulated" : "amx";
}

OperandOf::OperandOf(const at::Tensor& matrix) : kept(matrix) {
  if (matrix.stride(0) != 1 && matrix.stride(1) != 1) kept = matrix.contiguous();
  operand = {kept.data_ptr(), kept.element_size(), kept.size(0), kept.size(1), kept.stride(0), kept.stride(1)};
}

}  // namespace hearth
