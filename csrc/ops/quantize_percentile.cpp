#include "ops/quantize_percentile.h"

#include <algorithm>
#include <cmath>
#include <span>

#include "ops/ranking.h"
#include "ops/select.h"

namespace tersor {

namespace {

// key_of(order, rank) is what the entries have there.
template <class KeyOf>
RangeBounds bounds_by(std::int64_t size, DType dtype, Percentile percentile, KeyOf key_of) {
  const KeyOrder order = percentile.symmetric ? KeyOrder::kMagnitude : KeyOrder::kValue;
  const std::int64_t rank = percentile.rank(size);
  const double above = value_of_key(key_of(order, rank), dtype, order);
  return {percentile.symmetric ? -above : value_of_key(key_of(order, size - 1 - rank), dtype, order), above};
}

}  // namespace

std::int64_t Percentile::rank(std::int64_t size) const noexcept {
  const auto count = static_cast<std::int64_t>(std::ceil(percent / 100 * static_cast<double>(size)));
  return std::clamp<std::int64_t>(count, 1, size) - 1;
}

RangeBounds percentile_bounds(const std::byte* run, std::int64_t count, DType dtype, Percentile percentile) {
  return bounds_by(count, dtype, percentile,
                   [&](KeyOrder order, std::int64_t rank) { return select_rank_in_row(run, count, dtype, order, rank).key; });
}

RangeBounds percentile_bounds(const View& entries, Percentile percentile) {
  return bounds_by(entries.size(), entries.dtype, percentile, [&](KeyOrder order, std::int64_t rank) {
    const std::span<const View> one(&entries, 1);
    return select_rank(order == KeyOrder::kMagnitude ? rank_by_magnitude(one) : rank_by_value(one), rank).key;
  });
}

}  // namespace tersor
