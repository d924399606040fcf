#include "ops/grid.h"

#include <algorithm>
#include <cstdlib>
#include <cstring>

#include "ops/copy_items.h"

namespace tersor {

namespace {

struct Loop {
  std::int64_t count, from_stride, to_stride;  // in bytes
};

// Loops of a copy; those of one step are left out.
struct Copy {
  const std::byte* from;
  std::byte* to;
  int loop_count = 0;
  Loop loops[kMaxDims + 1];

  void add(std::int64_t count, std::int64_t from_stride, std::int64_t to_stride) noexcept {
    if (count != 1) loops[loop_count++] = {count, from_stride, to_stride};
  }
};

void run_loops(const Loop* loops, int count, const std::byte* from, std::byte* to, std::int64_t item_bytes) {
  if (count > 1) {
    for (std::int64_t i = 0; i < loops[0].count; ++i)
      run_loops(loops + 1, count - 1, from + i * loops[0].from_stride, to + i * loops[0].to_stride, item_bytes);
    return;
  }
  const Loop last = count ? loops[0] : Loop{1, item_bytes, item_bytes};
  if (last.from_stride == item_bytes && last.to_stride == item_bytes)
    std::memcpy(to, from, static_cast<std::size_t>(last.count * item_bytes));
  else
    copy_strided(to, last.to_stride, from, last.from_stride, last.count, item_bytes);
}

// The inner loop runs along the axis whose neighbours are closest in the array, so that each cache line is fetched once.
void run(Copy copy, std::int64_t item_bytes) {
  std::stable_sort(copy.loops, copy.loops + copy.loop_count,
                   [](const Loop& a, const Loop& b) { return std::llabs(a.from_stride) > std::llabs(b.from_stride); });
  run_loops(copy.loops, copy.loop_count, copy.from, copy.to, item_bytes);
}

// Cuts the steps [begin, end) of a C order over axes into boxes, at most two a further axis and one, and calls visit with the copy
// of each. to_stride is the distance of neighbouring steps in the destination.
template <class Visit>
void each_box(const GridAxes& axes, int axis, std::int64_t begin, std::int64_t end, std::int64_t to_stride, Copy copy,
              const Visit& visit) {
  if (axis == axes.count) return visit(copy);
  const std::int64_t inner = axes.steps(axis + 1);
  // The steps from begin on that lie at one place of this axis.
  const auto within = [&](std::int64_t from, std::int64_t to) {
    Copy part = copy;
    part.from += from / inner * axes.stride_bytes[axis];
    each_box(axes, axis + 1, from % inner, from % inner + (to - from), to_stride, part, visit);
    copy.to += (to - from) * to_stride;
  };
  if (begin % inner) {
    const std::int64_t next = std::min(end, (begin / inner + 1) * inner);
    within(begin, next);
    begin = next;
  }
  if (const std::int64_t whole = (end - begin) / inner; whole > 0) {
    Copy box = copy;
    box.from += begin / inner * axes.stride_bytes[axis];
    box.add(whole, axes.stride_bytes[axis], inner * to_stride);
    for (int i = axis + 1; i < axes.count; ++i) box.add(axes.size[i], axes.stride_bytes[i], axes.steps(i + 1) * to_stride);
    visit(box);
    copy.to += whole * inner * to_stride;
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

bool Grid::is_dense() const noexcept {
  return rows.count <= 1 && (cols.count == 0 || (cols.count == 1 && cols.stride_bytes[0] == item_bytes));
}

std::int64_t Grid::scratch_bytes(std::int64_t row_count, std::int64_t col_count) const noexcept {
  return is_dense() ? 0 : row_count * scratch_row_bytes(col_count * item_bytes);
}

cpu::ConstRows Grid::read(std::int64_t first_row, std::int64_t row_count, std::int64_t first_col, std::int64_t col_count,
                          std::byte* scratch) const {
  if (is_dense()) {
    const std::int64_t row_stride = rows.count ? rows.stride_bytes[0] : 0;
    return {data + first_row * row_stride + first_col * item_bytes, row_stride};
  }
  const std::int64_t row_bytes = scratch_row_bytes(col_count * item_bytes);
  Copy start;
  start.from = data;
  start.to = scratch;
  each_box(rows, 0, first_row, first_row + row_count, row_bytes, start, [&](const Copy& box_of_rows) {
    each_box(cols, 0, first_col, first_col + col_count, item_bytes, box_of_rows, [&](const Copy& box) { run(box, item_bytes); });
  });
  return {scratch, row_bytes};
}

}  // namespace tersor
