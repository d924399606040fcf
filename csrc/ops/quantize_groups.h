#pragma once
// quantize: codes of 2 to 8 bits, with a scale and perhaps a zero point for each group of entries.
//
// Groups are runs of `size` entries along an axis, the last one shorter; or all entries are one. Codes are int8 or uint8, one an
// entry, or `bits` bits each one after the other in whole bytes a row (uint8, packed). Where w has shape (..., n, ...) along the
// axis, scale and zero point have ceil(n / size) there; 1 everywhere where all entries are one group.

#include <algorithm>
#include <cstdint>
#include <optional>
#include <string_view>

#include "core/view.h"
#include "ops/quantize_convention.h"

namespace tersor {

inline constexpr int kNoAxis = -1;

struct GroupAxis {
  int axis;           // kNoAxis: one group of all entries
  std::int64_t size;  // of a group
};

// Shares of a range that are tried: 1 - i / grid of it, for i below max_shrink * grid.
struct RangeGrid {
  double max_shrink;
  int grid;

  int count() const noexcept { return std::max(static_cast<int>(max_shrink * grid), 1); }
  double share(int i) const noexcept { return 1 - static_cast<double>(i) / grid; }
};

// How a group's range is found: that of all finite entries; what a percentage of the entries lies within; the share of the whole
// one that leaves the least sum of squared errors; or the part in which codes keep the most information.
enum class RangeMethod : std::uint8_t { kWhole, kPercentile, kLeastError, kEntropy };

// ValueError, with the names that there are.
RangeMethod range_method_of(std::string_view name);

struct RangeOptions {
  RangeMethod method;
  double percentile;                      // in (0, 100]
  RangeGrid grid;                         // of the shares that are tried
  const View* importance;                 // of each entry of the last axis, for errors; may be null
  std::optional<std::int64_t> bins = {};  // at most, of the histogram that information is measured in; else 16 times the levels
};

inline constexpr RangeOptions kWholeRanges{RangeMethod::kWhole, 100, {0, 1}, nullptr};

struct CodeOptions {
  Convention convention;
  CodeFormat format;
  cpu::Rounding rounding;
  std::uint64_t seed;  // of stochastic rounding
  bool packed;
  // Instead of codes q gets what decode_groups makes of them, in w's dtype, and they are kept nowhere; q may be w.
  bool as_numbers = false;
};

// Finds the scales, and the zero points where codes are not symmetric (zero_point is null where they are), then the codes.
void quantize_groups(const View& w, GroupAxis groups, const RangeOptions& ranges, const CodeOptions& options, const View& q,
                     const View& scale, const View* zero_point);

// Codes by scales and zero points that are given; without zero points codes are symmetric.
void encode_groups(const View& w, GroupAxis groups, const CodeOptions& options, const View& scale, const View* zero_point,
                   const View& q);

// (q - zero_point) * scale. out has the shape of w.
void decode_groups(const View& q, GroupAxis groups, CodeFormat format, bool packed, const View& scale, const View* zero_point,
                   const View& out);

}  // namespace tersor
