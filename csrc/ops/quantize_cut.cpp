#include "ops/quantize_cut.h"

#include <algorithm>
#include <cmath>
#include <cstring>

#include "ops/copy_items.h"
#include "ops/float_format.h"
#include "ops/select.h"
#include "ops/threshold.h"

namespace tersor {

namespace {

// bounds(low, high) lie within a range that is not empty.
template <class Math, class Bounds>
void cut_as(const GroupNumbers& found, Bounds bounds) {
  Math &low = *reinterpret_cast<Math*>(found.lows), &high = *reinterpret_cast<Math*>(found.highs);
  const Math least = low, most = high;
  if (least > most) return;  // nothing finite
  const RangeBounds within = bounds(static_cast<double>(least), static_cast<double>(most));
  low = std::fmin(std::fmax(least, static_cast<Math>(within.below)), most);
  high = std::fmax(std::fmin(most, static_cast<Math>(within.above)), least);
}

template <class Bounds>
void cut(DType dtype, const GroupNumbers& found, Bounds bounds) {
  if (arithmetic_dtype(dtype) == DType::kFloat64)
    cut_as<double>(found, bounds);
  else
    cut_as<float>(found, bounds);
}

void cut_run(const std::byte* run, std::int64_t count, DType dtype, const RangeCut& how, const GroupNumbers& found) {
  if (const auto* percentile = std::get_if<Percentile>(&how))
    cut(dtype, found, [&](double, double) { return percentile_bounds(run, count, dtype, *percentile); });
  else
    cut_group(view_of("w", const_cast<std::byte*>(run), dtype, count), how, found);  // it is only read
}

// Below 0, above 0 or 0: the sign of the first entry whose magnitude has at least these bits and is finite.
template <class Bits>
int sign_of_first(const std::byte* entries, std::int64_t stride_bytes, std::int64_t count, Bits least, Bits infinity) noexcept {
  constexpr Bits kSign = static_cast<Bits>(Bits{1} << (8 * sizeof(Bits) - 1));
  for (std::int64_t i = 0; i < count; ++i) {
    Bits bits;
    std::memcpy(&bits, entries + i * stride_bytes, sizeof bits);
    const auto magnitude = static_cast<Bits>(bits & ~kSign);
    if (magnitude >= least && magnitude < infinity) return bits & kSign ? -1 : 1;
  }
  return 0;
}

int sign_of_first(const std::byte* entries, std::int64_t stride_bytes, std::int64_t count, DType dtype, double magnitude) {
  auto least = static_cast<std::int64_t>(threshold_bits(magnitude, dtype));
  if (value_of_key(least, dtype, KeyOrder::kMagnitude) < magnitude) ++least;  // it was rounded down
  const auto infinity = static_cast<std::uint64_t>(float_format(dtype).infinity_bits());
  const auto find = [&]<class Bits>(Bits) {
    return sign_of_first(entries, stride_bytes, count, static_cast<Bits>(least), static_cast<Bits>(infinity));
  };
  switch (item_size(dtype)) {
    case 2: return find(std::uint16_t{});
    case 4: return find(std::uint32_t{});
    default: return find(std::uint64_t{});
  }
}

template <class Math>
void keep_first_side_as(const std::byte* entries, std::int64_t stride_bytes, std::int64_t count, DType dtype,
                        const GroupNumbers& found) {
  Math &low = *reinterpret_cast<Math*>(found.lows), &high = *reinterpret_cast<Math*>(found.highs);
  if (!(high > 0) || low != -high) return;
  const int sign = sign_of_first(entries, stride_bytes, count, dtype, static_cast<double>(high));
  if (sign < 0) high = 0;
  if (sign > 0) low = 0;
}

}  // namespace

void cut_runs(const std::byte* row, std::int64_t cols, std::int64_t group_size, DType dtype, const RangeCut& how,
              const GroupNumbers& found) {
  const std::int64_t item_bytes = item_size(dtype), math_bytes = item_size(arithmetic_dtype(dtype));
  for (std::int64_t g = 0; g * group_size < cols; ++g) {
    const std::int64_t begin = g * group_size, count = std::min(group_size, cols - begin);
    cut_run(row + begin * item_bytes, count, dtype, how, found.from(g, math_bytes));
  }
}

void cut_columns(cpu::ConstRows rows, cpu::Extent extent, DType dtype, const RangeCut& how, const GroupNumbers& found,
                 std::byte* scratch) {
  const std::int64_t item_bytes = item_size(dtype), math_bytes = item_size(arithmetic_dtype(dtype));
  for (std::int64_t col = 0; col < extent.cols; ++col) {
    copy_strided(scratch, item_bytes, rows.data + col * item_bytes, rows.stride_bytes, extent.rows, item_bytes);
    cut_run(scratch, extent.rows, dtype, how, found.from(col, math_bytes));
  }
}

void cut_group(const View& entries, const RangeCut& how, const GroupNumbers& found) {
  cut(entries.dtype, found, [&](double low, double high) {
    if (const auto* percentile = std::get_if<Percentile>(&how)) return percentile_bounds(entries, *percentile);
    return entropy_bounds(entries, low, high, std::get<Entropy>(how));
  });
}

void keep_first_side(const std::byte* entries, std::int64_t stride_bytes, std::int64_t count, DType dtype,
                     const GroupNumbers& found) {
  const auto keep = arithmetic_dtype(dtype) == DType::kFloat64 ? keep_first_side_as<double> : keep_first_side_as<float>;
  keep(entries, stride_bytes, count, dtype, found);
}

}  // namespace tersor
