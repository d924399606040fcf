#pragma once
// prune: an exact number of the lowest ranks goes. Where entries tie, those of the lowest index go first; NaN ranks highest. The
// output's dtype says what is written: the pruned values for w's own, a mask for bool, its bits for uint8.

#include <cstdint>
#include <span>

#include "core/view.h"
#include "ops/ranking.h"

namespace tersor {

// The `count` lowest of all arrays together go; their elements are numbered in C order, one array after the other. w and out have
// one array for each of the ranking's, of the same shapes; an output may be the very array that it prunes.
void prune_ranked(const Ranking& ranking, std::span<const View> w, std::int64_t count, std::span<const View> out);

// The `count` lowest of each row along `axis` (already normalized) go; of one array. Elements are numbered along the rows.
void prune_ranked_rows(const Ranking& ranking, const View& w, std::int64_t count, int axis, const View& out);

}  // namespace tersor
