#include "ops/quantize_search.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <string>

#include "core/check.h"
#include "ops/check_views.h"
#include "ops/grid.h"

namespace tersor {

namespace {

constexpr std::int64_t kAlong = 4096;  // entries of a run that lanes add up before the sum is kept in float64
constexpr std::int64_t kDown = 64;     // likewise of a column

template <class Math>
void scale_ranges(const GroupNumbers& found, double share, std::int64_t count, const GroupNumbers& to) noexcept {
  const auto factor = static_cast<Math>(share);
  const auto *lows = reinterpret_cast<const Math*>(found.lows), *highs = reinterpret_cast<const Math*>(found.highs);
  for (std::int64_t g = 0; g < count; ++g) {
    reinterpret_cast<Math*>(to.lows)[g] = lows[g] * factor;
    reinterpret_cast<Math*>(to.highs)[g] = highs[g] * factor;
  }
}

double number_at(const std::byte* numbers, std::int64_t i, std::int64_t math_bytes) noexcept {
  return math_bytes == 8 ? reinterpret_cast<const double*>(numbers)[i] : reinterpret_cast<const float*>(numbers)[i];
}

void require_importance(const View& w, const View& importance) {
  require_dtype(importance, {arithmetic_dtype(w.dtype)});
  require_same_device(w, importance);
  const std::int64_t cols = w.ndim ? w.shape[w.ndim - 1] : 1;
  if (importance.ndim != 1 || importance.shape[0] != cols)
    throw ValueError(std::string(importance.name) + " has shape " + shape_text(importance) +
                     "; it must have one entry for each of " + std::to_string(cols) + " columns of " + w.name);
}

void require_weights(const std::byte* numbers, std::int64_t count, std::int64_t math_bytes, const char* name) {
  for (std::int64_t i = 0; i < count; ++i)
    if (const double weight = number_at(numbers, i, math_bytes); !(weight >= 0) || std::isinf(weight))
      throw ValueError(std::string(name) + " must hold finite numbers of at least 0, and entry " + std::to_string(i) + " is " +
                       std::to_string(weight));
}

}  // namespace

// --- trials ----------------------------------------------------------------------------------------------------------------

std::int64_t Trials::bytes(int ranges, std::int64_t groups, std::int64_t math_bytes) noexcept {
  return ranges * (GroupNumbers::bytes(groups, math_bytes) + padded(groups) * static_cast<std::int64_t>(sizeof(double)));
}

Trials::Trials(std::byte* at, int ranges, std::int64_t groups, std::int64_t math_bytes) noexcept
    : ranges_(ranges),
      groups_(groups),
      math_bytes_(math_bytes),
      error_stride_(padded(groups)),
      numbers_(at),
      errors_(reinterpret_cast<double*>(at + ranges * GroupNumbers::bytes(groups, math_bytes))) {}

GroupNumbers Trials::numbers(int range) const noexcept {
  return GroupNumbers(numbers_ + range * GroupNumbers::bytes(groups_, math_bytes_), groups_, math_bytes_).from(first_, math_bytes_);
}

void Trials::clear_errors(std::int64_t groups) const noexcept {
  for (int range = 0; range < ranges_; ++range) std::fill_n(&error(range, 0), groups, 0.0);
}

Trials Trials::from(std::int64_t group) const noexcept {
  Trials later = *this;
  later.first_ += group;
  later.errors_ += group;
  return later;
}

Trials Trials::with_errors_at(double* errors) const noexcept {
  Trials elsewhere = *this;
  elsewhere.errors_ = errors;
  elsewhere.error_stride_ = 1;
  return elsewhere;
}

// --- the search ------------------------------------------------------------------------------------------------------------

RangeSearch::RangeSearch(const View& w, const GroupLayout& layout, RangeGrid ranges, const View* importance,
                         const StoredScales& scales, const cpu::ScaleRule& rule)
    : ranges_(ranges),
      dtype_(w.dtype),
      math_bytes_(item_size(arithmetic_dtype(w.dtype))),
      group_size_(layout.size),
      scales_(scales),
      rule_(rule),
      kernels_(cpu::quantize_search_kernels()),
      of_math_(kernels_.of(arithmetic_dtype(w.dtype))) {
  if (!importance) return;
  require_importance(w, *importance);
  importance_.emplace(*importance, Access::kRead);
  importance_count_ = importance->shape[0];
  require_weights(importance_->data(), importance_count_, math_bytes_, importance->name);
}

// A row of numbers, their importance, and the sums of a block.
std::int64_t RangeSearch::row_scratch_bytes(std::int64_t cols) const noexcept { return 3 * padded(cols) * math_bytes_; }

std::int64_t RangeSearch::column_scratch_bytes(std::int64_t cols) const noexcept {
  return row_scratch_bytes(cols) + kDown * padded(cols) * math_bytes_;
}

void RangeSearch::prepare(const Trials& trials, const GroupNumbers& found, std::int64_t first_scale, std::int64_t count) const {
  const auto scale_all = math_bytes_ == 8 ? scale_ranges<double> : scale_ranges<float>;
  for (int range = 0; range < ranges(); ++range) {
    scale_all(found, ranges_.share(range), count, trials.numbers(range));
    scales_.make(trials.numbers(range), first_scale, count, rule_);
  }
  trials.clear_errors(count);
}

void RangeSearch::add_row(const Trials& trials, const Tile& tile, cpu::ConstRows from, std::byte* scratch) const {
  const Row row = row_for(tile, scratch);
  kernels_.widen_finite[dtype_](from.row<std::byte>(0), tile.cols, row.x);
  if (group_size_ <= kAlong) return add_runs(trials, row, {0, tile.cols, group_size_});
  for (std::int64_t group = 0; group * group_size_ < tile.cols; ++group) {
    const std::int64_t begin = group * group_size_, end = std::min(begin + group_size_, tile.cols);
    for (std::int64_t col = begin; col < end; col += kAlong) {
      const std::int64_t count = std::min(kAlong, end - col);
      add_runs(trials.from(group), row, {col, count, count});
    }
  }
}

void RangeSearch::add_runs(const Trials& trials, const Row& row, Runs runs) const {
  const std::int64_t skipped = runs.begin * math_bytes_, groups = ceil_div(runs.cols, runs.size);
  const std::byte* const weights = row.importance ? row.importance + skipped : nullptr;
  for (int range = 0; range < ranges(); ++range) {
    const GroupNumbers numbers = trials.numbers(range);
    of_math_.measure_errors(row.x + skipped, weights, runs.cols, runs.size, numbers.scales, numbers.zero_points, codes(), row.sums);
    for (std::int64_t g = 0; g < groups; ++g) trials.error(range, g) += number_at(row.sums, g, math_bytes_);
  }
}

void RangeSearch::add_columns(const Trials& trials, const Tile& tile, cpu::ConstRows from, std::byte* scratch) const {
  std::byte* const rows = scratch + row_scratch_bytes(tile.cols);  // numbers of kDown rows
  const std::int64_t row_bytes = padded(tile.cols) * math_bytes_;
  const Row row = row_for(tile, scratch);
  for (std::int64_t begin = 0; begin < tile.rows; begin += kDown) {
    const std::int64_t count = std::min(kDown, tile.rows - begin);
    for (std::int64_t r = 0; r < count; ++r)
      kernels_.widen_finite[dtype_](from.row<std::byte>(begin + r), tile.cols, rows + r * row_bytes);
    for (int range = 0; range < ranges(); ++range) {
      const GroupNumbers numbers = trials.numbers(range);
      std::memset(row.sums, 0, static_cast<std::size_t>(tile.cols * math_bytes_));
      for (std::int64_t r = 0; r < count; ++r)
        of_math_.add_errors(rows + r * row_bytes, row.importance, tile.cols, numbers.scales, numbers.zero_points, codes(),
                            row.sums);
      for (std::int64_t g = 0; g < tile.cols; ++g) trials.error(range, g) += number_at(row.sums, g, math_bytes_);
    }
  }
}

void RangeSearch::choose(const Trials& trials, const GroupNumbers& found, std::int64_t count) const {
  const auto scale_one = math_bytes_ == 8 ? scale_ranges<double> : scale_ranges<float>;
  for (std::int64_t g = 0; g < count; ++g) {
    int best = 0;
    for (int range = 1; range < ranges(); ++range)
      if (trials.error(range, g) < trials.error(best, g)) best = range;
    const GroupNumbers group = found.from(g, math_bytes_);
    scale_one(group, ranges_.share(best), 1, group);
  }
}

cpu::CodeRange RangeSearch::codes() const noexcept { return {rule_.least, rule_.most}; }

RangeSearch::Row RangeSearch::row_for(const Tile& tile, std::byte* scratch) const {
  const std::int64_t each = padded(tile.cols) * math_bytes_;
  return {scratch, importance_ ? importance_of(tile, scratch + each) : nullptr, scratch + 2 * each};
}

// Columns follow one another as the last axis does, again and again where rows are one.
const std::byte* RangeSearch::importance_of(const Tile& tile, std::byte* to) const {
  std::int64_t col = tile.col % importance_count_;
  for (std::int64_t done = 0; done < tile.cols; col = 0) {
    const std::int64_t count = std::min(importance_count_ - col, tile.cols - done);
    std::memcpy(to + done * math_bytes_, importance_->data() + col * math_bytes_, static_cast<std::size_t>(count * math_bytes_));
    done += count;
  }
  return to;
}

}  // namespace tersor
