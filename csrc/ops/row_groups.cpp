#include "ops/row_groups.h"

#include <algorithm>
#include <string>

#include "core/check.h"
#include "core/integers.h"
#include "core/parallel.h"
#include "ops/kept.h"
#include "ops/loop.h"

namespace tersor {

namespace {

constexpr std::int64_t kChunkBytes = 512 << 10;

// Rows of one matrix of a view, as a view.
View rows_of(const View& view, const RowGroup& group) {
  View rows = view;
  const int first_axis = view.ndim - 2;
  std::int64_t index = group.matrix;
  for (int axis = first_axis - 1; axis >= 0; --axis) {
    rows.data += index % view.shape[axis] * view.stride_bytes[axis];
    index /= view.shape[axis];
  }
  rows.data += group.first * view.stride_bytes[first_axis];
  rows.ndim = 2;
  for (int axis = 0; axis < 2; ++axis) {
    rows.shape[axis] = view.shape[first_axis + axis];
    rows.stride_bytes[axis] = view.stride_bytes[first_axis + axis];
  }
  rows.shape[0] = group.rows;
  return rows;
}

}  // namespace

void require_matrix(const View& view) {
  if (view.ndim < 2)
    throw ValueError(std::string(view.name) + " has shape " + shape_text(view) + "; it must have rows and columns, two dimensions");
}

void RowGroup::read(const View& view, FunctionRef<void(std::int64_t, cpu::ConstRows, std::int64_t)> body) const {
  const View part = rows_of(view, *this);
  for_each_block(plan_rows_in_order({{part}}, 1), Split::kRows,
                 [&](const Block& block) { body(block.first_row, block.operands[0], block.extent.rows); });
}

void RowGroup::write(const View& w, const View& out, FunctionRef<const std::uint8_t*(std::int64_t)> bits) const {
  const View from = rows_of(w, *this), to = rows_of(out, *this);
  const KeptWriter kept(w, out);
  for_each_block(plan_rows_in_order({{from}, {to, kept_columns(out), Access::kWrite}}, 1), Split::kRows, [&](const Block& block) {
    for (std::int64_t r = 0; r < block.extent.rows; ++r)
      kept.write(bits(block.first_row + r), block.operands[0].row<std::byte>(r), block.operands[1].row<std::byte>(r),
                 block.extent.cols);
  });
}

std::int64_t groups_per_matrix(const View& view, std::int64_t rows_each) noexcept {
  return ceil_div(view.shape[view.ndim - 2], rows_each);
}

void for_each_row_group(const View& view, std::int64_t rows_each, FunctionRef<void(const RowGroup&)> body) {
  if (view.size() == 0) return;
  const std::int64_t rows = view.shape[view.ndim - 2], cols = view.shape[view.ndim - 1];
  const std::int64_t each_matrix = groups_per_matrix(view, rows_each), groups = view.size() / (rows * cols) * each_matrix;
  const std::int64_t group_bytes = rows_each * cols * item_size(view.dtype);
  const std::int64_t groups_each = std::max<std::int64_t>(1, kChunkBytes / group_bytes);
  parallel_for(ceil_div(groups, groups_each), [&](std::int64_t chunk) {
    for (std::int64_t i = chunk * groups_each; i < std::min(groups, (chunk + 1) * groups_each); ++i) {
      const std::int64_t index = i % each_matrix, first = index * rows_each;
      body({i / each_matrix, index, first, std::min(rows_each, rows - first)});
    }
  });
}

}  // namespace tersor
