#pragma once
// Where the groups of an array lie, and how it is cut into tiles for them.

#include <algorithm>
#include <cstdint>

#include "core/integers.h"
#include "core/view.h"
#include "ops/grid.h"
#include "ops/quantize_groups.h"
#include "ops/tiles.h"

namespace tersor {

// Entries as [outer][length][inner], groups along length. Where inner is 1 a group is a run of columns of a grid's row; else it is
// a column of `size` rows, and its neighbours lie beside it.
struct GroupLayout {
  std::int64_t outer, length, inner, size, count;  // count: of groups along length
  bool along_rows;

  std::int64_t rows() const noexcept { return along_rows ? outer : outer * length; }
  std::int64_t cols() const noexcept { return along_rows ? length : inner; }
  std::int64_t scale_count() const noexcept { return outer * count * inner; }
};

inline std::int64_t product(const View& view, int begin, int end) noexcept {
  std::int64_t product = 1;
  for (int i = begin; i < end; ++i) product *= view.shape[i];
  return product;
}

inline GroupLayout layout_of(const View& array, GroupAxis groups) noexcept {
  if (groups.axis == kNoAxis) return {1, array.size(), 1, std::max<std::int64_t>(array.size(), 1), 1, true};
  GroupLayout layout;
  layout.outer = product(array, 0, groups.axis);
  layout.length = array.shape[groups.axis];
  layout.inner = product(array, groups.axis + 1, array.ndim);
  layout.size = groups.size;
  layout.count = ceil_div(layout.length, groups.size);
  layout.along_rows = layout.inner == 1;
  return layout;
}

// Rows whose groups are all whole, end to end in memory, are one row.
inline GroupLayout with_rows_merged(GroupLayout layout) noexcept {
  if (!layout.along_rows || layout.length % layout.size) return layout;
  layout.length *= layout.outer;
  layout.count *= layout.outer;
  layout.outer = 1;
  return layout;
}

// The layout of the array `full`, whose codes and numbers are these: rows may be merged where both lie dense.
inline GroupLayout layout_for(const View& full, const View& codes, const View& numbers, GroupAxis groups, CodeFormat format,
                              bool packed) {
  const GroupLayout layout = layout_of(full, groups);
  const bool rows_end_in_bytes = !packed || layout.length * format.bits % 8 == 0;
  return codes.is_contiguous() && numbers.is_contiguous() && rows_end_in_bytes ? with_rows_merged(layout) : layout;
}

// The array as the layout's rows and columns.
inline Grid grid_of(const View& array, GroupAxis groups, const GroupLayout& layout) noexcept {
  return grid_of(array, !layout.along_rows ? groups.axis + 1 : layout.outer == 1 ? 0 : groups.axis);
}

// --- the walk ---------------------------------------------------------------------------------------------------------------

// What is read twice, first to find ranges, then to make codes, so that the second time comes from L1; meanwhile the next tile is
// fetched into L2, for nothing at the end of each chunk.
inline constexpr std::int64_t kTileBytes = 32 << 10;
// Groups beyond this are measured in one loop over the array and encoded in another.
inline constexpr std::int64_t kMostGroupBytes = 256 << 10;
// Columns side by side: rows are read in stretches of at least a few cache lines.
inline constexpr std::int64_t kLeastStripe = 64;

// Part of an array: columns of some rows, whose scales begin at number `first_scale`.
struct Tile {
  std::int64_t row, rows, col, cols, first_scale, scales;
  std::int64_t number;  // of all tiles
};

inline bool has_long_groups(const GroupLayout& layout, std::int64_t item_bytes) noexcept {
  const std::int64_t beside = layout.along_rows ? 1 : std::min(layout.inner, kLeastStripe);
  return std::min(layout.size, layout.length) * beside * item_bytes > kMostGroupBytes;
}

// How a row is cut: into stretches of whole groups, or a long group into pieces.
struct RowCut {
  std::int64_t cols_each, groups_each, pieces;  // pieces of a group
  RowCut(const GroupLayout& layout, std::int64_t item_bytes) noexcept {
    if (has_long_groups(layout, item_bytes)) {
      cols_each = kTileBytes / item_bytes;
      groups_each = 1;
      pieces = ceil_div(layout.size, cols_each);
    } else {
      groups_each = std::clamp<std::int64_t>(kTileBytes / (layout.size * item_bytes), 1, layout.count);
      cols_each = groups_each * layout.size;
      pieces = 1;
    }
  }
  std::int64_t per_row(const GroupLayout& layout) const noexcept { return ceil_div(layout.count, groups_each) * pieces; }
};

// body(tile, scratch): tiles of one row.
template <class Body>
void for_each_stretch(const GroupLayout& layout, std::int64_t item_bytes, std::int64_t scratch_bytes, Body body) {
  const RowCut cut(layout, item_bytes);
  const std::int64_t per_row = cut.per_row(layout);
  for_each_tile({layout.outer * per_row, cut.cols_each * item_bytes, scratch_bytes}, [&](std::int64_t number, std::byte* scratch) {
    const std::int64_t row = number / per_row, of_row = number % per_row;
    const std::int64_t group = of_row / cut.pieces * cut.groups_each, skipped = of_row % cut.pieces * cut.cols_each;
    const std::int64_t end = std::min({layout.length, (group + cut.groups_each) * layout.size}),
                       col = group * layout.size + skipped;
    const std::int64_t cols = std::min(cut.cols_each, end - col);  // the last group may have fewer pieces
    if (cols > 0)
      body(Tile{row, 1, col, cols, row * layout.count + group, std::min(cut.groups_each, layout.count - group), number}, scratch);
  });
}

// body(tile, scratch): tiles of `rows_each` rows of a group, or fewer, and of `stripe` columns.
template <class Body>
void for_each_stripe(const GroupLayout& layout, std::int64_t rows_each, std::int64_t stripe, std::int64_t item_bytes,
                     std::int64_t scratch_bytes, Body body) {
  const std::int64_t parts = ceil_div(layout.size, rows_each), stripes = ceil_div(layout.inner, stripe);
  const std::int64_t tiles = layout.outer * layout.count * parts * stripes;
  for_each_tile({tiles, rows_each * stripe * item_bytes, scratch_bytes}, [&](std::int64_t number, std::byte* scratch) {
    const std::int64_t col = number % stripes * stripe, part = number / stripes % parts, group = number / stripes / parts;
    const std::int64_t outer = group / layout.count, begin = group % layout.count * layout.size + part * rows_each;
    const std::int64_t end = std::min((group % layout.count + 1) * layout.size, layout.length);
    const std::int64_t rows = std::min(rows_each, end - begin), cols = std::min(stripe, layout.inner - col);
    if (rows > 0) body(Tile{outer * layout.length + begin, rows, col, cols, group * layout.inner + col, cols, number}, scratch);
  });
}

}  // namespace tersor
