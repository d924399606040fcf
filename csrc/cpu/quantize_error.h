#pragma once
// How far numbers are from what codes made of them.

#include <cstddef>
#include <cstdint>

#include "cpu/kernel_table.h"
#include "cpu/rows.h"

namespace tersor::cpu {

// What the errors of a group add up to, each in an array of doubles: sums, and the largest magnitude of an error, which passes over
// NaN.
enum ErrorTally : int { kSquaredErrors, kSquares, kSquaredNumbers, kProducts, kLargestError, kErrorTallies };

struct QuantizeErrorKernels {
  // Adds to tallies[k * stride + group] the errors of runs of group_size columns, the last one shorter.
  using CompareGroups = void(const std::byte* w, const std::byte* numbers, std::int64_t cols, std::int64_t group_size,
                             double* tallies, std::int64_t stride) noexcept;
  // Likewise of columns.
  using CompareColumns = void(ConstRows w, ConstRows numbers, Extent extent, double* tallies, std::int64_t stride) noexcept;
  struct OfNumbers {
    ByFloat<CompareGroups> compare_groups;
    ByFloat<CompareColumns> compare_columns;
  };
  OfNumbers of_float32, of_float64;
  const OfNumbers& of(DType numbers) const noexcept { return numbers == DType::kFloat64 ? of_float64 : of_float32; }
};

TERSOR_DECLARE_TABLE(QuantizeErrorKernels, quantize_error_kernels)

}  // namespace tersor::cpu
