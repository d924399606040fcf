#pragma once
// Ranges that a percentage of a group's entries lie within, by exact selection.

#include <cstdint>

#include "core/view.h"
#include "ops/quantize_codes.h"

namespace tersor {

// By nearest rank. Of symmetric codes the magnitude that so many entries do not exceed, to either side; else the number that so
// many do not exceed, and the one that so many are not below. NaN counts as the greatest.
struct Percentile {
  double percent;  // in (0, 100]
  bool symmetric;

  std::int64_t rank(std::int64_t size) const noexcept;  // from 0
};

// Cuts the ranges of groups, those of their finite entries, to the percentile: of runs of a dense row, of the columns of a tile
// (scratch holds one), and of one group alone, wherever its entries lie.
void cut_runs(const std::byte* row, std::int64_t cols, std::int64_t group_size, DType dtype, Percentile percentile,
              const GroupNumbers& found);
void cut_columns(cpu::ConstRows rows, cpu::Extent extent, DType dtype, Percentile percentile, const GroupNumbers& found,
                 std::byte* scratch);
void cut_group(const View& entries, Percentile percentile, const GroupNumbers& found);

}  // namespace tersor
