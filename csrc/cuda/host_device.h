#pragma once
// Functions that kernels and host tests share: nvcc compiles them for both sides, g++ for the tests alone. Device code is compiled
// with -fmad=false, so that a multiplication and an addition fuse only where fused_multiply_add says so, on both sides.

#include <cmath>
#include <cstdint>
#include <cstring>

#if defined(__CUDACC__)
#define TERSOR_HOST_DEVICE __host__ __device__ __forceinline__
#else
#define TERSOR_HOST_DEVICE inline
#endif

namespace tersor::cuda {

template <class Math>
inline constexpr Math kInfinity = static_cast<Math>(__builtin_huge_val());

template <class Math>
inline constexpr Math kLowestFinite = sizeof(Math) == 4 ? Math(-__FLT_MAX__) : Math(-__DBL_MAX__);

TERSOR_HOST_DEVICE std::uint32_t bits_of(float value) noexcept {
  std::uint32_t bits;
  std::memcpy(&bits, &value, sizeof bits);
  return bits;
}
TERSOR_HOST_DEVICE std::uint64_t bits_of(double value) noexcept {
  std::uint64_t bits;
  std::memcpy(&bits, &value, sizeof bits);
  return bits;
}
TERSOR_HOST_DEVICE float from_bits(std::uint32_t bits) noexcept {
  float value;
  std::memcpy(&value, &bits, sizeof value);
  return value;
}
TERSOR_HOST_DEVICE double from_bits(std::uint64_t bits) noexcept {
  double value;
  std::memcpy(&value, &bits, sizeof value);
  return value;
}

TERSOR_HOST_DEVICE float fused_multiply_add(float a, float b, float c) noexcept { return fmaf(a, b, c); }
TERSOR_HOST_DEVICE double fused_multiply_add(double a, double b, double c) noexcept { return fma(a, b, c); }

// The number where one of them is NaN.
TERSOR_HOST_DEVICE float max_number(float a, float b) noexcept { return fmaxf(a, b); }
TERSOR_HOST_DEVICE double max_number(double a, double b) noexcept { return fmax(a, b); }

// NaN where one of them is NaN.
TERSOR_HOST_DEVICE float max_or_nan(float a, float b) noexcept {
#if defined(__CUDA_ARCH__)
  float result;
  asm("max.NaN.f32 %0, %1, %2;" : "=f"(result) : "f"(a), "f"(b));
  return result;
#else
  return a > b || a != a ? a : b;
#endif
}
TERSOR_HOST_DEVICE double max_or_nan(double a, double b) noexcept { return a > b || a != a ? a : b; }

TERSOR_HOST_DEVICE float magnitude(float value) noexcept { return fabsf(value); }
TERSOR_HOST_DEVICE double magnitude(double value) noexcept { return fabs(value); }

template <class T>
constexpr TERSOR_HOST_DEVICE T ceil_div(T a, T b) noexcept {
  return (a + b - 1) / b;
}

}  // namespace tersor::cuda
