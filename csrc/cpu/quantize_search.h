#pragma once
// How far the numbers that codes stand for are from those of a group.

#include <cstddef>
#include <cstdint>

#include "cpu/kernel_table.h"

namespace tersor::cpu {

// The first and the last code.
struct CodeRange {
  int least, most;
};

// Everything is of the type of arithmetic: x, where NaN adds nothing, and one scale, zero point and sum a group. A number of x
// differs from the nearest that a code stands for, clamp(round_half_even(x * (1 / scale)) + zero_point), and its square times the
// importance of its column, where there is any, is added.
struct QuantizeSearchKernels {
  // x = w, with NaN for infinities.
  using WidenFinite = void(const std::byte* w, std::int64_t cols, std::byte* x) noexcept;
  // Sums of runs of group_size columns, by 16 lanes; the last run is shorter.
  using MeasureErrors = void(const std::byte* x, const std::byte* importance, std::int64_t cols, std::int64_t group_size,
                             const std::byte* scales, const std::byte* zero_points, CodeRange codes, std::byte* errors) noexcept;
  // Adds to sums of columns.
  using AddErrors = void(const std::byte* x, const std::byte* importance, std::int64_t cols, const std::byte* scales,
                         const std::byte* zero_points, CodeRange codes, std::byte* errors) noexcept;
  ByFloat<WidenFinite> widen_finite;
  struct OfMath {
    MeasureErrors& measure_errors;
    AddErrors& add_errors;
  };
  OfMath of_float32, of_float64;
  const OfMath& of(DType math) const noexcept { return math == DType::kFloat64 ? of_float64 : of_float32; }
};

TERSOR_DECLARE_TABLE(QuantizeSearchKernels, quantize_search_kernels)

}  // namespace tersor::cpu
