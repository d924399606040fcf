#pragma once
// Scores of entries, and the bits of those that stay.

#include <cstddef>
#include <cstdint>

#include "cpu/kernel_table.h"

namespace tersor::cpu {

// What entries are ranked by, where it is computed, and which of them stay, as bits.
struct PruneScoreKernels {
  // scores[i] = |w[i] * other[i]|, in the type of w's arithmetic.
  using Multiply = void(const std::byte* w, const std::byte* other, std::int64_t cols, std::byte* scores) noexcept;
  using KeepValues = void(const std::byte* scores, std::uint8_t* bits, std::int64_t cols, std::int64_t least_key) noexcept;
  ByFloat<Multiply> multiply_alike;   // other of w's dtype
  ByFloat<Multiply> multiply_scaled;  // other of the dtype of w's arithmetic
  ByFloat<KeepValues> keep_values;    // those whose key in the order of values is not less
};

TERSOR_DECLARE_TABLE(PruneScoreKernels, prune_score_kernels)

}  // namespace tersor::cpu
