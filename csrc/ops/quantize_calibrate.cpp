#include "ops/quantize_calibrate.h"

#include <algorithm>
#include <limits>

#include "cpu/quantize_groups.h"
#include "ops/check_views.h"
#include "ops/quantize_checks.h"
#include "ops/quantize_codes.h"
#include "ops/quantize_tally.h"

namespace tersor {

namespace {

enum RangeTally : int { kNegatedLow, kHigh, kRangeTallies };  // both join by their maximum

class RangeMeter {
 public:
  RangeMeter(const View& x, GroupAxis groups)
      : layout_(with_groups_clipped(layout_for(x, x, x, groups, {}, false))),
        dtype_(x.dtype),
        math_bytes_(item_size(arithmetic_dtype(x.dtype))),
        x_(grid_of(x, groups, layout_)),
        most_(tally_scratch(layout_)) {}

  void measure(TakeTallies take) const {
    tally_groups(layout_, {kRangeTallies, 0}, item_size(dtype_), number_bytes() + x_.scratch_bytes(most_.rows, most_.cols),
                 [&](const Tile& tile, const Tallies& tallies, std::byte* scratch) { add(tile, tallies, scratch); }, take, {});
  }

 private:
  std::int64_t number_bytes() const noexcept { return GroupNumbers::bytes(most_.groups, math_bytes_); }

  void add(const Tile& tile, const Tallies& tallies, std::byte* scratch) const {
    const GroupNumbers numbers(scratch, most_.groups, math_bytes_);
    const cpu::ConstRows from = x_.read(tile.row, tile.rows, tile.col, tile.cols, scratch + number_bytes());
    if (math_bytes_ == 8)
      add_as<double>(tile, from, numbers, tallies);
    else
      add_as<float>(tile, from, numbers, tallies);
  }

  template <class Math>
  void add_as(const Tile& tile, cpu::ConstRows from, const GroupNumbers& numbers, const Tallies& tallies) const {
    auto *lows = reinterpret_cast<Math*>(numbers.lows), *highs = reinterpret_cast<Math*>(numbers.highs);
    const cpu::QuantizeGroupsKernels& kernels = cpu::quantize_groups_kernels();
    if (layout_.along_rows) {
      kernels.measure_groups[dtype_](from.row<std::byte>(0), tile.cols, layout_.size, numbers.lows, numbers.highs);
    } else {
      std::fill_n(lows, tile.scales, std::numeric_limits<Math>::infinity());
      std::fill_n(highs, tile.scales, -std::numeric_limits<Math>::infinity());
      kernels.measure_columns[dtype_](from, {tile.rows, tile.cols}, numbers.lows, numbers.highs);
    }
    for (std::int64_t i = 0; i < tile.scales; ++i) {
      double &negated_low = tallies.of(kNegatedLow)[i], &high = tallies.of(kHigh)[i];
      negated_low = std::max(negated_low, -static_cast<double>(lows[i]));
      high = std::max(high, static_cast<double>(highs[i]));
    }
  }

  GroupLayout layout_;
  DType dtype_;
  std::int64_t math_bytes_;
  Grid x_;
  TallyScratch most_;
};

}  // namespace

void measure_ranges(const View& x, GroupAxis groups, const View& low, const View& high) {
  require_floating(x);
  require_cpu("measure_ranges", x);
  for (const View* out : {&low, &high}) {
    require_dtype(*out, {DType::kFloat64});
    require_of_groups(x, groups, *out);
    require_no_overlap(x, *out);
  }
  require_no_overlap(low, high);
  const DenseArray lows(low, Access::kWrite), highs(high, Access::kWrite);
  RangeMeter(x, groups).measure([&](std::int64_t first, std::int64_t count, const Tallies& tallies) {
    for (std::int64_t i = 0; i < count; ++i) {
      reinterpret_cast<double*>(lows.data())[first + i] = -tallies.of(kNegatedLow)[i];
      reinterpret_cast<double*>(highs.data())[first + i] = tallies.of(kHigh)[i];
    }
  });
  lows.write_back();
  highs.write_back();
}

}  // namespace tersor
