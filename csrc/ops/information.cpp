#include "ops/information.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>
#include <memory>
#include <mutex>
#include <string>

#include "core/check.h"
#include "core/float_environment.h"
#include "cpu/information.h"
#include "ops/check_views.h"
#include "ops/distribution.h"
#include "ops/loop.h"
#include "ops/select.h"

namespace tersor {

namespace {

constexpr std::int64_t kMostInterleavedSlots = 2048;  // four tables of them are half of an L1 cache
constexpr std::int64_t kTableRoom = std::int64_t{1} << 31;
constexpr std::int64_t kPairCols = 1024;

// Tables that chunks count in: as many as threads work at once, in use by one chunk at a time, added up in the end. Sums of
// integers do not depend on who counted what.
template <class Count>
class CountTables {
 public:
  CountTables(std::int64_t slots, int tables_each) : slots_(slots), tables_each_(tables_each), totals_(to_size(slots)) {}

  std::int64_t slots() const noexcept { return slots_; }

  // count(table) in a table that is nobody else's; it counts `elements` at the most.
  template <class Body>
  void with_table(std::int64_t elements, Body count) {
    Table table = take();
    if (table.used + elements > kTableRoom) add_up(table);
    table.used += elements;
    count(table.counts.get());
    const std::lock_guard lock(mutex_);
    idle_.push_back(std::move(table));
  }

  const std::vector<std::int64_t>& totals() {
    for (Table& table : idle_) add_up(table);
    return totals_;
  }

 private:
  struct Table {
    std::unique_ptr<Count[]> counts;
    std::int64_t used = 0;
  };
  static std::size_t to_size(std::int64_t count) noexcept { return static_cast<std::size_t>(count); }

  Table take() {
    {
      const std::lock_guard lock(mutex_);
      if (!idle_.empty()) {
        Table table = std::move(idle_.back());
        idle_.pop_back();
        return table;
      }
    }
    return {std::make_unique<Count[]>(to_size(slots_ * tables_each_))};
  }

  void add_up(Table& table) {
    const std::lock_guard lock(mutex_);
    for (std::int64_t k = 0; k < tables_each_; ++k)
      for (std::int64_t slot = 0; slot < slots_; ++slot) totals_[to_size(slot)] += table.counts[to_size(k * slots_ + slot)];
    std::fill_n(table.counts.get(), slots_ * tables_each_, Count{0});
    table.used = 0;
  }

  std::int64_t slots_;
  int tables_each_;
  std::mutex mutex_;
  std::vector<Table> idle_;
  std::vector<std::int64_t> totals_;
};

struct DataRange {
  double low, high;
};

// `keys` are those of the type of arithmetic, as select numbers them.
DataRange finite_range(cpu::KeyRange keys, DType dtype, const char* name) {
  if (keys.least > keys.most) return {0, 1};
  const DType math = arithmetic_dtype(dtype);
  const double low = value_of_key(keys.least, math, KeyOrder::kValue), high = value_of_key(keys.most, math, KeyOrder::kValue);
  if (!std::isfinite(low) || !std::isfinite(high))
    throw ValueError(std::string(name) +
                     " holds NaN or an infinity, so its range is not finite; remove them, or give edges or a range");
  return {low + 0.0, high + 0.0};  // no -0.0
}

cpu::KeyRange join(cpu::KeyRange a, cpu::KeyRange b) noexcept { return {std::min(a.least, b.least), std::max(a.most, b.most)}; }
constexpr cpu::KeyRange kNoKeys{std::numeric_limits<std::int64_t>::max(), std::numeric_limits<std::int64_t>::min()};

cpu::KeyRange measure(const View& x) {
  auto& kernel = cpu::information_kernels().measure_range[x.dtype];
  std::mutex mutex;
  cpu::KeyRange range = kNoKeys;
  for_each_block(plan_elements({{x}}), Split::kColumns, [&](const Block& block) {
    if (block.extent.cols == 0) return;
    const cpu::KeyRange part = kernel(block.operands[0], block.extent);
    const std::lock_guard lock(mutex);
    range = join(range, part);
  });
  return range;
}

// NumPy's linear interpolation of the quantiles i / bins of `size` finite numbers; selected(rank) finds one.
template <class Selected>
std::vector<double> quantile_edges(std::int64_t size, std::int64_t bins, DType dtype, Selected selected) {
  const DefaultFloatEnvironment environment;
  const auto number = [&](const Selection& found) { return value_of_key(found.key, dtype, KeyOrder::kValue) + 0.0; };
  std::vector<double> edges;
  for (std::int64_t i = 0; i <= bins; ++i) {
    const double place = static_cast<double>(i) / static_cast<double>(bins) * static_cast<double>(size - 1);
    const auto below = static_cast<std::int64_t>(std::floor(place));
    const double fraction = place - static_cast<double>(below);
    const Selection found = selected(below);
    const double low = number(found);
    double edge = low;
    if (fraction > 0 && below + 1 >= found.up_to) {
      const double high = number(selected(below + 1)), width = high - low;
      edge = fraction < 0.5 ? low + width * fraction : high - width * (1 - fraction);
    }
    edges.push_back(edges.empty() ? edge : std::max(edge, edges.back()));
  }
  return edges;
}

template <class Selected>
std::vector<double> edges_within(cpu::KeyRange keys, std::int64_t size, std::int64_t bins, BinKind kind, DType dtype,
                                 const char* name, Selected selected) {
  const DefaultFloatEnvironment environment;
  const DataRange range = finite_range(keys, dtype, name);
  if (kind == BinKind::kUniform || size == 0) return uniform_edges(range.low, range.high, bins, name);
  return quantile_edges(size, bins, dtype, selected);
}

void require_binned(const View& x) {
  require_floating(x);
  require_cpu("binning", x);
}

void require_counts(const View& counts, std::initializer_list<std::int64_t> shape) {
  require_dtype(counts, {DType::kInt64});
  require_cpu("binning", counts);
  View wanted = counts;
  wanted.ndim = 0;
  for (const std::int64_t length : shape) wanted.shape[wanted.ndim++] = length;
  if (!same_shape(counts, wanted))
    throw ValueError(std::string(counts.name) + " has shape " + shape_text(counts) + "; for these bins it must have shape " +
                     shape_text(wanted));
}

std::vector<std::int64_t> counts_in(const View& x, const BinFinder& finder) {
  auto& kernel = cpu::information_kernels().count_slots[x.dtype];
  const bool interleaved = finder.slots() <= kMostInterleavedSlots;
  CountTables<std::uint32_t> tables(finder.slots(), interleaved ? cpu::kCountTables : 1);
  for_each_block(plan_elements({{x}}), Split::kColumns, [&](const Block& block) {
    tables.with_table(block.extent.rows * block.extent.cols, [&](std::uint32_t* table) {
      kernel(block.operands[0], block.extent, finder.grid(), table, interleaved ? finder.slots() : 0);
    });
  });
  const std::vector<std::int64_t>& totals = tables.totals();
  return {totals.begin() + 1, totals.end() - 1};
}

void write_count(const View& counts, std::int64_t offset_bytes, std::int64_t count) noexcept {
  std::memcpy(counts.data + offset_bytes, &count, sizeof count);
}

}  // namespace

std::vector<double> edges_of_data(const View& x, std::int64_t bins, BinKind kind) {
  require_binned(x);
  require_bins(bins);
  const Ranking values = rank_by_value({&x, 1});
  return edges_within(measure(x), x.size(), bins, kind, x.dtype, x.name,
                      [&](std::int64_t rank) { return select_rank(values, rank); });
}

std::vector<double> edges_of_row(const std::byte* row, std::int64_t cols, DType dtype, std::int64_t bins, BinKind kind,
                                 const char* name) {
  const cpu::KeyRange keys = cols == 0 ? kNoKeys : cpu::information_kernels().measure_range[dtype]({row, 0}, {1, cols});
  return edges_within(keys, cols, bins, kind, dtype, name,
                      [&](std::int64_t rank) { return select_rank_in_row(row, cols, dtype, KeyOrder::kValue, rank); });
}

void histogram(const View& x, std::span<const double> edges, const View& counts) {
  require_binned(x);
  const BinFinder finder(edges, x.dtype);
  require_counts(counts, {finder.bins()});
  require_no_overlap(x, counts);
  const std::vector<std::int64_t> found = counts_in(x, finder);
  for (std::int64_t bin = 0; bin < finder.bins(); ++bin)
    write_count(counts, bin * counts.stride_bytes[0], found[static_cast<std::size_t>(bin)]);
}

void histogram2d(const View& x, const View& y, std::span<const double> x_edges, std::span<const double> y_edges,
                 const View& counts) {
  require_binned(x);
  require_binned(y);
  require_same_shape(x, y);
  const BinFinder x_finder(x_edges, x.dtype), y_finder(y_edges, y.dtype);
  require_counts(counts, {x_finder.bins(), y_finder.bins()});
  for (const View* in : {&x, &y}) require_no_overlap(*in, counts);
  const std::int64_t y_slots = y_finder.slots();
  if (x_finder.slots() * y_slots > 4 * kMostBins)
    throw ValueError("bins of x times bins of y must be at most " + std::to_string(4 * kMostBins) + "; take fewer");
  const auto& find = cpu::information_kernels().find_slots;
  CountTables<std::uint32_t> tables(x_finder.slots() * y_slots, 1);
  for_each_block(plan_elements({{x}, {y}}), Split::kColumns, [&](const Block& block) {
    tables.with_table(block.extent.rows * block.extent.cols, [&](std::uint32_t* table) {
      std::uint32_t x_slot[kPairCols], y_slot[kPairCols];
      for (std::int64_t r = 0; r < block.extent.rows; ++r)
        for (std::int64_t col = 0; col < block.extent.cols; col += kPairCols) {
          const std::int64_t cols = std::min(kPairCols, block.extent.cols - col);
          find[x.dtype](block.operands[0].row<std::byte>(r) + col * item_size(x.dtype), cols, x_finder.grid(), x_slot);
          find[y.dtype](block.operands[1].row<std::byte>(r) + col * item_size(y.dtype), cols, y_finder.grid(), y_slot);
          for (std::int64_t i = 0; i < cols; ++i) ++table[x_slot[i] * y_slots + y_slot[i]];
        }
    });
  });
  const std::vector<std::int64_t>& totals = tables.totals();
  for (std::int64_t i = 0; i < x_finder.bins(); ++i)
    for (std::int64_t j = 0; j < y_finder.bins(); ++j)
      write_count(counts, i * counts.stride_bytes[0] + j * counts.stride_bytes[1],
                  totals[static_cast<std::size_t>((i + 1) * y_slots + j + 1)]);
}

double entropy(const View& x, const BinRule& rule) {
  require_binned(x);
  const BinFinder finder(rule.edges.empty() ? edges_of_data(x, rule.bins, rule.kind) : rule.edges, x.dtype);
  return entropy_of_counts(counts_in(x, finder));
}

}  // namespace tersor
