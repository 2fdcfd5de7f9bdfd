// The eight tile registers of AMX, 16 rows of 64 bytes each, behind the five things that a product asks of them; and the
// same in plain C++, as Intel's manual describes each instruction, so that all the rest can be tested on any processor.
// The real instructions were compiled, and carried out one by one from their encodings by a handler of the traps that a
// processor without AMX raises at them, with the bits of the emulation below; but no processor that has them ran them yet,
// nor was their speed measured. So choice.cc compares a small product with another form before it trusts them.
// Source: Intel 64 and IA-32 Architectures Software Developer's Manual, volume 2, TDPBF16PS, TILELOADD, LDTILECFG.
#pragma once
#include <stdint.h>
#include <string.h>

namespace hearth {
namespace {

constexpr int kTileRows = 16;
constexpr int kTileWords = 16;

#if defined(__x86_64__)
/** The processor's own. Inline assembly, because each compiler wants other options before it knows the intrinsics. */
struct MatrixUnit {
  struct Configuration {
    uint8_t palette = 1, startRow = 0, reserved[14] = {};
    uint16_t bytesOfRow[16] = {};
    uint8_t rows[16] = {};
  };
  static_assert(sizeof(Configuration) == 64, "LDTILECFG reads 64 bytes");

  inline __attribute__((always_inline)) MatrixUnit() {
    Configuration all;
    for (int i = 0; i < 8; ++i) {
      all.bytesOfRow[i] = 64;
      all.rows[i] = kTileRows;
    }
    __asm__ volatile("ldtilecfg %0" ::"m"(all));
  }
  inline __attribute__((always_inline)) ~MatrixUnit() { __asm__ volatile("tilerelease"); }

  template <int T>
  inline __attribute__((always_inline)) void zero() {
    __asm__ volatile("tilezero %%tmm%c0" ::"i"(T));
  }
  template <int T>
  inline __attribute__((always_inline)) void load(const void* from, int64_t stride) {
    __asm__ volatile("tileloadd (%0,%1,1), %%tmm%c2" ::"r"(from), "r"(stride), "i"(T) : "memory");
  }
  template <int T>
  inline __attribute__((always_inline)) void store(void* to, int64_t stride) {
    __asm__ volatile("tilestored %%tmm%c2, (%0,%1,1)" ::"r"(to), "r"(stride), "i"(T) : "memory");
  }
  /** C += A B, with pairs of bfloat16 along the depth. */
  template <int C, int A, int B>
  inline __attribute__((always_inline)) void multiply() {
    __asm__ volatile("tdpbf16ps %%tmm%c2, %%tmm%c1, %%tmm%c0" ::"i"(C), "i"(A), "i"(B));
  }
};
#endif

/** A float32 whose denormals count as zero, as in all arithmetic of the matrix unit. */
static inline float flushed(float x) {
  uint32_t bits;
  memcpy(&bits, &x, 4);
  if ((bits & 0x7f800000u) == 0) bits &= 0x80000000u;
  memcpy(&x, &bits, 4);
  return x;
}

static inline float widened(uint16_t half) {
  const uint32_t bits = (uint32_t)half << 16;
  float x;
  memcpy(&x, &bits, 4);
  return flushed(x);
}

struct EmulatedUnit {
  uint32_t tiles[8][kTileRows][kTileWords];

  template <int T>
  void zero() {
    memset(tiles[T], 0, sizeof(tiles[T]));
  }
  template <int T>
  void load(const void* from, int64_t stride) {
    for (int row = 0; row < kTileRows; ++row) memcpy(tiles[T][row], (const char*)from + row * stride, 64);
  }
  template <int T>
  void store(void* to, int64_t stride) {
    for (int row = 0; row < kTileRows; ++row) memcpy((char*)to + row * stride, tiles[T][row], 64);
  }

  /** The even and the odd elements of a row are summed apart, each product in one rounding, then added, then added to C. */
  template <int C, int A, int B>
  void multiply() {
    for (int m = 0; m < kTileRows; ++m) {
      for (int n = 0; n < kTileWords; ++n) {
        float even = 0, odd = 0;
        for (int k = 0; k < kTileWords; ++k) {
          const uint32_t a = tiles[A][m][k], b = tiles[B][k][n];
          even = flushed(__builtin_fmaf(widened((uint16_t)a), widened((uint16_t)b), even));
          odd = flushed(__builtin_fmaf(widened(a >> 16), widened(b >> 16), odd));
        }
        float sum;
        memcpy(&sum, &tiles[C][m][n], 4);
        sum = flushed(flushed(sum) + flushed(even + odd));
        memcpy(&tiles[C][m][n], &sum, 4);
      }
    }
  }
};

}  // namespace
}  // namespace hearth
