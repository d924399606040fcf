#include "ops/compress.h"

#include <algorithm>
#include <cstring>
#include <numeric>
#include <string>

#include "core/check.h"
#include "core/memory.h"
#include "core/parallel.h"
#include "cpu/bitmask.h"
#include "cpu/compress.h"
#include "ops/check_views.h"
#include "ops/in_turn.h"
#include "ops/loop.h"

namespace tersor {

namespace {

// Rows or columns that a thread turns into the other form at a time.
constexpr std::int64_t kRowsEach = 64;

LoopPlan plan_rows_of(const View& view, Access access) {
  return plan_rows_in_order({{view, Columns::kEach, access}}, view.ndim - 1);
}

cpu::Rows bits_of(const BitmaskViews& t, const Block& block) noexcept {
  return {t.bits.data + block.first_row * t.row_bytes() + block.first_col / 8, t.row_bytes()};
}

// Calls body(row, bits that are set in it) for the part of each row that the block has; returns the sum.
template <class Body>
std::int64_t count_rows(const BitmaskViews& t, const Block& block, Body body) noexcept {
  auto& count_bits = cpu::bitmask_kernels().count_bits;
  const cpu::Rows bits = bits_of(t, block);
  std::int64_t count = 0;
  for (std::int64_t r = 0; r < block.extent.rows; ++r) {
    const std::int64_t of_row = count_bits(bits.row<std::uint8_t>(r), block.extent.cols);
    body(block.first_row + r, of_row);
    count += of_row;
  }
  return count;
}
std::int64_t count_rows(const BitmaskViews& t, const Block& block) noexcept {
  return count_rows(t, block, [](std::int64_t, std::int64_t) {});
}

// How many values stand before the block's.
std::int64_t add_in_turn(InTurn& values, const BitmaskViews& t, const Block& block, std::int64_t count) {
  return values.add(block.first_row * t.cols + block.first_col, block.extent.rows * block.extent.cols, count);
}

// Of the rows that begin in the block.
void write_offsets(const BitmaskViews& t, const Block& block, std::int64_t before) noexcept {
  if (block.first_col != 0) return;
  count_rows(t, block, [&](std::int64_t row, std::int64_t count) {
    std::memcpy(t.row_offsets.data + row * static_cast<std::int64_t>(sizeof before), &before, sizeof before);
    before += count;
  });
}

// Rows that end in the block must do so where the next ones begin.
void check_offsets(const BitmaskViews& t, const Block& block, std::int64_t before, FirstWrong& wrong) noexcept {
  if (block.first_col + block.extent.cols != t.cols) return;
  count_rows(t, block, [&](std::int64_t row, std::int64_t count) {
    before += count;
    if (t.start_of(row + 1) != before) wrong.find(row);
  });
}

}  // namespace

std::int64_t compress_bitmask(const View& w, const BitmaskViews& t) {
  require_floating(w);
  require_last_axis(w);
  require_cpu("compress_bitmask", w);
  require_bitmask(t);
  require_same_dtype(w, t.values);
  for (const View* part : {&t.values, &t.bits, &t.row_offsets}) {
    require_same_device(w, *part);
    require_no_overlap(w, *part);
  }
  auto& compress = cpu::compress_kernels().compress_nonzeros[w.dtype];
  auto& copy = cpu::compress_kernels().copy;
  const std::int64_t item_bytes = item_size(w.dtype), room = t.values.size();
  const Store store = store_for(w.size_bytes() / 2);  // as for half of the entries: how many there are shows at the end
  InTurn values;
  for_each_block(plan_rows_of(w, Access::kRead), Split::kColumnsInL2, [&](const Block& block) {
    const std::int64_t entries = block.extent.rows * block.extent.cols;
    const Scratch kept(static_cast<std::size_t>((entries + cpu::kCompressSlack) * item_bytes));
    const std::int64_t count = compress(block.operands[0], bits_of(t, block), block.extent, kept.data());
    const std::int64_t before = add_in_turn(values, t, block, count);
    write_offsets(t, block, before);
    if (before + count <= room) copy(kept.data(), t.values.data + before * item_bytes, count * item_bytes, store);
  });
  if (values.items() > room)
    throw ValueError(std::string(t.values.name) + " has room for " + std::to_string(room) + " values, but " + w.name + " has " +
                     std::to_string(values.items()) + " nonzero entries; pass a longer one");
  return values.items();
}

void decompress_bitmask(const BitmaskViews& t, const View& out) {
  require_bitmask(t);
  require_same_dtype(t.values, out);
  require_cpu("decompress_bitmask", t.values);
  for (const View* view : {&t.bits, &t.row_offsets, &out}) require_same_device(t.values, *view);
  for (const View* part : {&t.values, &t.bits, &t.row_offsets}) require_no_overlap(*part, out);
  require_ordered(t);
  auto& expand = cpu::compress_kernels().expand[out.dtype];
  const Store store = store_for(t.values, out);
  const std::int64_t item_bytes = item_size(out.dtype), total = t.values.size();
  InTurn values;
  FirstWrong wrong;
  for_each_block(plan_rows_of(out, Access::kWrite), Split::kColumns, [&](const Block& block) {
    const std::int64_t count = count_rows(t, block), before = add_in_turn(values, t, block, count);
    check_offsets(t, block, before, wrong);
    if (before + count > total)
      wrong.find(block.first_row + block.extent.rows - 1);
    else
      expand(t.values.data + before * item_bytes, total - before, bits_of(t, block), block.operands[0], block.extent, store);
  });
  require_no_wrong_row(t, wrong);
}

// --- compressed rows -----------------------------------------------------------------------------------------------------------

namespace {

void require_index(const View& view) { require_dtype(view, {DType::kInt64, DType::kInt32}); }

template <class Body>
void for_rows(std::int64_t rows, Body body) {
  parallel_for((rows + kRowsEach - 1) / kRowsEach, [&](std::int64_t chunk) {
    for (std::int64_t row = chunk * kRowsEach; row < std::min(rows, (chunk + 1) * kRowsEach); ++row) body(row);
  });
}

template <class Index>
bool find_columns_of_row(const BitmaskViews& t, std::int64_t row, Index* columns) noexcept {
  const std::uint8_t* bits = t.bits_of(row);
  std::int64_t next = t.start_of(row);
  const std::int64_t end = t.start_of(row + 1);
  for (std::int64_t byte = 0; byte < t.row_bytes(); ++byte)
    for (unsigned left = bits[byte]; left; left &= left - 1) {
      const std::int64_t col = byte * 8 + __builtin_ctz(left);
      if (col >= t.cols) break;
      if (next == end) return false;
      columns[next++] = static_cast<Index>(col);
    }
  return next == end;
}

template <class Index>
void find_columns_as(const BitmaskViews& t, const View& columns) {
  FirstWrong wrong;
  for_rows(t.rows, [&](std::int64_t row) {
    if (!find_columns_of_row(t, row, reinterpret_cast<Index*>(columns.data))) wrong.find(row);
  });
  require_no_wrong_row(t, wrong);
}

// Compressed rows as the caller has them: at any byte.
template <class Index>
struct CompressedRows {
  const std::byte* columns;
  const std::byte* pointers;

  static std::int64_t at(const std::byte* numbers, std::int64_t i) noexcept {
    Index number;
    std::memcpy(&number, numbers + i * static_cast<std::int64_t>(sizeof number), sizeof number);
    return static_cast<std::int64_t>(number);
  }
  std::int64_t begin_of(std::int64_t row) const noexcept { return at(pointers, row); }
  std::int64_t length_of(std::int64_t row) const noexcept { return begin_of(row + 1) - begin_of(row); }

  bool begin_in_order(std::int64_t rows, std::int64_t count) const noexcept {
    bool ordered = begin_of(0) == 0 && begin_of(rows) == count;
    for (std::int64_t row = 0; row < rows && ordered; ++row) ordered = length_of(row) >= 0;
    return ordered;
  }
  bool ascend(std::int64_t row, std::int64_t cols) const noexcept {
    std::int64_t last = -1;
    for (std::int64_t i = begin_of(row); i < begin_of(row + 1); ++i) {
      const std::int64_t col = at(columns, i);
      if (col <= last || col >= cols) return false;
      last = col;
    }
    return true;
  }
  // Sets the bits of those columns whose bit in `stored` is set; returns how many.
  std::int64_t mark(std::int64_t row, const std::uint8_t* stored, std::uint8_t* bits) const noexcept {
    std::int64_t count = 0;
    for (std::int64_t i = 0; i < length_of(row); ++i) {
      const unsigned bit = stored[i / 8] >> (i % 8) & 1u;
      const std::int64_t col = at(columns, begin_of(row) + i);
      bits[col / 8] = static_cast<std::uint8_t>(bits[col / 8] | bit << (col % 8));
      count += bit;
    }
    return count;
  }
};

template <class Index>
void mark_columns_as(const View& columns, const View& row_pointers, const BitmaskViews& t) {
  const CompressedRows<Index> rows{columns.data, row_pointers.data};
  if (!rows.begin_in_order(t.rows, columns.size()))
    throw ValueError(std::string(row_pointers.name) + " must begin with 0, never decrease, and end with the " +
                     std::to_string(columns.size()) + " entries of " + columns.name);
  auto* counts = reinterpret_cast<std::int64_t*>(t.row_offsets.data);
  FirstWrong wrong;
  for_rows(t.rows, [&](std::int64_t row) {
    if (!rows.ascend(row, t.cols)) return wrong.find(row);
    const std::int64_t length = rows.length_of(row);
    const Scratch nonzero(static_cast<std::size_t>(length / 8 + 1));
    const std::byte* values = t.values.data + rows.begin_of(row) * item_size(t.values.dtype);
    mark_nonzeros(t.values.dtype, values, length, nonzero.data());
    auto* bits = reinterpret_cast<std::uint8_t*>(t.bits.data) + row * t.row_bytes();
    std::memset(bits, 0, static_cast<std::size_t>(t.row_bytes()));
    counts[row] = rows.mark(row, reinterpret_cast<const std::uint8_t*>(nonzero.data()), bits);
  });
  if (wrong.place() != FirstWrong::kNone)
    throw ValueError(std::string(columns.name) + " must ascend within each row, without repetition, and stay below " +
                     std::to_string(t.cols) + "; row " + std::to_string(wrong.place()) +
                     " does not: sum duplicates and sort the indices first");
  std::exclusive_scan(counts, counts + t.rows, counts, std::int64_t{0});
}

}  // namespace

void find_columns(const BitmaskViews& t, const View& columns) {
  require_bitmask(t);
  require_index(columns);
  require_cpu("bitmask_to_csr", t.values);
  require_shape(columns, {t.values.size()}, "for the values of t");
  require_ordered(t);
  if (columns.dtype == DType::kInt64)
    find_columns_as<std::int64_t>(t, columns);
  else
    find_columns_as<std::int32_t>(t, columns);
}

void mark_columns(const View& columns, const View& row_pointers, const BitmaskViews& t) {
  require_index(columns);
  require_same_dtype(columns, row_pointers);
  require_cpu("bitmask_from_csr", t.values);
  require_floating(t.values);
  require_shape(t.values, {columns.size()}, "for that many columns");
  require_shape(row_pointers, {t.rows + 1}, "for that many rows");
  for (const View* view : {&columns, &row_pointers}) {
    require_same_device(t.values, *view);
    require_contiguous(*view);
  }
  require_bitmask(t);
  if (columns.dtype == DType::kInt64)
    mark_columns_as<std::int64_t>(columns, row_pointers, t);
  else
    mark_columns_as<std::int32_t>(columns, row_pointers, t);
}

}  // namespace tersor
