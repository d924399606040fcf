#pragma once
// prune: an exact number of the smallest magnitudes goes. Where entries tie, those of the lowest index go first; NaN counts as the
// largest magnitude. The output's dtype says what is written: the pruned values for w's own, a mask for bool, its bits for uint8.

#include <cstdint>
#include <span>

#include "core/view.h"

namespace tersor {

// The `count` smallest of all views together go; their elements are numbered in C order, one view after the other. out has one
// view for each of w, which may be that view itself.
void prune_magnitude(std::span<const View> w, std::int64_t count, std::span<const View> out);

// The `count` smallest of each row along `axis` (already normalized) go.
void prune_magnitude_rows(const View& w, std::int64_t count, int axis, const View& out);

}  // namespace tersor
