#include "ops/quantize_percentile.h"

#include <algorithm>
#include <cmath>
#include <span>

#include "ops/copy_items.h"
#include "ops/ranking.h"
#include "ops/select.h"

namespace tersor {

namespace {

template <class Math>
void cut_as(const GroupNumbers& found, double below, double above) noexcept {
  Math &low = *reinterpret_cast<Math*>(found.lows), &high = *reinterpret_cast<Math*>(found.highs);
  const Math least = low, most = high;
  if (least > most) return;  // nothing finite
  low = std::fmin(std::fmax(least, static_cast<Math>(below)), most);
  high = std::fmax(std::fmin(most, static_cast<Math>(above)), least);
}

// key_of(order, rank) is what the entries have there.
template <class KeyOf>
void cut(std::int64_t size, DType dtype, Percentile percentile, const GroupNumbers& found, KeyOf key_of) {
  if (!size) return;
  const KeyOrder order = percentile.symmetric ? KeyOrder::kMagnitude : KeyOrder::kValue;
  const std::int64_t rank = percentile.rank(size);
  const double above = value_of_key(key_of(order, rank), dtype, order);
  const double below = percentile.symmetric ? -above : value_of_key(key_of(order, size - 1 - rank), dtype, order);
  (arithmetic_dtype(dtype) == DType::kFloat64 ? cut_as<double> : cut_as<float>)(found, below, above);
}

}  // namespace

std::int64_t Percentile::rank(std::int64_t size) const noexcept {
  const auto count = static_cast<std::int64_t>(std::ceil(percent / 100 * static_cast<double>(size)));
  return std::clamp<std::int64_t>(count, 1, size) - 1;
}

void cut_runs(const std::byte* row, std::int64_t cols, std::int64_t group_size, DType dtype, Percentile percentile,
              const GroupNumbers& found) {
  const std::int64_t item_bytes = item_size(dtype), math_bytes = item_size(arithmetic_dtype(dtype));
  for (std::int64_t g = 0; g * group_size < cols; ++g) {
    const std::int64_t begin = g * group_size, count = std::min(group_size, cols - begin);
    cut(count, dtype, percentile, found.from(g, math_bytes), [&](KeyOrder order, std::int64_t rank) {
      return select_rank_in_row(row + begin * item_bytes, count, dtype, order, rank).key;
    });
  }
}

void cut_columns(cpu::ConstRows rows, cpu::Extent extent, DType dtype, Percentile percentile, const GroupNumbers& found,
                 std::byte* scratch) {
  const std::int64_t item_bytes = item_size(dtype), math_bytes = item_size(arithmetic_dtype(dtype));
  for (std::int64_t col = 0; col < extent.cols; ++col) {
    copy_strided(scratch, item_bytes, rows.data + col * item_bytes, rows.stride_bytes, extent.rows, item_bytes);
    cut_runs(scratch, extent.rows, extent.rows, dtype, percentile, found.from(col, math_bytes));
  }
}

void cut_group(const View& entries, Percentile percentile, const GroupNumbers& found) {
  cut(entries.size(), entries.dtype, percentile, found, [&](KeyOrder order, std::int64_t rank) {
    const std::span<const View> one(&entries, 1);
    return select_rank(order == KeyOrder::kMagnitude ? rank_by_magnitude(one) : rank_by_value(one), rank).key;
  });
}

}  // namespace tersor
