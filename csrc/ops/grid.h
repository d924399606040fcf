#pragma once
// An array as a grid of rows and columns, each a run of its axes in C order, whatever the strides are. Ops that follow the order of
// the elements read and write rectangles of it, so that their bits do not depend on where the elements lie.

#include "core/store.h"
#include "core/view.h"
#include "cpu/rows.h"

namespace tersor {

// Neighbouring axes of an array, outermost first. Those that one stride walks through become one.
struct GridAxes {
  int count = 0;
  std::int64_t size[kMaxDims + 1];  // one axis may be cut in two
  std::int64_t stride_bytes[kMaxDims + 1];

  void add(std::int64_t length, std::int64_t step_bytes) noexcept;
  std::int64_t steps(int from = 0) const noexcept;  // the product of the sizes from an axis on
};

struct Rectangle {
  std::int64_t row, rows, col, cols;
};

struct Grid {
  std::byte* data;
  std::int64_t item_bytes;
  GridAxes rows, cols;
  // How rectangles follow one another: whether the next one lies behind each along the closest axis, and is read soon; and whether
  // what is written is not read soon.
  bool reads_on = false;
  Store store = Store::kCached;

  // Whether rectangles can be read where they lie: rows at one stride, their items adjacent.
  bool is_dense() const noexcept;

  // What read needs of scratch for a rectangle.
  std::int64_t scratch_bytes(std::int64_t row_count, std::int64_t col_count) const noexcept;

  // A rectangle of at least one row and column, as dense rows: in place where the grid is dense, else copied to scratch.
  cpu::ConstRows read(std::int64_t first_row, std::int64_t row_count, std::int64_t first_col, std::int64_t col_count,
                      std::byte* scratch) const;

  // Where dense rows for a rectangle may be written: the array itself where it is dense, else scratch, which write then copies.
  cpu::Rows place(Rectangle part, std::byte* scratch) const noexcept;
  void write(Rectangle part, std::byte* scratch) const;
};

// The array with its axes from `first_col` on as columns.
Grid grid_of(const View& view, int first_col) noexcept;

}  // namespace tersor
