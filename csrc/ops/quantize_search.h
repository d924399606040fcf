#pragma once
// Which share of its range leaves a group the least error: several shares are tried while a part of the array lies in cache, and
// what they leave is added up part by part, so that the array is read once for all of them.

#include <cstdint>
#include <optional>

#include "core/view.h"
#include "cpu/quantize_search.h"
#include "ops/quantize_codes.h"

namespace tersor {

// For each range that is tried, the numbers of some groups and the error that they leave.
class Trials {
 public:
  static std::int64_t bytes(int ranges, std::int64_t groups, std::int64_t math_bytes) noexcept;
  Trials(std::byte* at, int ranges, std::int64_t groups, std::int64_t math_bytes) noexcept;

  GroupNumbers numbers(int range) const noexcept;
  double& error(int range, std::int64_t group) const noexcept { return errors_[range * error_stride_ + group]; }
  void clear_errors(std::int64_t groups) const noexcept;
  Trials from(std::int64_t group) const noexcept;
  // Of one group, whose errors lie elsewhere, one a range.
  Trials with_errors_at(double* errors) const noexcept;

 private:
  int ranges_;
  std::int64_t groups_, math_bytes_, first_ = 0, error_stride_;
  std::byte* numbers_;
  double* errors_;
};

class RangeSearch {
 public:
  // importance: of the last axis of w, or null.
  RangeSearch(const View& w, const GroupLayout& layout, RangeGrid ranges, const View* importance, const StoredScales& scales,
              const cpu::ScaleRule& rule);

  int ranges() const noexcept { return ranges_.count(); }
  std::int64_t trial_bytes(std::int64_t groups) const noexcept { return Trials::bytes(ranges(), groups, math_bytes_); }
  std::int64_t row_scratch_bytes(std::int64_t cols) const noexcept;
  std::int64_t column_scratch_bytes(std::int64_t cols) const noexcept;

  // Scales of all shares of the ranges in `found`, through the place where the scales of these groups are stored.
  void prepare(const Trials& trials, const GroupNumbers& found, std::int64_t first_scale, std::int64_t count) const;
  // Adds the errors of a tile: of one row, whose groups are runs from the first trial on; or of several, down its columns.
  void add_row(const Trials& trials, const Tile& tile, cpu::ConstRows from, std::byte* scratch) const;
  void add_columns(const Trials& trials, const Tile& tile, cpu::ConstRows from, std::byte* scratch) const;
  // Ranges become the shares that leave the least; of several alike, the greatest.
  void choose(const Trials& trials, const GroupNumbers& found, std::int64_t count) const;

 private:
  // Room for a row of numbers, their importance, or null, and room for the sum of a block of each group.
  struct Row {
    std::byte* x;
    const std::byte* importance;
    std::byte* sums;
  };
  // Neighbouring runs of `size` columns.
  struct Runs {
    std::int64_t begin, cols, size;
  };
  Row row_for(const Tile& tile, std::byte* scratch) const;
  const std::byte* importance_of(const Tile& tile, std::byte* to) const;
  void add_runs(const Trials& trials, const Row& row, Runs runs) const;
  cpu::CodeRange codes() const noexcept;

  RangeGrid ranges_;
  DType dtype_;
  std::int64_t math_bytes_, group_size_;
  const StoredScales& scales_;
  const cpu::ScaleRule& rule_;
  const cpu::QuantizeSearchKernels& kernels_;
  const cpu::QuantizeSearchKernels::OfMath& of_math_;
  std::optional<DenseArray> importance_;
  std::int64_t importance_count_ = 0;
};

}  // namespace tersor
