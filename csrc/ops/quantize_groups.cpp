#include "ops/quantize_groups.h"

#include <algorithm>
#include <limits>
#include <optional>
#include <string>
#include <vector>

#include "core/check.h"
#include "core/memory.h"
#include "core/named.h"
#include "cpu/quantize_groups.h"
#include "ops/bin_grid.h"
#include "ops/check_views.h"
#include "ops/loop.h"
#include "ops/quantize_checks.h"
#include "ops/quantize_codes.h"
#include "ops/quantize_cut.h"
#include "ops/quantize_layout.h"
#include "ops/quantize_search.h"

namespace tersor {

namespace {

constexpr std::int64_t kPartRows = 64;      // rows of a tile whose scales are known
constexpr std::int64_t kLongStripe = 1024;  // columns of it
constexpr int kMostShares = 1000;           // of a range that are tried

constexpr Named<RangeMethod> kRangeMethods[] = {{"whole", RangeMethod::kWhole},
                                                {"percentile", RangeMethod::kPercentile},
                                                {"mse", RangeMethod::kLeastError},
                                                {"entropy", RangeMethod::kEntropy}};

// --- what is asked of the arguments ---------------------------------------------------------------------------------------

void require_range_options(const RangeOptions& ranges) {
  if (!(ranges.percentile > 0 && ranges.percentile <= 100))
    throw ValueError("percentile must lie in (0, 100], got " + std::to_string(ranges.percentile));
  if (!(ranges.grid.max_shrink >= 0 && ranges.grid.max_shrink < 1))
    throw ValueError("max_shrink must lie in [0, 1), got " + std::to_string(ranges.grid.max_shrink));
  if (ranges.grid.grid < 1 || ranges.grid.grid > kMostShares)
    throw ValueError("grid must lie in [1, " + std::to_string(kMostShares) + "], got " + std::to_string(ranges.grid.grid));
  if (ranges.bins && (*ranges.bins < 2 || *ranges.bins > kMostBins))
    throw ValueError("bins must lie in [2, " + std::to_string(kMostBins) + "], got " + std::to_string(*ranges.bins));
}

// --- ranges ----------------------------------------------------------------------------------------------------------------

template <class Math>
void reset_as(std::byte* lows, std::byte* highs, std::int64_t count) noexcept {
  std::fill_n(reinterpret_cast<Math*>(lows), count, std::numeric_limits<Math>::infinity());
  std::fill_n(reinterpret_cast<Math*>(highs), count, -std::numeric_limits<Math>::infinity());
}
void reset(const GroupNumbers& numbers, std::int64_t count, std::int64_t math_bytes) noexcept {
  if (math_bytes == 8)
    reset_as<double>(numbers.lows, numbers.highs, count);
  else
    reset_as<float>(numbers.lows, numbers.highs, count);
}

// What pieces of a group have found, put together.
template <class Math>
void join_as(const GroupNumbers& pieces, std::int64_t first, std::int64_t count, const GroupNumbers& groups, std::int64_t group) {
  const auto *lows = reinterpret_cast<const Math*>(pieces.lows) + first,
             *highs = reinterpret_cast<const Math*>(pieces.highs) + first;
  reinterpret_cast<Math*>(groups.lows)[group] = *std::min_element(lows, lows + count);
  reinterpret_cast<Math*>(groups.highs)[group] = *std::max_element(highs, highs + count);
}

// One group, whose numbers are [outer][group][inner].
View group_view(const View& w, GroupAxis groups, const GroupLayout& layout, std::int64_t number) noexcept {
  if (groups.axis == kNoAxis) return w;
  View entries = w;
  const auto enter = [&](int axis, std::int64_t index) { entries.data += index * w.stride_bytes[axis]; };
  std::int64_t inner = number % layout.inner, begin = number / layout.inner % layout.count * groups.size;
  for (int axis = w.ndim - 1; axis > groups.axis; inner /= w.shape[axis--]) enter(axis, inner % w.shape[axis]);
  std::int64_t outer = number / layout.inner / layout.count;
  for (int axis = groups.axis - 1; axis >= 0; outer /= w.shape[axis--]) enter(axis, outer % w.shape[axis]);
  enter(groups.axis, begin);
  entries.ndim = 1;
  entries.shape[0] = std::min(groups.size, w.shape[groups.axis] - begin);
  entries.stride_bytes[0] = w.stride_bytes[groups.axis];
  return entries;
}

// --- all of it -------------------------------------------------------------------------------------------------------------

struct Quantizer {
  GroupLayout layout;
  Grid grid;
  DType dtype;
  std::int64_t item_bytes, math_bytes;
  StoredScales scales;
  cpu::ScaleRule rule;
  Encoder encoder;
  bool first_side;
  std::optional<RangeCut> range_cut;
  std::optional<RangeSearch> search;

  Quantizer(const View& w, GroupAxis groups, const CodeOptions& options, const View& scale, const View* zero_point, const View& q,
            Access access)
      : layout(layout_for(w, q, w, groups, options.format, options.packed)),
        grid(grid_of(w, groups, layout)),
        dtype(w.dtype),
        item_bytes(item_size(w.dtype)),
        math_bytes(item_size(arithmetic_dtype(w.dtype))),
        scales(arithmetic_dtype(w.dtype), scale, zero_point, options.format, access),
        rule(scale_rule(options.convention, options.format, w.dtype, scale.dtype)),
        encoder(w, layout, options, scales, q, grid_of(q, groups, layout), arithmetic_dtype(scale.dtype)),
        first_side(keeps_first_side(options.convention, options.format)) {}
  Quantizer(const Quantizer&) = delete;  // the encoder and the search refer to the scales
  Quantizer& operator=(const Quantizer&) = delete;

  void find_ranges_by(const View& w, const RangeOptions& ranges, CodeFormat format) {
    if (ranges.method == RangeMethod::kPercentile) range_cut = Percentile{ranges.percentile, format.symmetric};
    const int levels = 1 << (format.bits - 1);
    if (ranges.method == RangeMethod::kEntropy) range_cut = Entropy{levels, ranges.bins.value_or(16 * levels)};
    if (ranges.method == RangeMethod::kLeastError) search.emplace(w, layout, ranges.grid, ranges.importance, scales, rule);
  }

  // Calls body(tile, rows of w, numbers of the tile's groups, scratch) for tiles of `rows_each` rows by `cols_each` columns at
  // most.
  template <class Walk, class Body>
  void for_each_part(std::int64_t rows_each, std::int64_t cols_each, std::int64_t groups_each, Walk walk, Body body) const {
    const std::int64_t number_bytes = GroupNumbers::bytes(groups_each, math_bytes);
    const std::int64_t rectangle_bytes = grid.scratch_bytes(rows_each, cols_each);
    const std::int64_t work_bytes =
        std::max(encoder.scratch_bytes(rows_each, cols_each), range_scratch_bytes(rows_each, cols_each, groups_each));
    walk(number_bytes + rectangle_bytes + work_bytes, [&](const Tile& tile, std::byte* scratch) {
      const cpu::ConstRows from = grid.read(tile.row, tile.rows, tile.col, tile.cols, scratch + number_bytes);
      body(tile, from, GroupNumbers(scratch, groups_each, math_bytes), scratch + number_bytes + rectangle_bytes);
    });
  }
  template <class Body>
  void for_each_row_part(Body body) const {
    const RowCut cut(layout, item_bytes);
    for_each_part(
        1, cut.cols_each, cut.groups_each,
        [&](std::int64_t bytes, auto each) { for_each_stretch(layout, item_bytes, bytes, each); }, body);
  }
  template <class Body>
  void for_each_column_part(std::int64_t rows_each, std::int64_t stripe, Body body) const {
    for_each_part(
        rows_each, stripe, stripe,
        [&](std::int64_t bytes, auto each) { for_each_stripe(layout, rows_each, stripe, item_bytes, bytes, each); }, body);
  }

  void measure_row(const Tile& tile, cpu::ConstRows from, const GroupNumbers& numbers) const {
    cpu::quantize_groups_kernels().measure_groups[dtype](from.row<std::byte>(0), tile.cols, layout.size, numbers.lows,
                                                         numbers.highs);
  }
  void measure_columns(const Tile& tile, cpu::ConstRows from, const GroupNumbers& numbers) const {
    cpu::quantize_groups_kernels().measure_columns[dtype](from, {tile.rows, tile.cols}, numbers.lows, numbers.highs);
  }

  // Of columns, by some of their rows.
  void keep_first_sides(const Tile& tile, cpu::ConstRows from, const GroupNumbers& numbers) const {
    for (std::int64_t col = 0; first_side && col < tile.cols; ++col)
      keep_first_side(from.data + col * item_bytes, from.stride_bytes, tile.rows, dtype, numbers.from(col, math_bytes));
  }

  // What it takes to find the ranges of a tile's groups.
  std::int64_t range_scratch_bytes(std::int64_t rows_each, std::int64_t cols_each, std::int64_t groups_each) const noexcept {
    if (range_cut) return padded(rows_each) * item_bytes;
    if (!search) return 0;
    const bool along = layout.along_rows;
    return search->trial_bytes(groups_each) +
           (along ? search->row_scratch_bytes(cols_each) : search->column_scratch_bytes(cols_each));
  }

  // Ranges of groups that lie within a tile whole.
  void find_in_row(const Tile& tile, cpu::ConstRows from, const GroupNumbers& numbers, std::byte* scratch) const {
    measure_row(tile, from, numbers);
    if (range_cut) cut_runs(from.row<std::byte>(0), tile.cols, layout.size, dtype, *range_cut, numbers);
    for (std::int64_t g = 0; first_side && g * layout.size < tile.cols; ++g)
      keep_first_side(from.row<std::byte>(0) + g * layout.size * item_bytes, item_bytes,
                      std::min(layout.size, tile.cols - g * layout.size), dtype, numbers.from(g, math_bytes));
    if (search)
      try_ranges(tile, numbers, scratch, [&](const Trials& trials, std::byte* rest) { search->add_row(trials, tile, from, rest); });
  }
  void find_in_columns(const Tile& tile, cpu::ConstRows from, const GroupNumbers& numbers, std::byte* scratch) const {
    reset(numbers, tile.cols, math_bytes);
    measure_columns(tile, from, numbers);
    if (range_cut) cut_columns(from, {tile.rows, tile.cols}, dtype, *range_cut, numbers, scratch);
    keep_first_sides(tile, from, numbers);
    if (search)
      try_ranges(tile, numbers, scratch,
                 [&](const Trials& trials, std::byte* rest) { search->add_columns(trials, tile, from, rest); });
  }

  // add(trials, scratch) adds the errors of the tile's groups.
  template <class Add>
  void try_ranges(const Tile& tile, const GroupNumbers& numbers, std::byte* scratch, Add add) const {
    const Trials trials(scratch, search->ranges(), tile.scales, math_bytes);
    search->prepare(trials, numbers, tile.first_scale, tile.scales);
    add(trials, scratch + search->trial_bytes(tile.scales));
    search->choose(trials, numbers, tile.scales);
  }
};

void quantize_short_groups(const Quantizer& work) {
  const auto encode = [&](const Tile& tile, cpu::ConstRows from, const GroupNumbers& numbers, std::byte* scratch) {
    work.scales.make(numbers, tile.first_scale, tile.scales, work.rule);
    work.encoder.encode(tile, from, numbers, scratch, work.grid.is_dense());
  };
  if (work.layout.along_rows)
    return work.for_each_row_part([&](const Tile& tile, cpu::ConstRows from, const GroupNumbers& numbers, std::byte* scratch) {
      work.find_in_row(tile, from, numbers, scratch);
      encode(tile, from, numbers, scratch);
    });
  const std::int64_t rows = std::min(work.layout.size, work.layout.length);
  const std::int64_t stripe = std::max(kLeastStripe, kMostGroupBytes / (rows * work.item_bytes) / kLeastStripe * kLeastStripe);
  work.for_each_column_part(rows, std::min(stripe, work.layout.inner),
                            [&](const Tile& tile, cpu::ConstRows from, const GroupNumbers& numbers, std::byte* scratch) {
                              work.find_in_columns(tile, from, numbers, scratch);
                              encode(tile, from, numbers, scratch);
                            });
}

// Of a group that is part of a row, piece by piece up to the entry that counts.
void keep_first_side_of_long(const Quantizer& work, std::int64_t group, const GroupNumbers& numbers) {
  const std::int64_t each = RowCut(work.layout, work.item_bytes).cols_each;
  const Scratch scratch(static_cast<std::size_t>(work.grid.scratch_bytes(1, each)));
  const std::int64_t row = group / work.layout.count, begin = group % work.layout.count * work.layout.size;
  const std::int64_t end = std::min(begin + work.layout.size, work.layout.length);
  for (std::int64_t col = begin; col < end; col += each) {
    const std::int64_t cols = std::min(each, end - col);
    const cpu::ConstRows from = work.grid.read(row, 1, col, cols, scratch.data());
    keep_first_side(from.row<std::byte>(0), work.item_bytes, cols, work.dtype, numbers);
  }
}

// Groups that are cut in pieces, each a tile.
void find_long_rows(const View& w, GroupAxis groups_along, const Quantizer& work, const GroupNumbers& numbers) {
  const RowCut cut(work.layout, work.item_bytes);
  const std::int64_t groups = work.layout.scale_count(), pieces = groups * cut.pieces;
  const Scratch of_pieces(static_cast<std::size_t>(GroupNumbers::bytes(pieces, work.math_bytes)));
  const GroupNumbers parts(of_pieces.data(), pieces, work.math_bytes);
  reset(parts, pieces, work.math_bytes);
  work.for_each_row_part([&](const Tile& tile, cpu::ConstRows from, const GroupNumbers&, std::byte*) {
    work.measure_row(tile, from, parts.from(tile.number, work.math_bytes));
  });
  const GroupLayout unmerged = layout_of(w, groups_along);
  const auto join = work.math_bytes == 8 ? join_as<double> : join_as<float>;
  for (std::int64_t group = 0; group < groups; ++group) {
    join(parts, group * cut.pieces, cut.pieces, numbers, group);
    if (work.range_cut)
      cut_group(group_view(w, groups_along, unmerged, group), *work.range_cut, numbers.from(group, work.math_bytes));
    if (work.first_side) keep_first_side_of_long(work, group, numbers.from(group, work.math_bytes));
  }
}

void try_long_rows(const Quantizer& work, const GroupNumbers& numbers) {
  const RangeSearch& search = *work.search;
  const RowCut cut(work.layout, work.item_bytes);
  const std::int64_t groups = work.layout.scale_count(), pieces = groups * cut.pieces;
  const Scratch of_trials(static_cast<std::size_t>(search.trial_bytes(groups)));
  const Trials trials(of_trials.data(), search.ranges(), groups, work.math_bytes);
  std::vector<double> errors(static_cast<std::size_t>(pieces * search.ranges()));
  const auto of_piece = [&](std::int64_t piece) { return errors.data() + piece * search.ranges(); };
  search.prepare(trials, numbers, 0, groups);
  work.for_each_row_part([&](const Tile& tile, cpu::ConstRows from, const GroupNumbers&, std::byte* scratch) {
    search.add_row(trials.from(tile.first_scale).with_errors_at(of_piece(tile.number)), tile, from, scratch);
  });
  for (std::int64_t piece = 0; piece < pieces; ++piece)
    for (int range = 0; range < search.ranges(); ++range) trials.error(range, piece / cut.pieces) += of_piece(piece)[range];
  search.choose(trials, numbers, groups);
}

// Ranges are found in loops of their own, and there are few.
void quantize_long_rows(const View& w, GroupAxis groups_along, const Quantizer& work) {
  const std::int64_t groups = work.layout.scale_count();
  const Scratch of_groups(static_cast<std::size_t>(GroupNumbers::bytes(groups, work.math_bytes)));
  const GroupNumbers numbers(of_groups.data(), groups, work.math_bytes);
  find_long_rows(w, groups_along, work, numbers);
  if (work.search) try_long_rows(work, numbers);
  work.scales.make(numbers, 0, groups, work.rule);
  work.for_each_row_part([&](const Tile& tile, cpu::ConstRows from, const GroupNumbers&, std::byte* scratch) {
    work.encoder.encode(tile, from, numbers.from(tile.first_scale, work.math_bytes), scratch, false);
  });
}

void quantize_long_columns(const View& w, GroupAxis groups_along, const Quantizer& work) {
  constexpr std::int64_t kMeasuredStripe = 256;
  const GroupLayout& layout = work.layout;
  const std::int64_t stripes = ceil_div(layout.inner, kMeasuredStripe), inner = stripes * kMeasuredStripe;
  const std::int64_t count = layout.outer * layout.count * inner;
  const Scratch of_columns(static_cast<std::size_t>(GroupNumbers::bytes(count, work.math_bytes)));
  const GroupNumbers numbers(of_columns.data(), count, work.math_bytes);
  reset(numbers, count, work.math_bytes);
  const auto of_tile = [&](const Tile& tile) {
    return numbers.from(tile.first_scale / layout.inner * inner + tile.col, work.math_bytes);
  };
  const std::int64_t rectangle_bytes = work.grid.scratch_bytes(kPartRows, kMeasuredStripe);
  const std::int64_t search_bytes = work.search ? work.range_scratch_bytes(kPartRows, kMeasuredStripe, kMeasuredStripe) : 0;
  for_each_stripe(
      layout, layout.size, kMeasuredStripe, work.item_bytes, rectangle_bytes + search_bytes,
      [&](const Tile& tile, std::byte* scratch) {
        const auto for_each_part = [&](auto body) {
          for (std::int64_t r = 0; r < tile.rows; r += kPartRows) {
            Tile part = tile;
            part.rows = std::min(kPartRows, tile.rows - r);
            body(part, work.grid.read(tile.row + r, part.rows, tile.col, tile.cols, scratch + search_bytes));
          }
        };
        const GroupNumbers found = of_tile(tile);
        for_each_part([&](const Tile& part, cpu::ConstRows from) { work.measure_columns(part, from, found); });
        for (std::int64_t col = 0; work.range_cut && col < tile.cols; ++col)
          cut_group(group_view(w, groups_along, layout, tile.first_scale + col), *work.range_cut, found.from(col, work.math_bytes));
        if (work.first_side)
          for_each_part([&](const Tile& part, cpu::ConstRows from) { work.keep_first_sides(part, from, found); });
        if (work.search)
          work.try_ranges(tile, found, scratch, [&](const Trials& trials, std::byte* rest) {
            for_each_part([&](const Tile& part, cpu::ConstRows from) { work.search->add_columns(trials, part, from, rest); });
          });
        work.scales.make(found, tile.first_scale, tile.cols, work.rule);
      });
  work.for_each_column_part(kPartRows, std::min(kLongStripe, layout.inner),
                            [&](const Tile& tile, cpu::ConstRows from, const GroupNumbers&, std::byte* scratch) {
                              work.encoder.encode(tile, from, of_tile(tile), scratch, false);
                            });
}

// Where all entries are one group, and there are none, it has a scale too.
void make_scales_of_nothing(const Quantizer& work, std::int64_t count) {
  const Scratch scratch(static_cast<std::size_t>(GroupNumbers::bytes(count, work.math_bytes)));
  const GroupNumbers numbers(scratch.data(), count, work.math_bytes);
  reset(numbers, count, work.math_bytes);
  work.scales.make(numbers, 0, count, work.rule);
}

void require_encodable(const char* op, const View& w, GroupAxis groups, const CodeOptions& options, const View& q,
                       const View& scale, const View* zero_point) {
  require_floating(w);
  require_groups(groups, options.format);
  require_convention(options.convention, options.format);
  if (options.as_numbers)
    require_numbers(w, q);
  else
    require_codes(w, groups, options.format, options.packed, q);
  require_scales(w, groups, options.format, scale, zero_point);
  require_cpu(op, w);
  require_no_overlap(w, q, options.as_numbers ? InPlace::kAllowed : InPlace::kNo);
  require_no_overlap(scale, q);
  if (zero_point) require_no_overlap(*zero_point, q);
}

}  // namespace

RangeMethod range_method_of(std::string_view name) { return find_named(kRangeMethods, name, "range_method"); }

void quantize_groups(const View& w, GroupAxis groups, const RangeOptions& ranges, const CodeOptions& options, const View& q,
                     const View& scale, const View* zero_point) {
  require_range_options(ranges);
  require_encodable(options.as_numbers ? "fake_quantize" : "quantize", w, groups, options, q, scale, zero_point);
  require_no_overlap(w, scale);
  if (zero_point) {
    require_no_overlap(w, *zero_point);
    require_no_overlap(scale, *zero_point);
  }
  Quantizer work(w, groups, options, scale, zero_point, q, Access::kWrite);
  work.find_ranges_by(w, ranges, options.format);
  if (w.size() == 0)
    make_scales_of_nothing(work, scale.size());
  else if (!has_long_groups(work.layout, work.item_bytes))
    quantize_short_groups(work);
  else if (work.layout.along_rows)
    quantize_long_rows(w, groups, work);
  else
    quantize_long_columns(w, groups, work);
  work.scales.write_back();
}

void encode_groups(const View& w, GroupAxis groups, const CodeOptions& options, const View& scale, const View* zero_point,
                   const View& q) {
  require_encodable(options.as_numbers ? "fake_quantize" : "quantize", w, groups, options, q, scale, zero_point);
  if (w.size() == 0) return;
  const Quantizer work(w, groups, options, scale, zero_point, q, Access::kRead);
  const auto encode = [&](const Tile& tile, cpu::ConstRows from, const GroupNumbers& numbers, std::byte* scratch) {
    work.scales.load(numbers, tile.first_scale, tile.scales);
    work.encoder.encode(tile, from, numbers, scratch, false);
  };
  if (work.layout.along_rows)
    work.for_each_row_part(encode);
  else
    work.for_each_column_part(kPartRows, std::min(kLongStripe, work.layout.inner), encode);
}

void decode_groups(const View& q, GroupAxis groups, CodeFormat format, bool packed, const View& scale, const View* zero_point,
                   const View& out) {
  require_floating(out);
  require_groups(groups, format);
  require_codes(out, groups, format, packed, q);
  require_scales(out, groups, format, scale, zero_point);
  require_cpu("dequantize", q);
  for (const View* in : {&q, &scale, zero_point})
    if (in) require_no_overlap(*in, out);
  if (out.size() == 0) return;
  const GroupLayout layout = layout_for(out, q, out, groups, format, packed);
  const DType math = arithmetic_dtype(scale.dtype);
  const std::int64_t item_bytes = item_size(out.dtype), math_bytes = item_size(math);
  const StoredScales scales(math, scale, zero_point, format, Access::kRead);
  const CodeGrid codes{grid_of(q, groups, layout), packed ? format.bits : 0};
  const Grid to = grid_of(out, groups, layout);
  const Decoder decoder(layout, math, format, out.dtype, to.is_dense() ? store_for(q, out) : Store::kCached);
  const RowCut cut(layout, item_bytes);
  const std::int64_t stripe = std::min(kLongStripe, layout.inner), groups_each = layout.along_rows ? cut.groups_each : stripe;
  const std::int64_t number_bytes = GroupNumbers::bytes(groups_each, math_bytes);
  const auto scratch_bytes = [&](std::int64_t rows, std::int64_t cols) {
    return number_bytes + to.scratch_bytes(rows, cols) + codes.scratch_bytes(rows, cols);
  };
  const auto decode = [&](const Tile& tile, std::byte* scratch) {
    const Rectangle part{tile.row, tile.rows, tile.col, tile.cols};
    const GroupNumbers numbers(scratch, groups_each, math_bytes);
    std::byte* const rectangle = scratch + number_bytes;
    scales.load(numbers, tile.first_scale, tile.scales);
    decoder.decode(codes, tile, numbers, to.place(part, rectangle), rectangle + to.scratch_bytes(tile.rows, tile.cols));
    to.write(part, rectangle);
  };
  if (layout.along_rows)
    for_each_stretch(layout, item_bytes, scratch_bytes(1, cut.cols_each), decode);
  else
    for_each_stripe(layout, kPartRows, stripe, item_bytes, scratch_bytes(kPartRows, stripe), decode);
}

}  // namespace tersor
