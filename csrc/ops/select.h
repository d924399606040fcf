#pragma once
// select: the exact element of a given rank, without a sort and without a copy of the data.
//
// A sample brackets the rank between two keys; one read counts what lies below and above, and collects the little between them;
// the rank is then found among those in the same way. Where the sample misled, which the counts show, the next read takes another
// bracket. Expected: a little over one read. The answer does not depend on the sample, nor on the number of threads.

#include <cstdint>
#include <span>
#include <vector>

#include "core/view.h"
#include "ops/ranking.h"

namespace tersor {

// Keys are signed integers of the element's width that order as the elements do.
struct Selection {
  std::int64_t key;
  std::int64_t below, up_to;  // how many elements have a lesser key, and a lesser key or this one
};

// How many elements of a short stretch, from element `position` on, have a key.
struct KeyStretch {
  std::int64_t position, count;
};

// The element of rank `rank` in [0, elements of all arrays) in ascending order. The arrays are of one floating dtype, on the CPU.
Selection select_rank(const Ranking& ranking, std::int64_t rank);

// A selection that can tell where the elements that have its key lie, numbered in C order, one array after the other. The
// ranking is to outlive it.
class PlacedSelection {
 public:
  PlacedSelection(const Ranking& ranking, std::int64_t rank);
  const Selection& selection() const noexcept { return selection_; }
  // The number of the nth of them, n from 0. Costs one more read of the arrays where the selection did not collect them.
  std::int64_t place_of(std::int64_t nth);

 private:
  const Ranking& ranking_;
  Selection selection_;
  std::vector<KeyStretch> stretches_;
};

// The same for the items of one dense row, on the calling thread.
Selection select_rank_in_row(const std::byte* row, std::int64_t cols, DType dtype, KeyOrder order, std::int64_t rank);

// The column of the nth item of a dense row that has the key, n from 0; there is one.
std::int64_t find_key(const std::byte* row, std::int64_t cols, DType dtype, KeyOrder order, std::int64_t key, std::int64_t nth);

std::int64_t nan_key(DType dtype) noexcept;
double value_of_key(std::int64_t key, DType dtype, KeyOrder order) noexcept;

// kth_magnitude and kth_value: the kth smallest, k in [1, elements of all views], as torch.kthvalue counts. ValueError outside.
double kth(std::span<const View> views, KeyOrder order, std::int64_t k);

// Entries that go out of `size`: round_half_even(sparsity * size). ValueError outside [0, 1].
std::int64_t count_to_prune(double sparsity, std::int64_t size);

// The least magnitude that stays when count_to_prune of all elements go; infinity where all go.
double magnitude_threshold(std::span<const View> views, double sparsity);

// The kth smallest value and the one after it, or NaN twice where any element is NaN: what a quantile interpolates between.
struct Neighbours {
  double low, high;
};
Neighbours kth_and_next(std::span<const View> views, std::int64_t k);

}  // namespace tersor
