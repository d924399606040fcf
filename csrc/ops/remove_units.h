#pragma once
// structured: which units go, and arrays without them.

#include <cstdint>
#include <span>
#include <vector>

#include "core/view.h"

namespace tersor {

// Of n scores the count_to_prune(sparsity, n) lowest go, fewer where that leaves no multiple of multiple_of: keep, bool with the
// scores' shape, is True for the others. Ties: the lowest index goes first. NaN is the highest score. ValueError where none stays.
void select_units(const View& scores, double sparsity, std::int64_t multiple_of, const View& keep);

struct UnitAxis {
  int axis;  // already normalized
  std::int64_t group_size;
};

// out[i]: the units of w[i] that keep (bool, one a unit) has True for; dense, in C order, of the right shape. Any dtype.
void remove_units(std::span<const View> w, const View& keep, std::span<const UnitAxis> axes, std::span<const View> out);

}  // namespace tersor
