#pragma once
// Counting and collecting around a bracket of keys.

#include <cstddef>
#include <cstdint>

#include "cpu/kernel_table.h"

namespace tersor::cpu {

// How many elements lie on which side of a bracket: below its low key, at it or below, strictly between the two, above the high.
struct BracketCounts {
  std::int64_t below_low, up_to_low, within, above_high;
};

inline constexpr std::int64_t kBracketSlack = 16;

// Keys are signed integers of the element's width, in the order of the elements.
struct SelectKernels {
  // Writes the keys strictly between low and high to `within`, in order; it has room for kBracketSlack more. low <= high.
  using Bracket = BracketCounts(const std::byte* w, std::int64_t cols, std::int64_t low, std::int64_t high,
                                std::byte* within) noexcept;
  ByFloat<Bracket> bracket_magnitudes;
  ByFloat<Bracket> bracket_values;
  Bracket& bracket_keys_16;
  Bracket& bracket_keys_32;
  Bracket& bracket_keys_64;
};

TERSOR_DECLARE_TABLE(SelectKernels, select_kernels)

}  // namespace tersor::cpu
