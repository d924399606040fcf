#pragma once
// How far what codes stand for is from the numbers that they were made of.

#include <cstddef>
#include <cstdint>

#include "cpu/kernel_table.h"

namespace tersor::cpu {

// What the errors of a group add up to, each in an array of doubles: sums, and the largest magnitude of an error, which passes over
// NaN.
enum ErrorTally : int { kSquaredErrors, kSquares, kSquaredNumbers, kProducts, kLargestError, kErrorTallies };

struct QuantizeErrorKernels {
  // Adds to tallies[k * stride + group] the errors of runs of group_size columns, the last one shorter. Codes, flip, scales and
  // zero points as decode_groups takes them.
  using CompareGroups = void(const std::byte* w, const std::uint8_t* q, std::int64_t cols, std::int64_t group_size, int flip,
                             const std::byte* scales, const std::byte* zero_points, double* tallies, std::int64_t stride) noexcept;
  // Likewise of columns, a row.
  using CompareColumns = void(const std::byte* w, const std::uint8_t* q, std::int64_t cols, int flip, const std::byte* scales,
                              const std::byte* zero_points, double* tallies, std::int64_t stride) noexcept;
  struct OfMath {  // by the dtype of w
    ByFloat<CompareGroups> compare_groups;
    ByFloat<CompareColumns> compare_columns;
  };
  OfMath of_float32, of_float64;
  const OfMath& of(DType math) const noexcept { return math == DType::kFloat64 ? of_float64 : of_float32; }
};

TERSOR_DECLARE_TABLE(QuantizeErrorKernels, quantize_error_kernels)

}  // namespace tersor::cpu
