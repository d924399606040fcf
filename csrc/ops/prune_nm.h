#pragma once
// prune: the n largest magnitudes of every m consecutive entries stay. Of entries that tie those of the lowest index go first; NaN
// counts as the largest. The output's dtype says what is written, as in prune_ranked.h.

#include "core/view.h"

namespace tersor {

// Along `axis` (already normalized). A shorter group at the end of a row keeps up to n too.
void prune_nm(const View& w, int n, int m, int axis, const View& out);

// 2:4 along both of the last two axes: of every 4 x 4 block the largest sum of magnitudes that leaves two entries in each row and
// column. What blocks at the edges lack counts as zeros.
void prune_transposable(const View& w, const View& out);

}  // namespace tersor
