#pragma once
// The information that each unit of a layer has about a target, and the pruning of those that have the least.

#include <cstdint>
#include <vector>

#include "core/view.h"
#include "ops/information.h"

namespace tersor {

// The entropy of each row of x along `axis` (already normalized). out: float64, of x's shape without the axis.
void entropy_rows(const View& x, int axis, const BinRule& rule, const View& out);

// Mutual information between each row of x along its first axis and y, of that axis's length. y is a variable of the same bins
// where it is floating, else labels: each integer is a class. out: float64, of x's shape without the first axis.
void mutual_information(const View& x, const View& y, const BinRule& rule, const View& out);

// Of the units along `axis` of w, the `count` go that score lowest; where scores tie, the first ones. scores: one row of float64.
// out: the pruned w, of its dtype; or a mask, bool; or its bits along the last axis, uint8.
void prune_units(const View& w, const std::vector<double>& scores, std::int64_t count, int axis, const View& out);

// The same by what the columns of `activations` (samples, units) know of the target, or by their entropy where it is null.
void prune_information(const View& w, const View& activations, const View* target, const BinRule& rule, double sparsity, int axis,
                       const View& out);

}  // namespace tersor
