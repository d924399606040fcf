#include "ops/words.h"

#include <algorithm>
#include <cstring>
#include <initializer_list>
#include <string>
#include <utility>

#include "core/check.h"
#include "core/integers.h"
#include "ops/check_views.h"
#include "ops/copy_items.h"

namespace tersor {

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

constexpr PlacesOfCodes places_in(CodeOrder order) {
  switch (order) {
    case CodeOrder::kHighFirst: return {places_of({1, 0}), 2};
    case CodeOrder::kAwq: return {places_of({0, 2, 4, 6, 1, 3, 5, 7}), 8};
    case CodeOrder::kHalves: return {halves(), cpu::kArrangedCodes};
    default: return {places_of({0}), 1};
  }
}

// The bits that codes set, as pack_row returns them.
std::uint8_t pack_padded(const std::uint8_t* q, std::int64_t cols, const WordLayout& layout, std::uint8_t flip, std::uint8_t bias,
                         std::uint8_t* packed) {
  std::uint8_t found = 0;
  for (std::int64_t i = 0; i < cols; i += layout.per_word, packed += layout.word_bytes) {
    std::uint32_t word = 0;
    for (int k = 0; k < layout.per_word && i + k < cols; ++k) {
      found |= static_cast<std::uint8_t>(q[i + k] + bias);
      word |= ((q[i + k] ^ flip) & ((1u << layout.bits) - 1)) << (k * layout.bits);
    }
    std::memcpy(packed, &word, static_cast<std::size_t>(layout.word_bytes));
  }
  return found;
}

void unpack_padded(const std::uint8_t* packed, std::int64_t cols, const WordLayout& layout, std::uint8_t flip, bool is_signed,
                   std::uint8_t* q) {
  const unsigned sign = is_signed ? 1u << (layout.bits - 1) : 0;
  for (std::int64_t i = 0; i < cols; i += layout.per_word, packed += layout.word_bytes) {
    std::uint32_t word = 0;
    std::memcpy(&word, packed, static_cast<std::size_t>(layout.word_bytes));
    for (int k = 0; k < layout.per_word && i + k < cols; ++k)
      q[i + k] = static_cast<std::uint8_t>((((word >> (k * layout.bits) & ((1u << layout.bits) - 1)) ^ flip) ^ sign) - sign);
  }
}

std::uint8_t pack_in_turn(const std::uint8_t* q, std::int64_t cols, const WordLayout& layout, std::uint8_t flip, std::uint8_t bias,
                          std::uint8_t* packed, Store store) {
  return layout.per_word ? pack_padded(q, cols, layout, flip, bias, packed)
                         : cpu::pack_kernels().pack_bits(q, cols, layout.bits, flip, bias, packed, store);
}

void unpack_in_turn(const std::uint8_t* packed, std::int64_t cols, const WordLayout& layout, std::uint8_t flip, bool is_signed,
                    std::uint8_t* q, Store store) {
  if (layout.per_word)
    unpack_padded(packed, cols, layout, flip, is_signed, q);
  else
    cpu::pack_kernels().unpack_bits(packed, cols, layout.bits, flip, is_signed, q, store);
}

constexpr std::int64_t kArrangedAtOnce = 4096;  // in cache; of 4 bits they are whole words

std::uint8_t pack_arranged(const std::uint8_t* q, std::int64_t cols, const WordLayout& layout, std::uint8_t bias,
                           std::uint8_t* packed) {
  std::uint8_t arranged[kArrangedAtOnce + cpu::kArrangedCodes], found = 0;
  for (std::int64_t i = 0; i < cols; i += kArrangedAtOnce) {
    const std::int64_t count = std::min(kArrangedAtOnce, cols - i), stored = layout.stored(count);
    cpu::pack_kernels().arrange_codes(q + i, count, layout.order.places.data(), layout.flip, arranged, stored);
    found |= pack_in_turn(arranged, stored, layout, 0, layout.flip ? 0 : bias, packed + layout.bytes(i), Store::kCached);
  }
  return found;
}

void unpack_arranged(const std::uint8_t* packed, std::int64_t cols, const WordLayout& layout, bool is_signed, std::uint8_t* q) {
  std::uint8_t arranged[kArrangedAtOnce + cpu::kArrangedCodes];
  const Places places = inverse(layout.order.places);
  for (std::int64_t i = 0; i < cols; i += kArrangedAtOnce) {
    const std::int64_t count = std::min(kArrangedAtOnce, cols - i), stored = layout.stored(count);
    unpack_in_turn(packed + layout.bytes(i), stored, layout, 0, is_signed && !layout.flip, arranged, Store::kCached);
    cpu::pack_kernels().arrange_codes(arranged, stored, places.data(), static_cast<std::uint8_t>(-layout.flip), q + i, count);
  }
}

// The rows whose codes are in a word, from its lowest bits on.
std::array<std::uint8_t*, kRowsOfWord> eight_rows(cpu::Rows nibbles, std::int64_t word_row, const PlacesOfCodes& order) noexcept {
  std::array<std::uint8_t*, kRowsOfWord> rows;
  for (std::size_t k = 0; k < rows.size(); ++k) rows[k] = nibbles.row<std::uint8_t>(word_row * kRowsOfWord + order.places[k]);
  return rows;
}

void require_layout(const BitLayout& layout, DType codes) {
  if (layout.bits < 1 || layout.bits > 8) throw ValueError("bits must lie in [1, 8], got " + std::to_string(layout.bits));
  if (layout.order != CodeOrder::kLowFirst && layout.bits != 4)
    throw ValueError("order is for codes of 4 bits, and bits is " + std::to_string(layout.bits));
  if (layout.offset && codes != DType::kInt8) throw ValueError("offset is for int8 codes, and those of q are uint8");
}

}  // namespace

WordLayout::WordLayout(const BitLayout& layout, DType word) noexcept
    : bits(layout.bits),
      word_bytes(static_cast<int>(item_size(word))),
      per_word(layout.padded && 8 * word_bytes % bits != 0 ? 8 * word_bytes / bits : 0),
      order(places_in(layout.order)),
      is_arranged(layout.order != CodeOrder::kLowFirst),
      flip(static_cast<std::uint8_t>(layout.offset ? 1 << (bits - 1) : 0)) {}

std::int64_t WordLayout::stored(std::int64_t cols) const noexcept { return ceil_div(cols, order.block) * order.block; }

std::int64_t WordLayout::bytes(std::int64_t cols) const noexcept {
  return (per_word ? ceil_div(cols, per_word) : ceil_div(stored(cols) * bits, 8 * word_bytes)) * word_bytes;
}

View with_last(View view, int axis) noexcept {
  std::swap(view.shape[axis], view.shape[view.ndim - 1]);
  std::swap(view.stride_bytes[axis], view.stride_bytes[view.ndim - 1]);
  return view;
}

void require_words(const char* op, const View& q, const BitLayout& layout, const View& packed, const View& input) {
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
}

std::uint8_t pack_row(const std::uint8_t* q, std::int64_t cols, const WordLayout& layout, std::uint8_t bias, std::uint8_t* packed,
                      Store store) {
  std::memset(packed + layout.bytes(cols) - layout.word_bytes, 0, static_cast<std::size_t>(layout.word_bytes));
  return layout.is_arranged ? pack_arranged(q, cols, layout, bias, packed)
                            : pack_in_turn(q, cols, layout, layout.flip, bias, packed, store);
}

void unpack_row(const std::uint8_t* packed, std::int64_t cols, const WordLayout& layout, bool is_signed, std::uint8_t* q,
                Store store) {
  if (layout.is_arranged)
    unpack_arranged(packed, cols, layout, is_signed, q);
  else
    unpack_in_turn(packed, cols, layout, layout.flip, is_signed, q, store);
}

bool can_lie_across(const WordLayout& layout, std::int64_t rows) noexcept {
  return layout.bits == 4 && layout.word_bytes == 4 && kRowsOfWord % layout.order.block == 0 && rows % kRowsOfWord == 0;
}

WordGrid::WordGrid(const Grid& words, const WordLayout& layout, Run run) noexcept
    : words_(words), layout_(layout), of_rows_(layout), across_(run == Run::kAcrossRows) {
  if (across_) of_rows_ = WordLayout({layout.bits, false, CodeOrder::kLowFirst, layout.flip != 0, 0}, DType::kUInt8);
}

std::int64_t WordGrid::rows_to_line() const noexcept {
  constexpr std::uintptr_t kLineBytes = 64;
  const bool lie_so = words_.rows.count == 1 && words_.cols.count == 1 && words_.rows.stride_bytes[0] == words_.item_bytes;
  if (!lie_so || words_.cols.stride_bytes[0] % static_cast<std::int64_t>(kLineBytes)) return 0;
  const std::uintptr_t bytes = -reinterpret_cast<std::uintptr_t>(words_.data) % kLineBytes;
  return static_cast<std::int64_t>(bytes) / words_.item_bytes * (across_ ? kRowsOfWord : 1);
}

Rectangle WordGrid::words_of(Rectangle codes) const noexcept {
  if (across_) return {codes.row / kRowsOfWord, codes.rows / kRowsOfWord, codes.col, codes.cols};
  return {codes.row, codes.rows, layout_.bytes(codes.col) / layout_.word_bytes, layout_.bytes(codes.cols) / layout_.word_bytes};
}

std::int64_t WordGrid::scratch_bytes(std::int64_t rows, std::int64_t cols) const noexcept {
  const Rectangle words = words_of({0, rows, 0, cols});
  return words_.scratch_bytes(words.rows, words.cols) + (across_ ? rows * scratch_row_bytes(of_rows_.bytes(cols)) : 0);
}

cpu::Rows WordGrid::nibbles_of(Rectangle codes, std::byte* scratch) const noexcept {
  const Rectangle words = words_of(codes);
  return {scratch + words_.scratch_bytes(words.rows, words.cols), scratch_row_bytes(of_rows_.bytes(codes.cols))};
}

cpu::ConstRows WordGrid::read(Rectangle codes, std::byte* scratch) const {
  const Rectangle part = words_of(codes);
  const cpu::ConstRows words = words_.read(part.row, part.rows, part.col, part.cols, scratch);
  if (!across_) return words;
  const cpu::Rows nibbles = nibbles_of(codes, scratch);
  for (std::int64_t r = 0; r < part.rows; ++r)
    cpu::pack_kernels().split_rows(words.row<std::uint32_t>(r), codes.cols, eight_rows(nibbles, r, layout_.order).data());
  return nibbles;
}

cpu::Rows WordGrid::place(Rectangle codes, std::byte* scratch) const noexcept {
  return across_ ? nibbles_of(codes, scratch) : words_.place(words_of(codes), scratch);
}

void WordGrid::write(Rectangle codes, std::byte* scratch) const {
  const Rectangle part = words_of(codes);
  if (across_) {
    const cpu::Rows words = words_.place(part, scratch), nibbles = nibbles_of(codes, scratch);
    for (std::int64_t r = 0; r < part.rows; ++r)
      cpu::pack_kernels().join_rows(eight_rows(nibbles, r, layout_.order).data(), codes.cols, words.row<std::uint32_t>(r));
  }
  words_.write(part, scratch);
}

RowBands::RowBands(const WordGrid& words, std::int64_t rows, std::int64_t rows_each) noexcept
    : rows_(rows), rows_each_(rows_each), skew_((rows_each - words.rows_to_line() % rows_each) % rows_each) {}

}  // namespace tersor
