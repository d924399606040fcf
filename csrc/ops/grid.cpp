#include "ops/grid.h"

#include <algorithm>
#include <cstdlib>
#include <cstring>

#include "cpu/transpose.h"
#include "ops/copy_items.h"

namespace tersor {

namespace {

struct Loop {
  std::int64_t count, array_stride, dense_stride;  // in bytes
};

enum class Direction : std::uint8_t { kToDense, kToArray };

// Loops of a copy between a part of an array and dense rows; those of one step are left out.
struct Copy {
  std::byte* array;
  std::byte* dense;
  int loop_count = 0;
  Loop loops[kMaxDims + 1];

  void add(std::int64_t count, std::int64_t array_stride, std::int64_t dense_stride) noexcept {
    if (count != 1) loops[loop_count++] = {count, array_stride, dense_stride};
  }
};

// Whether two loops exchange the rows and columns of a matrix, of items for which there is a way of their own.
bool are_transposing(const Loop& apart, const Loop& next, std::int64_t item_bytes) noexcept {
  return item_bytes <= 4 && next.array_stride == item_bytes && apart.dense_stride == item_bytes;
}

void transpose(const Loop& apart, const Loop& next, std::byte* array, std::byte* dense, const Grid& grid, Direction direction) {
  const auto& kernels = cpu::transpose_kernels();
  const auto& transposed = grid.item_bytes == 1 ? kernels.of_bytes : grid.item_bytes == 2 ? kernels.of_pairs : kernels.of_words;
  const cpu::Rows of_array{array, apart.array_stride}, of_dense{dense, next.dense_stride};
  if (direction == Direction::kToDense)
    transposed(of_array, {apart.count, next.count}, of_dense, {cpu::FarSide::kFrom, grid.reads_on, Store::kCached});
  else
    transposed(of_dense, {next.count, apart.count}, of_array, {cpu::FarSide::kTo, false, grid.store});
}

void run_loops(const Loop* loops, int count, std::byte* array, std::byte* dense, const Grid& grid, Direction direction) {
  const bool to_dense = direction == Direction::kToDense;
  const std::int64_t item_bytes = grid.item_bytes;
  if (count == 2 && are_transposing(loops[0], loops[1], item_bytes))
    return transpose(loops[0], loops[1], array, dense, grid, direction);
  if (count > 1) {
    for (std::int64_t i = 0; i < loops[0].count; ++i)
      run_loops(loops + 1, count - 1, array + i * loops[0].array_stride, dense + i * loops[0].dense_stride, grid, direction);
    return;
  }
  const Loop last = count ? loops[0] : Loop{1, item_bytes, item_bytes};
  std::byte *const to = to_dense ? dense : array, *const from = to_dense ? array : dense;
  if (last.array_stride == item_bytes && last.dense_stride == item_bytes)
    std::memcpy(to, from, static_cast<std::size_t>(last.count * item_bytes));
  else
    copy_strided(to, to_dense ? last.dense_stride : last.array_stride, from, to_dense ? last.array_stride : last.dense_stride,
                 last.count, item_bytes);
}

// The inner loop runs along the axis whose neighbours are closest in the array, so that each cache line is fetched once.
void run(Copy copy, const Grid& grid, Direction direction) {
  std::stable_sort(copy.loops, copy.loops + copy.loop_count,
                   [](const Loop& a, const Loop& b) { return std::llabs(a.array_stride) > std::llabs(b.array_stride); });
  run_loops(copy.loops, copy.loop_count, copy.array, copy.dense, grid, direction);
}

// Cuts the steps [begin, end) of a C order over axes into boxes, at most two a further axis and one, and calls visit with the copy
// of each. dense_stride is the distance of neighbouring steps in the dense rows.
template <class Visit>
void each_box(const GridAxes& axes, int axis, std::int64_t begin, std::int64_t end, std::int64_t dense_stride, Copy copy,
              const Visit& visit) {
  if (axis == axes.count) return visit(copy);
  const std::int64_t inner = axes.steps(axis + 1);
  // The steps from begin on that lie at one place of this axis.
  const auto within = [&](std::int64_t from, std::int64_t to) {
    Copy part = copy;
    part.array += from / inner * axes.stride_bytes[axis];
    each_box(axes, axis + 1, from % inner, from % inner + (to - from), dense_stride, part, visit);
    copy.dense += (to - from) * dense_stride;
  };
  if (begin % inner) {
    const std::int64_t next = std::min(end, (begin / inner + 1) * inner);
    within(begin, next);
    begin = next;
  }
  if (const std::int64_t whole = (end - begin) / inner; whole > 0) {
    Copy box = copy;
    box.array += begin / inner * axes.stride_bytes[axis];
    box.add(whole, axes.stride_bytes[axis], inner * dense_stride);
    for (int i = axis + 1; i < axes.count; ++i) box.add(axes.size[i], axes.stride_bytes[i], axes.steps(i + 1) * dense_stride);
    visit(box);
    copy.dense += whole * inner * dense_stride;
    begin += whole * inner;
  }
  if (begin < end) within(begin, end);
}

}  // namespace

void GridAxes::add(std::int64_t length, std::int64_t step_bytes) noexcept {
  if (length == 1) return;
  if (count > 0 && stride_bytes[count - 1] == length * step_bytes) {
    size[count - 1] *= length;
    stride_bytes[count - 1] = step_bytes;
    return;
  }
  size[count] = length;
  stride_bytes[count++] = step_bytes;
}

std::int64_t GridAxes::steps(int from) const noexcept {
  std::int64_t product = 1;
  for (int i = from; i < count; ++i) product *= size[i];
  return product;
}

Grid grid_of(const View& view, int first_col) noexcept {
  Grid grid{view.data, item_size(view.dtype), {}, {}, false, Store::kCached};
  for (int i = 0; i < view.ndim; ++i) (i < first_col ? grid.rows : grid.cols).add(view.shape[i], view.stride_bytes[i]);
  return grid;
}

bool Grid::is_dense() const noexcept {
  return rows.count <= 1 && (cols.count == 0 || (cols.count == 1 && cols.stride_bytes[0] == item_bytes));
}

std::int64_t Grid::scratch_bytes(std::int64_t row_count, std::int64_t col_count) const noexcept {
  return is_dense() ? 0 : row_count * scratch_row_bytes(col_count * item_bytes);
}

namespace {

void copy_rectangle(const Grid& grid, Rectangle part, std::byte* dense, std::int64_t row_bytes, Direction direction) {
  Copy start;
  start.array = grid.data;
  start.dense = dense;
  each_box(grid.rows, 0, part.row, part.row + part.rows, row_bytes, start, [&](const Copy& box_of_rows) {
    each_box(grid.cols, 0, part.col, part.col + part.cols, grid.item_bytes, box_of_rows,
             [&](const Copy& box) { run(box, grid, direction); });
  });
}

}  // namespace

cpu::ConstRows Grid::read(std::int64_t first_row, std::int64_t row_count, std::int64_t first_col, std::int64_t col_count,
                          std::byte* scratch) const {
  const Rectangle part{first_row, row_count, first_col, col_count};
  const cpu::Rows dense = place(part, scratch);
  if (!is_dense()) copy_rectangle(*this, part, dense.data, dense.stride_bytes, Direction::kToDense);
  return dense;
}

cpu::Rows Grid::place(Rectangle part, std::byte* scratch) const noexcept {
  if (!is_dense()) return {scratch, scratch_row_bytes(part.cols * item_bytes)};
  const std::int64_t row_stride = rows.count ? rows.stride_bytes[0] : 0;
  return {data + part.row * row_stride + part.col * item_bytes, row_stride};
}

void Grid::write(Rectangle part, std::byte* scratch) const {
  if (!is_dense()) copy_rectangle(*this, part, scratch, scratch_row_bytes(part.cols * item_bytes), Direction::kToArray);
}

}  // namespace tersor
