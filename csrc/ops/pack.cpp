#include "ops/pack.h"

#include <algorithm>
#include <atomic>
#include <string>
#include <utility>

#include "core/check.h"
#include "core/integers.h"
#include "core/named.h"
#include "cpu/pack.h"
#include "ops/check_views.h"
#include "ops/grid.h"
#include "ops/loop.h"
#include "ops/tiles.h"
#include "ops/words.h"

namespace tersor {

namespace {

void require_codes_and_packed(const char* op, const View& q, const View& packed, const View& input) {
  require_dtype(q, {DType::kInt8});
  require_dtype(packed, {DType::kUInt8});
  require_packed_shape(q, packed, Columns::kNibbles, input);
  require_same_device(q, packed);
  require_cpu(op, q);
  require_no_overlap(q, packed);
}

}  // namespace

void pack_int4(const View& q, const View& packed) {
  require_codes_and_packed("pack_int4", q, packed, q);
  auto& kernel = cpu::pack_kernels().pack_int4;
  const Store store = store_for(q, packed);
  std::atomic<bool> all_fit{true};
  for_each_block(plan_elements({{q}, {packed, Columns::kNibbles, Access::kWrite}}), Split::kColumns, [&](const Block& block) {
    if (!kernel(block.operands[0], block.operands[1], block.extent, store)) all_fit.store(false, std::memory_order_relaxed);
  });
  if (!all_fit)
    throw ValueError(std::string(q.name) + " holds values outside [-8, 7], which 4 bits cannot; clip or rescale it first");
}

void unpack_int4(const View& packed, const View& q) {
  require_codes_and_packed("unpack_int4", q, packed, packed);
  auto& kernel = cpu::pack_kernels().unpack_int4;
  const Store store = store_for(packed, q);
  for_each_block(plan_elements({{q, Columns::kEach, Access::kWrite}, {packed, Columns::kNibbles}}), Split::kColumns,
                 [&](const Block& block) { kernel(block.operands[1], block.operands[0], block.extent, store); });
}

// --- any number of bits -----------------------------------------------------------------------------------------------------

namespace {

constexpr Named<CodeOrder> kOrders[] = {{"low_first", CodeOrder::kLowFirst},
                                        {"high_first", CodeOrder::kHighFirst},
                                        {"awq", CodeOrder::kAwq},
                                        {"halves", CodeOrder::kHalves}};

struct CodesAndWords {
  View q, packed;
};

// What is to be packed or unpacked, along the last axis.
CodesAndWords require_bits(const char* op, const View& q, const BitLayout& layout, const View& packed, const View& input) {
  require_words(op, q, layout, packed, input);
  require_no_overlap(q, packed);
  return {with_last(q, layout.axis), with_last(packed, layout.axis)};
}

// Calls body(codes, count, layout, where they lie packed, how to store) for rows, or parts of rows, that lie dense.
template <class Body>
void for_each_dense_run(const View& q, const View& packed, const WordLayout& layout, Access packed_access, Body body) {
  View codes = q;
  const std::int64_t cols = q.shape[q.ndim - 1];
  int first_col = q.ndim - 1;
  // No row ends within a word: all are one.
  if (q.is_contiguous() && packed.is_contiguous() && !layout.per_word && cols * layout.bits == 8 * layout.bytes(cols)) {
    codes.ndim = 1;
    codes.shape[0] = q.size();
    codes.stride_bytes[0] = 1;
    first_col = 0;
  }
  const Grid words = grid_of(packed, first_col);
  const Store store = packed_access == Access::kWrite ? store_for(q, packed) : store_for(packed, q);
  const Access access = packed_access == Access::kRead ? Access::kWrite : Access::kRead;
  for_each_block(plan_rows_in_order({{codes, Columns::kEach, access}}, codes.ndim - 1),
                 layout.per_word ? Split::kRows : Split::kColumns, [&](const Block& block) {
                   const std::int64_t count = block.extent.cols, run = layout.bytes(count) / layout.word_bytes;
                   const std::int64_t first_word = block.first_col * layout.bits / (8 * layout.word_bytes);
                   for (std::int64_t r = 0; r < block.extent.rows; ++r)
                     body(block.operands[0].row<std::uint8_t>(r), count, layout,
                          words.place({block.first_row + r, 1, first_word, run}, nullptr).row<std::uint8_t>(0), store);
                 });
}

Grid turned(Grid grid) noexcept {
  std::swap(grid.rows, grid.cols);
  return grid;
}

// Codes and words of any strides, and tiles of them whose rows and columns both fill cache lines.
struct StridedRuns {
  Grid codes;
  WordGrid words;
  std::int64_t rows, cols, rows_each, cols_each;
};

// The columns of a row into L2. Processors fetch ahead within a row, and not from the end of a stretch of it to the next row's.
void prefetch(const std::byte* from, std::int64_t bytes) noexcept {
  for (std::int64_t i = 0; i < bytes; i += 64) __builtin_prefetch(from + i, 0, 2);
}

StridedRuns strided_runs(const View& q, const View& packed, const WordLayout& layout, Access packed_access) {
  const Grid codes = grid_of(q, q.ndim - 1);
  Grid words = grid_of(packed, q.ndim - 1);
  words.reads_on = true;
  words.store = store_for(q, packed);
  const std::int64_t cols = q.shape[q.ndim - 1], rows = q.size() / cols;
  // Codes that follow each other down a matrix need not be turned: rows of them join to rows of words.
  const bool columns_are_adjacent = codes.rows.count == 1 && codes.rows.stride_bytes[0] == 1 && codes.cols.count == 1;
  if (columns_are_adjacent && can_lie_across(layout, cols))
    return {turned(codes), {turned(words), layout, WordGrid::Run::kAcrossRows}, cols, rows, 64 * kRowsOfWord, 512};
  // A few lines of each column of strided codes, which may lie on a page of its own, and a line of each row of words.
  const WordGrid along(words, layout, WordGrid::Run::kAlongRows);
  const bool packs = packed_access == Access::kWrite, is_strided = !codes.is_dense();
  const std::int64_t rows_each = is_strided && !packs ? 128 : 256, stretch = !is_strided ? 512 : packs ? 128 : 256;
  return {codes, along, rows, cols, rows_each, layout.per_word ? layout.per_word * 32 : stretch};
}

constexpr std::int64_t kRowsAhead = 4;

// The same for arrays of any strides, such as transposed ones.
template <class Body>
void for_each_strided_run(const View& q, const View& packed, const WordLayout& layout, Access packed_access, Body body) {
  const StridedRuns runs = strided_runs(q, packed, layout, packed_access);
  const RowBands bands(runs.words, runs.rows, runs.rows_each);
  const std::int64_t cols_each = std::min(runs.cols, runs.cols_each);
  const std::int64_t code_bytes = runs.codes.scratch_bytes(runs.rows_each, cols_each);
  const Tiles tiles{bands.count() * ceil_div(runs.cols, runs.cols_each), runs.rows_each * runs.cols_each,
                    code_bytes + runs.words.scratch_bytes(runs.rows_each, cols_each)};
  for_each_tile(tiles, [&](std::int64_t tile, std::byte* scratch) {
    const RowBands::Band band = bands[tile % bands.count()];
    const std::int64_t col = tile / bands.count() * runs.cols_each;
    const Rectangle part{band.row, band.rows, col, std::min(runs.cols_each, runs.cols - col)};
    std::byte* const packed_scratch = scratch + code_bytes;
    const bool packs = packed_access == Access::kWrite;
    if (packs)
      runs.codes.read(part.row, part.rows, part.col, part.cols, scratch);
    else
      runs.words.read(part, packed_scratch);
    const cpu::Rows codes = runs.codes.place(part, scratch), words = runs.words.place(part, packed_scratch);
    const bool fetches = packs && runs.codes.is_dense();
    for (std::int64_t r = 0; r < part.rows; ++r) {
      if (fetches && part.row + r + kRowsAhead < runs.rows) prefetch(codes.row<std::byte>(r + kRowsAhead), part.cols);
      body(codes.row<std::uint8_t>(r), part.cols, runs.words.of_rows(), words.row<std::uint8_t>(r), Store::kCached);
    }
    if (packs)
      runs.words.write(part, packed_scratch);
    else
      runs.codes.write(part, scratch);
  });
}

template <class Body>
void for_each_run(const View& q, const View& packed, const WordLayout& layout, Access packed_access, Body body) {
  if (grid_of(q, q.ndim - 1).is_dense() && grid_of(packed, q.ndim - 1).is_dense())
    for_each_dense_run(q, packed, layout, packed_access, body);
  else
    for_each_strided_run(q, packed, layout, packed_access, body);
}

}  // namespace

CodeOrder code_order_of(std::string_view name) { return find_named(kOrders, name, "order"); }

void pack_bits(const View& q, const BitLayout& layout, const View& packed) {
  const CodesAndWords arrays = require_bits("pack_bits", q, layout, packed, q);
  if (q.size() == 0) return;
  const bool is_signed = q.dtype == DType::kInt8;
  const auto bias = static_cast<std::uint8_t>(is_signed ? 1 << (layout.bits - 1) : 0);
  std::atomic<bool> found{false};
  for_each_run(arrays.q, arrays.packed, WordLayout(layout, packed.dtype), Access::kWrite,
               [&](const std::uint8_t* codes, std::int64_t count, const WordLayout& words, std::uint8_t* to, Store store) {
                 const std::uint8_t of_run = pack_row(codes, count, words, bias, to, store);
                 if (of_run >> layout.bits) found.store(true, std::memory_order_relaxed);  // only then: threads share it
               });
  if (found)
    throw ValueError(std::string(q.name) + " holds values outside [" + std::to_string(-bias) + ", " +
                     std::to_string((1 << layout.bits) - 1 - bias) + "], which " + std::to_string(layout.bits) + " bits of " +
                     name_of(q.dtype) + " cannot; clip or rescale it first");
}

void unpack_bits(const View& packed, const BitLayout& layout, const View& q) {
  const CodesAndWords arrays = require_bits("unpack_bits", q, layout, packed, packed);
  if (q.size() == 0) return;
  const bool is_signed = q.dtype == DType::kInt8;
  for_each_run(arrays.q, arrays.packed, WordLayout(layout, packed.dtype), Access::kRead,
               [&](std::uint8_t* codes, std::int64_t count, const WordLayout& words, const std::uint8_t* from, Store store) {
                 unpack_row(from, count, words, is_signed, codes, store);
               });
}

}  // namespace tersor
