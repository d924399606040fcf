#pragma once
// The n largest of every m columns.

#include <cstddef>
#include <cstdint>

#include "cpu/kernel_table.h"

namespace tersor::cpu {

inline constexpr int kMostGroup = 32;

struct PruneNmKernels {
  // Groups of m <= kMostGroup columns from the first one on; a shorter one at the end keeps n too.
  using KeepNm = void(const std::byte* w, std::uint8_t* bits, std::int64_t cols, int n, int m) noexcept;
  // Up to four rows, which with each other make blocks of 4 x 4; what is missing of a block counts as zeros.
  using KeepTransposable = void(const std::byte* const* rows, int row_count, std::int64_t cols, std::uint8_t* const* bits) noexcept;
  ByFloat<KeepNm> keep_nm;
  ByFloat<KeepTransposable> keep_transposable;
};

TERSOR_DECLARE_TABLE(PruneNmKernels, prune_nm_kernels)

}  // namespace tersor::cpu
