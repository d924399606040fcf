#include "ops/structured.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>
#include <string>

#include "core/check.h"
#include "core/integers.h"
#include "core/memory.h"
#include "core/parallel.h"
#include "cpu/structured.h"
#include "ops/check_views.h"
#include "ops/tiles.h"

namespace tersor {

namespace {

// The order of the additions, which tersor.reference has too: blocks of rows, row after row; of their sums blocks of columns within
// a unit, on 64 lanes; and these join one after the other.
constexpr std::int64_t kBlockRows = 128;
constexpr std::int64_t kBlockCols = 2048;
// Columns whose sums are kept at once, 128 KiB within L2: rows of a matrix are then read in long runs.
constexpr std::int64_t kTileCols = 16 << 10;
// What is gathered at once where rows are not dense. At 128 KiB a transposed matrix took twice as long: more of each page is used.
constexpr std::int64_t kTileBytes = 512 << 10;

using Criterion = cpu::StructuredKernels::Criterion;

const Criterion& kernels_for(UnitCriterion criterion) {
  const cpu::StructuredKernels& kernels = cpu::structured_kernels();
  switch (criterion) {
    case UnitCriterion::kL2: return kernels.l2;
    case UnitCriterion::kMax: return kernels.max;
    case UnitCriterion::kTaylor: return kernels.taylor;
    default: return kernels.l1;
  }
}

void add_axes(GridAxes& axes, const View& view, int begin, int end) noexcept {
  for (int i = begin; i < end; ++i) axes.add(view.shape[i], view.stride_bytes[i]);
}

// A rectangle of w, and of the gradient where there is one.
class Source {
 public:
  Source(const Grid& w, const Grid* gradient) : w_(w), gradient_(gradient) {}

  bool is_dense() const noexcept { return w_.is_dense() && (!gradient_ || gradient_->is_dense()); }
  std::int64_t item_bytes() const noexcept { return w_.item_bytes; }
  std::int64_t scratch_bytes(std::int64_t rows, std::int64_t cols) const noexcept {
    return w_.scratch_bytes(rows, cols) + (gradient_ ? gradient_->scratch_bytes(rows, cols) : 0);
  }

  struct Rectangle {
    cpu::ConstRows w, gradient;
  };
  Rectangle read(std::int64_t row, std::int64_t rows, std::int64_t col, std::int64_t cols, std::byte* scratch) const {
    Rectangle rectangle{w_.read(row, rows, col, cols, scratch), {}};
    if (gradient_) rectangle.gradient = gradient_->read(row, rows, col, cols, scratch + w_.scratch_bytes(rows, cols));
    return rectangle;
  }

 private:
  const Grid& w_;
  const Grid* gradient_;
};

// What the blocks of each unit add up to: one number for each block of rows, unit, and block of columns, in this order.
class BlockSums {
 public:
  BlockSums(UnitShape shape, const Criterion& kernels, DType dtype)
      : shape_(shape),
        kernels_(kernels),
        dtype_(dtype),
        row_blocks_(std::max<std::int64_t>(1, ceil_div(shape.outer, kBlockRows))),
        col_blocks_(std::max<std::int64_t>(1, ceil_div(shape.length, kBlockCols))),
        memory_(static_cast<std::size_t>(row_blocks_ * shape.units * col_blocks_) * sizeof(double)),
        sums_(reinterpret_cast<double*>(memory_.data())) {}

  // From units as rows: a tile is one block of a few units.
  void sum_units(const Source& source) {
    const std::int64_t block_cols = std::min(shape_.length, kBlockCols);
    // Dense units one by one, block after block, as they lie in memory; others several side by side.
    const bool one_by_one = col_blocks_ > 1 && source.is_dense();
    const std::int64_t units_each =
        one_by_one ? 1 : std::min(shape_.units, std::max<std::int64_t>(1, kTileBytes / source.item_bytes() / block_cols));
    const std::int64_t unit_tiles = ceil_div(shape_.units, units_each);
    const Tiles tiles{unit_tiles * col_blocks_, units_each * block_cols * source.item_bytes(),
                      source.scratch_bytes(units_each, block_cols)};
    for_each_tile(tiles, [&](std::int64_t tile, std::byte* scratch) {
      const std::int64_t unit = (one_by_one ? tile / col_blocks_ : tile % unit_tiles) * units_each;
      const std::int64_t block = one_by_one ? tile % col_blocks_ : tile / unit_tiles, col = block * kBlockCols;
      const std::int64_t units = std::min(units_each, shape_.units - unit), cols = std::min(kBlockCols, shape_.length - col);
      const auto [w, gradient] = source.read(unit, units, col, cols, scratch);
      if (col_blocks_ == 1) return kernels_.sum_rows[dtype_](w, gradient, {units, cols}, at(0, unit, 0));
      for (std::int64_t u = 0; u < units; ++u)
        kernels_.sum_rows[dtype_]({w.row<std::byte>(u), 0}, {gradient.row<std::byte>(u), 0}, {1, cols}, at(0, unit + u, block));
    });
  }

  // From stretches as rows: a tile is a block of rows of a few whole units, or of some blocks of a long one.
  void sum_stretches(const Source& source) {
    const std::int64_t units_each = std::min(shape_.units, std::max<std::int64_t>(1, kTileCols / shape_.length));
    const std::int64_t part = std::min(shape_.length, kTileCols), parts = ceil_div(shape_.length, part);
    const std::int64_t across = ceil_div(shape_.units, units_each) * parts, cols = units_each * part;
    const std::int64_t rows_each =
        source.is_dense() ? kBlockRows : std::max<std::int64_t>(1, kTileBytes / source.item_bytes() / cols);
    const std::int64_t sums_bytes = ceil_div(cols, 8) * 64;
    const Tiles tiles{row_blocks_ * across, std::min(kBlockRows, shape_.outer) * cols * source.item_bytes(),
                      sums_bytes + source.scratch_bytes(rows_each, cols)};
    for_each_tile(tiles, [&](std::int64_t tile, std::byte* scratch) {
      const std::int64_t row_block = tile / across, unit = tile % across / parts * units_each, skipped = tile % parts * part;
      const std::int64_t units = std::min(units_each, shape_.units - unit), length = std::min(part, shape_.length - skipped);
      auto* sums = reinterpret_cast<double*>(scratch);
      std::fill_n(sums, units * length, 0.0);
      const std::int64_t end = std::min(shape_.outer, (row_block + 1) * kBlockRows);
      for (std::int64_t row = row_block * kBlockRows; row < end; row += rows_each) {
        const std::int64_t rows = std::min(rows_each, end - row);
        const auto [w, gradient] = source.read(row, rows, unit * shape_.length + skipped, units * length, scratch + sums_bytes);
        kernels_.add_rows[dtype_](w, gradient, {rows, units * length}, sums);
      }
      for (std::int64_t u = 0; u < units; ++u)
        sum_columns(sums + u * length, length, at(row_block, unit + u, skipped / kBlockCols));
    });
  }

  // All that a unit's blocks add up to, in order.
  double total(std::int64_t unit, bool largest) const noexcept {
    double total = 0;
    for (std::int64_t row_block = 0; row_block < row_blocks_; ++row_block)
      for (std::int64_t block = 0; block < col_blocks_; ++block) {
        const double sum = *at(row_block, unit, block);
        total = !largest ? total + sum : total >= sum || std::isnan(total) ? total : sum;
      }
    return total;
  }

 private:
  double* at(std::int64_t row_block, std::int64_t unit, std::int64_t block) const noexcept {
    return sums_ + (row_block * shape_.units + unit) * col_blocks_ + block;
  }

  // The blocks of one unit, from sums of its columns.
  void sum_columns(const double* sums, std::int64_t length, double* blocks) const {
    if (length == 1) {
      *blocks = *sums;
      return;
    }
    for (std::int64_t col = 0; col < length; col += kBlockCols)
      kernels_.sum_sums({reinterpret_cast<const std::byte*>(sums + col), 0}, {}, {1, std::min(kBlockCols, length - col)}, blocks++);
  }

  UnitShape shape_;
  const Criterion& kernels_;
  DType dtype_;
  std::int64_t row_blocks_, col_blocks_;
  Scratch memory_;
  double* sums_;
};

double score_of(double total, UnitCriterion criterion) noexcept {
  if (std::isnan(total)) return std::numeric_limits<double>::quiet_NaN();
  if (criterion == UnitCriterion::kL2) return std::sqrt(total);  // correctly rounded, as IEEE 754 asks
  return criterion == UnitCriterion::kTaylor ? total * total : total;
}

void require_gradient(const View& w, UnitCriterion criterion, const View* gradient) {
  if (criterion != UnitCriterion::kTaylor) {
    if (gradient) throw ValueError("gradient is for criterion=\"taylor\" alone; leave it out");
    return;
  }
  if (!gradient) throw ValueError("gradient is missing: criterion=\"taylor\" needs the gradient of the loss in w, an array like w");
  require_same_dtype(w, *gradient);
  require_same_shape(w, *gradient);
  require_same_device(w, *gradient);
}

void require_scores(const View& w, std::int64_t units, const View& scores) {
  require_dtype(scores, {DType::kFloat64});
  if (scores.ndim != 1 || scores.shape[0] != units)
    throw ValueError(std::string(scores.name) + " has shape " + shape_text(scores) + "; for the units of " + w.name +
                     " it must be (" + std::to_string(units) + ",)");
  require_same_device(w, scores);
}

}  // namespace

UnitShape unit_shape(const View& view, int axis, std::int64_t group_size) {
  if (group_size < 1) throw ValueError("group_size must be at least 1, got " + std::to_string(group_size));
  const std::int64_t entries = view.shape[axis];
  if (entries % group_size)
    throw ValueError(std::string(view.name) + " has " + std::to_string(entries) + " entries along axis " + std::to_string(axis) +
                     ", which group_size = " + std::to_string(group_size) + " does not divide; choose a divisor, or pad the axis");
  UnitShape shape{1, entries / group_size, group_size};
  for (int i = 0; i < axis; ++i) shape.outer *= view.shape[i];
  for (int i = axis + 1; i < view.ndim; ++i) shape.length *= view.shape[i];
  return shape;
}

Grid grid_of_units(const View& view, int axis, std::int64_t group_size) {
  Grid grid{view.data, item_size(view.dtype), {}, {}};
  grid.rows.add(view.shape[axis] / group_size, group_size * view.stride_bytes[axis]);
  grid.cols.add(group_size, view.stride_bytes[axis]);
  add_axes(grid.cols, view, axis + 1, view.ndim);
  return grid;
}

Grid grid_of_stretches(const View& view, int axis, std::int64_t group_size) {
  Grid grid{view.data, item_size(view.dtype), {}, {}};
  add_axes(grid.rows, view, 0, axis);
  grid.cols.add(view.shape[axis] / group_size, group_size * view.stride_bytes[axis]);
  grid.cols.add(group_size, view.stride_bytes[axis]);
  add_axes(grid.cols, view, axis + 1, view.ndim);
  return grid;
}

void score_units(const View& w, UnitCriterion criterion, int axis, std::int64_t group_size, const View* gradient,
                 const View& scores) {
  require_floating(w);
  require_cpu("score_units", w);
  require_gradient(w, criterion, gradient);
  const UnitShape shape = unit_shape(w, axis, group_size);
  require_scores(w, shape.units, scores);
  require_no_overlap(w, scores);
  if (gradient) require_no_overlap(*gradient, scores);
  const auto write = [&](std::int64_t unit, double score) {
    std::memcpy(scores.data + unit * scores.stride_bytes[0], &score, sizeof score);
  };
  if (w.size() == 0) {
    for (std::int64_t unit = 0; unit < shape.units; ++unit) write(unit, 0.0);
    return;
  }
  const auto grid_of = shape.outer == 1 ? grid_of_units : grid_of_stretches;
  const Grid w_grid = grid_of(w, axis, group_size);
  const Grid gradient_grid = gradient ? grid_of(*gradient, axis, group_size) : Grid{};
  const Source source(w_grid, gradient ? &gradient_grid : nullptr);
  BlockSums sums(shape, kernels_for(criterion), w.dtype);
  if (shape.outer == 1)
    sums.sum_units(source);
  else
    sums.sum_stretches(source);
  constexpr std::int64_t kUnitsEach = 4096;
  parallel_for(ceil_div(shape.units, kUnitsEach), [&](std::int64_t chunk) {
    for (std::int64_t unit = chunk * kUnitsEach; unit < std::min(shape.units, (chunk + 1) * kUnitsEach); ++unit)
      write(unit, score_of(sums.total(unit, criterion == UnitCriterion::kMax), criterion));
  });
}

}  // namespace tersor
