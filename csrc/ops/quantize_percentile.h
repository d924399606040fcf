#pragma once
// Ranges that a percentage of a group's entries lie within, by exact selection.

#include <cstddef>
#include <cstdint>

#include "core/view.h"

namespace tersor {

// By nearest rank. Of symmetric codes the magnitude that so many entries do not exceed, to either side; else the number that so
// many do not exceed, and the one that so many are not below. NaN counts as the greatest.
struct Percentile {
  double percent;  // in (0, 100]
  bool symmetric;

  std::int64_t rank(std::int64_t size) const noexcept;  // from 0
};

struct RangeBounds {
  double below, above;
};

// Of a group with entries: in a dense run, or wherever they lie.
RangeBounds percentile_bounds(const std::byte* run, std::int64_t count, DType dtype, Percentile percentile);
RangeBounds percentile_bounds(const View& entries, Percentile percentile);

}  // namespace tersor
