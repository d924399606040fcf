#pragma once
// Numbers about groups of entries, such as sums, that kernels find in one read of an array.
//
// The array is cut into runs: some whole groups, or a piece of one, or of groups that lie side by side. The cut depends on its
// shape alone, and what runs have found is joined in their order, so that sums are the same however the array lies and whoever
// computes them.

#include <cstddef>
#include <cstdint>
#include <span>

#include "core/function_ref.h"
#include "ops/quantize_layout.h"

namespace tersor {

// The same groups, of a size that they have.
inline GroupLayout with_groups_clipped(GroupLayout layout) noexcept {
  layout.size = std::clamp<std::int64_t>(layout.length, 1, layout.size);
  return layout;
}

// How many numbers a group has; the first `sums` of them join by addition, the others by their maximum.
struct TallyRule {
  int count, sums;
};

// One array of doubles for each number, with an entry a group.
struct Tallies {
  double* data;
  std::int64_t stride;

  double* of(int number) const noexcept { return data + number * stride; }
  Tallies from(std::int64_t group) const noexcept { return {data + group, stride}; }
};

struct TallyScratch {
  std::int64_t rows, cols, groups;  // of a tile, at most
};
TallyScratch tally_scratch(const GroupLayout& layout) noexcept;

// add(tile, tallies of its groups, scratch) adds what is found in a tile: a row of some groups or of a part of one, or some rows of
// columns that are groups. take(first group, count, tallies) gets what is true of groups. Both are called on several threads.
// whole: the numbers of all entries, in the end.
using AddTallies = FunctionRef<void(const Tile&, const Tallies&, std::byte*)>;
using TakeTallies = FunctionRef<void(std::int64_t, std::int64_t, const Tallies&)>;
void tally_groups(const GroupLayout& layout, TallyRule rule, std::int64_t item_bytes, std::int64_t scratch_bytes, AddTallies add,
                  TakeTallies take, std::span<double> whole);

// Entries of a group, by its number.
std::int64_t entries_of_group(const GroupLayout& layout, std::int64_t group) noexcept;

}  // namespace tersor
