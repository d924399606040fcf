#include "ops/pack.h"

#include <algorithm>
#include <array>
#include <atomic>
#include <cstring>
#include <initializer_list>
#include <string>
#include <utility>

#include "core/check.h"
#include "core/integers.h"
#include "core/memory.h"
#include "core/named.h"
#include "cpu/pack.h"
#include "ops/check_views.h"
#include "ops/grid.h"
#include "ops/loop.h"
#include "ops/tiles.h"

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

using Places = std::array<std::uint8_t, cpu::kArrangedCodes>;

constexpr Places places_of(std::initializer_list<std::uint8_t> block) {
  Places places{};
  for (std::size_t i = 0; i < places.size(); ++i) {
    const std::size_t begin = i / block.size() * block.size();
    places[i] = static_cast<std::uint8_t>(begin + block.begin()[i - begin]);
  }
  return places;
}

constexpr Places halves() {
  Places places{};
  for (std::size_t i = 0; i < places.size(); ++i) places[i] = static_cast<std::uint8_t>(i / 2 + i % 2 * places.size() / 2);
  return places;
}

constexpr Places inverse(const Places& places) {
  Places inverse{};
  for (std::size_t i = 0; i < places.size(); ++i) inverse[places[i]] = static_cast<std::uint8_t>(i);
  return inverse;
}

constexpr Named<CodeOrder> kOrders[] = {{"low_first", CodeOrder::kLowFirst},
                                        {"high_first", CodeOrder::kHighFirst},
                                        {"awq", CodeOrder::kAwq},
                                        {"halves", CodeOrder::kHalves}};

// Where each code comes from, and of how many codes in a row none leaves its run.
struct Order {
  Places places;
  int block;
};

constexpr Order order_of(CodeOrder order) {
  switch (order) {
    case CodeOrder::kHighFirst: return {places_of({1, 0}), 2};
    case CodeOrder::kAwq: return {places_of({0, 2, 4, 6, 1, 3, 5, 7}), 8};
    case CodeOrder::kHalves: return {halves(), cpu::kArrangedCodes};
    default: return {places_of({0}), 1};
  }
}

struct WordLayout {
  int bits, word_bytes, per_word;  // per_word: 0 where codes are one stream
  Order order;
  bool is_arranged;
  std::uint8_t offset;  // of stored codes

  WordLayout(const BitLayout& layout, DType word) noexcept
      : bits(layout.bits),
        word_bytes(static_cast<int>(item_size(word))),
        per_word(layout.padded && 8 * word_bytes % bits != 0 ? 8 * word_bytes / bits : 0),
        order(order_of(layout.order)),
        is_arranged(layout.order != CodeOrder::kLowFirst || layout.offset),
        offset(static_cast<std::uint8_t>(layout.offset ? 1 << (bits - 1) : 0)) {}

  // Codes that are stored, the last ones of a row perhaps only to fill a run.
  std::int64_t stored(std::int64_t cols) const noexcept { return ceil_div(cols, order.block) * order.block; }
  std::int64_t bytes(std::int64_t cols) const noexcept {
    return (per_word ? ceil_div(cols, per_word) : ceil_div(stored(cols) * bits, 8 * word_bytes)) * word_bytes;
  }
};

// The bits that codes set, with the bias that makes all that fit non-negative.
std::uint8_t pack_words(const std::uint8_t* q, std::int64_t cols, const WordLayout& layout, std::uint8_t bias,
                        std::uint8_t* packed) {
  std::uint8_t found = 0;
  for (std::int64_t i = 0; i < cols; i += layout.per_word, packed += layout.word_bytes) {
    std::uint32_t word = 0;
    for (int k = 0; k < layout.per_word && i + k < cols; ++k) {
      found |= static_cast<std::uint8_t>(q[i + k] + bias);
      word |= (q[i + k] & ((1u << layout.bits) - 1)) << (k * layout.bits);
    }
    std::memcpy(packed, &word, static_cast<std::size_t>(layout.word_bytes));
  }
  return found;
}

void unpack_words(const std::uint8_t* packed, std::int64_t cols, const WordLayout& layout, bool is_signed, std::uint8_t* q) {
  const unsigned sign = is_signed ? 1u << (layout.bits - 1) : 0;
  for (std::int64_t i = 0; i < cols; i += layout.per_word, packed += layout.word_bytes) {
    std::uint32_t word = 0;
    std::memcpy(&word, packed, static_cast<std::size_t>(layout.word_bytes));
    for (int k = 0; k < layout.per_word && i + k < cols; ++k)
      q[i + k] = static_cast<std::uint8_t>(((word >> (k * layout.bits) & ((1u << layout.bits) - 1)) ^ sign) - sign);
  }
}

std::uint8_t pack_run(const std::uint8_t* q, std::int64_t cols, const WordLayout& layout, std::uint8_t bias, std::uint8_t* packed) {
  return layout.per_word ? pack_words(q, cols, layout, bias, packed)
                         : cpu::pack_kernels().pack_bits(q, cols, layout.bits, bias, packed);
}

void unpack_run(const std::uint8_t* packed, std::int64_t cols, const WordLayout& layout, bool is_signed, std::uint8_t* q) {
  if (layout.per_word)
    unpack_words(packed, cols, layout, is_signed, q);
  else
    cpu::pack_kernels().unpack_bits(packed, cols, layout.bits, is_signed, q);
}

// Codes that are arranged in cache at once: whole words at any number of bits, padded or not.
std::int64_t arranged_at_once(const WordLayout& layout) noexcept { return layout.per_word ? layout.per_word * 256 : 4096; }

std::uint8_t pack_arranged(const std::uint8_t* q, std::int64_t cols, const WordLayout& layout, std::uint8_t bias,
                           std::uint8_t* packed) {
  std::uint8_t arranged[4096 + cpu::kArrangedCodes], found = 0;
  const std::int64_t each = arranged_at_once(layout);
  for (std::int64_t i = 0; i < cols; i += each) {
    const std::int64_t count = std::min(each, cols - i), stored = layout.stored(count);
    cpu::pack_kernels().arrange_codes(q + i, count, layout.order.places.data(), layout.offset, arranged, stored);
    found |= pack_run(arranged, stored, layout, layout.offset ? 0 : bias, packed + layout.bytes(i));
  }
  return found;
}

void unpack_arranged(const std::uint8_t* packed, std::int64_t cols, const WordLayout& layout, bool is_signed, std::uint8_t* q) {
  std::uint8_t arranged[4096 + cpu::kArrangedCodes];
  const Places places = inverse(layout.order.places);
  const std::int64_t each = arranged_at_once(layout);
  for (std::int64_t i = 0; i < cols; i += each) {
    const std::int64_t count = std::min(each, cols - i), stored = layout.stored(count);
    unpack_run(packed + layout.bytes(i), stored, layout, is_signed && !layout.offset, arranged);
    cpu::pack_kernels().arrange_codes(arranged, stored, places.data(), static_cast<std::uint8_t>(-layout.offset), q + i, count);
  }
}

// The view with two axes exchanged.
View with_last(View view, int axis) noexcept {
  std::swap(view.shape[axis], view.shape[view.ndim - 1]);
  std::swap(view.stride_bytes[axis], view.stride_bytes[view.ndim - 1]);
  return view;
}

void require_layout(const BitLayout& layout, DType codes) {
  if (layout.bits < 1 || layout.bits > 8) throw ValueError("bits must lie in [1, 8], got " + std::to_string(layout.bits));
  if (layout.order != CodeOrder::kLowFirst && layout.bits != 4)
    throw ValueError("order is for codes of 4 bits, and bits is " + std::to_string(layout.bits));
  if (layout.offset && codes != DType::kInt8) throw ValueError("offset is for int8 codes, and those of q are uint8");
}

struct CodesAndWords {
  View q, packed;
};

// What is to be packed or unpacked, along the last axis.
CodesAndWords require_bits(const char* op, const View& q, const BitLayout& layout, const View& packed, const View& input) {
  require_dtype(q, {DType::kInt8, DType::kUInt8});
  require_layout(layout, q.dtype);
  require_dtype(packed, {DType::kUInt8, DType::kInt32});
  require_last_axis(input);
  if (q.ndim != packed.ndim || layout.axis < 0 || layout.axis >= q.ndim)
    throw ValueError(std::string(q.name) + " has " + std::to_string(q.ndim) + " dimensions and " + packed.name + " has " +
                     std::to_string(packed.ndim) + ", for axis " + std::to_string(layout.axis) + "; they must have as many");
  const View codes = with_last(q, layout.axis), words = with_last(packed, layout.axis);
  require_last(codes, words, WordLayout(layout, packed.dtype).bytes(codes.shape[q.ndim - 1]) / item_size(packed.dtype));
  require_same_device(q, packed);
  require_cpu(op, q);
  require_no_overlap(q, packed);
  return {codes, words};
}

// Calls body(codes, count, where they lie packed) for rows, or parts of rows, that lie dense.
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
  const Access access = packed_access == Access::kRead ? Access::kWrite : Access::kRead;
  for_each_block(plan_rows_in_order({{codes, Columns::kEach, access}}, codes.ndim - 1),
                 layout.per_word ? Split::kRows : Split::kColumns, [&](const Block& block) {
                   const std::int64_t count = block.extent.cols, run = layout.bytes(count) / layout.word_bytes;
                   const std::int64_t first_word = block.first_col * layout.bits / (8 * layout.word_bytes);
                   for (std::int64_t r = 0; r < block.extent.rows; ++r)
                     body(block.operands[0].row<std::uint8_t>(r), count,
                          words.place({block.first_row + r, 1, first_word, run}, nullptr).row<std::uint8_t>(0));
                 });
}

// The same for arrays of any strides, such as transposed ones: by tiles whose rows and columns both fill cache lines.
template <class Body>
void for_each_strided_run(const View& q, const View& packed, const WordLayout& layout, Access packed_access, Body body) {
  const Grid codes = grid_of(q, q.ndim - 1), words = grid_of(packed, q.ndim - 1);
  const std::int64_t cols = q.shape[q.ndim - 1], rows = q.size() / cols;
  // A few lines of each column of strided codes, which may lie on a page of its own, and a line of each row of words.
  const bool packs = packed_access == Access::kWrite, is_strided = !codes.is_dense();
  const std::int64_t rows_each = !is_strided ? 64 : packs ? 256 : 128, dense_cols = !is_strided ? 2048 : packs ? 128 : 256;
  const std::int64_t cols_each = layout.per_word ? layout.per_word * 32 : dense_cols;
  const std::int64_t tile_rows = ceil_div(rows, rows_each);
  const std::int64_t words_each = layout.bytes(std::min(cols, cols_each)) / layout.word_bytes;
  const std::int64_t code_bytes = codes.scratch_bytes(rows_each, std::min(cols, cols_each));
  const Tiles tiles{tile_rows * ceil_div(cols, cols_each), rows_each * cols_each,
                    code_bytes + words.scratch_bytes(rows_each, words_each)};
  for_each_tile(tiles, [&](std::int64_t tile, std::byte* scratch) {
    const std::int64_t row = tile % tile_rows * rows_each, col = tile / tile_rows * cols_each;
    const std::int64_t row_count = std::min(rows_each, rows - row), count = std::min(cols_each, cols - col);
    const Rectangle of_codes{row, row_count, col, count};
    const Rectangle of_words{row, row_count, layout.bytes(col) / layout.word_bytes, layout.bytes(count) / layout.word_bytes};
    const auto read = [](const Grid& grid, const Rectangle& part, std::byte* to) {
      grid.read(part.row, part.rows, part.col, part.cols, to);
    };
    if (packed_access == Access::kRead)
      read(words, of_words, scratch + code_bytes);
    else
      read(codes, of_codes, scratch);
    const cpu::Rows code_rows = codes.place(of_codes, scratch), word_rows = words.place(of_words, scratch + code_bytes);
    for (std::int64_t r = 0; r < row_count; ++r) body(code_rows.row<std::uint8_t>(r), count, word_rows.row<std::uint8_t>(r));
    if (packed_access == Access::kRead)
      codes.write(of_codes, scratch);
    else
      words.write(of_words, scratch + code_bytes);
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
  const WordLayout words(layout, packed.dtype);
  const bool is_signed = q.dtype == DType::kInt8;
  const auto bias = static_cast<std::uint8_t>(is_signed ? 1 << (layout.bits - 1) : 0);
  std::atomic<bool> found{false};
  for_each_run(arrays.q, arrays.packed, words, Access::kWrite,
               [&](const std::uint8_t* codes, std::int64_t count, std::uint8_t* to) {
                 std::memset(to + words.bytes(count) - words.word_bytes, 0,
                             static_cast<std::size_t>(words.word_bytes));  // what no code takes
                 const auto pack = words.is_arranged ? pack_arranged : pack_run;
                 const std::uint8_t of_run = pack(codes, count, words, bias, to);
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
  const WordLayout words(layout, packed.dtype);
  const bool is_signed = q.dtype == DType::kInt8;
  const auto unpack = words.is_arranged ? unpack_arranged : unpack_run;
  for_each_run(
      arrays.q, arrays.packed, words, Access::kRead,
      [&](std::uint8_t* codes, std::int64_t count, const std::uint8_t* from) { unpack(from, count, words, is_signed, codes); });
}

}  // namespace tersor
