#pragma once
// Copies of items that are not adjacent.

#include <cstddef>
#include <cstdint>
#include <cstring>

#include "core/integers.h"

namespace tersor {

template <std::size_t kBytes>
void copy_items(std::byte* to, std::int64_t to_stride, const std::byte* from, std::int64_t from_stride, std::int64_t count) {
  for (std::int64_t i = 0; i < count; ++i) std::memcpy(to + i * to_stride, from + i * from_stride, kBytes);
}

inline void copy_strided(std::byte* to, std::int64_t to_stride, const std::byte* from, std::int64_t from_stride, std::int64_t count,
                         std::int64_t item_bytes) {
  switch (item_bytes) {
    case 1: return copy_items<1>(to, to_stride, from, from_stride, count);
    case 2: return copy_items<2>(to, to_stride, from, from_stride, count);
    case 4: return copy_items<4>(to, to_stride, from, from_stride, count);
    default: return copy_items<8>(to, to_stride, from, from_stride, count);
  }
}

// to[c][r] = from[r][c] for a block of 8 rows of 8 bytes, or 4 of 4 words: the neighbours of two rows by turns, once for each size
// from the items' to half a vector's.
template <std::size_t kBytes>
void transpose_block(std::byte* to, std::int64_t to_stride, const std::byte* from, std::int64_t from_stride) noexcept;

template <>
inline void transpose_block<4>(std::byte* to, std::int64_t to_stride, const std::byte* from, std::int64_t from_stride) noexcept {
  using Quads [[gnu::vector_size(16)]] = std::uint32_t;
  const auto load = [&](int row) {
    Quads words;
    std::memcpy(&words, from + row * from_stride, sizeof words);
    return words;
  };
  const Quads row0 = load(0), row1 = load(1), row2 = load(2), row3 = load(3);
  const Quads low01 = __builtin_shufflevector(row0, row1, 0, 4, 1, 5), high01 = __builtin_shufflevector(row0, row1, 2, 6, 3, 7);
  const Quads low23 = __builtin_shufflevector(row2, row3, 0, 4, 1, 5), high23 = __builtin_shufflevector(row2, row3, 2, 6, 3, 7);
  const Quads columns[4] = {__builtin_shufflevector(low01, low23, 0, 1, 4, 5), __builtin_shufflevector(low01, low23, 2, 3, 6, 7),
                            __builtin_shufflevector(high01, high23, 0, 1, 4, 5),
                            __builtin_shufflevector(high01, high23, 2, 3, 6, 7)};
  for (int k = 0; k < 4; ++k) std::memcpy(to + k * to_stride, &columns[k], sizeof columns[k]);
}

template <>
inline void transpose_block<1>(std::byte* to, std::int64_t to_stride, const std::byte* from, std::int64_t from_stride) noexcept {
  using Bytes [[gnu::vector_size(16)]] = std::uint8_t;
  using Pairs [[gnu::vector_size(16)]] = std::uint16_t;
  using Quads [[gnu::vector_size(16)]] = std::uint32_t;
  using Words [[gnu::vector_size(16)]] = std::uint64_t;
  const auto load = [&](int row) {
    std::uint64_t word;
    std::memcpy(&word, from + row * from_stride, sizeof word);
    return (Bytes)Words{word, 0};
  };
  const auto zip_rows = [&](int row) {
    return (Pairs)__builtin_shufflevector(load(row), load(row + 1), 0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23);
  };
  const auto low_pairs = [](Pairs a, Pairs b) { return (Quads)__builtin_shufflevector(a, b, 0, 8, 1, 9, 2, 10, 3, 11); };
  const auto high_pairs = [](Pairs a, Pairs b) { return (Quads)__builtin_shufflevector(a, b, 4, 12, 5, 13, 6, 14, 7, 15); };
  const Pairs of01 = zip_rows(0), of23 = zip_rows(2), of45 = zip_rows(4), of67 = zip_rows(6);
  const Quads low0123 = low_pairs(of01, of23), high0123 = high_pairs(of01, of23);
  const Quads low4567 = low_pairs(of45, of67), high4567 = high_pairs(of45, of67);
  const Quads columns[4] = {
      __builtin_shufflevector(low0123, low4567, 0, 4, 1, 5), __builtin_shufflevector(low0123, low4567, 2, 6, 3, 7),
      __builtin_shufflevector(high0123, high4567, 0, 4, 1, 5), __builtin_shufflevector(high0123, high4567, 2, 6, 3, 7)};
  for (int k = 0; k < 4; ++k) {
    std::uint64_t two[2];
    std::memcpy(two, &columns[k], sizeof two);
    std::memcpy(to + 2 * k * to_stride, &two[0], 8);
    std::memcpy(to + (2 * k + 1) * to_stride, &two[1], 8);
  }
}

// to[c][r] = from[r][c] for items that are adjacent in the rows of both.
template <std::size_t kBytes>
void transpose_items(std::byte* to, std::int64_t to_stride, const std::byte* from, std::int64_t from_stride, std::int64_t rows,
                     std::int64_t cols) {
  constexpr std::int64_t kSide = kBytes == 1 ? 8 : 4, kItem = kBytes;
  const auto one_by_one = [&](std::int64_t first_row, std::int64_t row_count, std::int64_t first_col, std::int64_t col_count) {
    for (std::int64_t r = first_row; r < first_row + row_count; ++r)
      copy_items<kBytes>(to + first_col * to_stride + r * kItem, to_stride, from + r * from_stride + first_col * kItem, kItem,
                         col_count);
  };
  const std::int64_t whole_rows = rows / kSide * kSide, whole_cols = cols / kSide * kSide;
  for (std::int64_t r = 0; r < whole_rows; r += kSide)
    for (std::int64_t c = 0; c < whole_cols; c += kSide)
      transpose_block<kBytes>(to + c * to_stride + r * kItem, to_stride, from + r * from_stride + c * kItem, from_stride);
  one_by_one(0, whole_rows, whole_cols, cols - whole_cols);
  one_by_one(whole_rows, rows - whole_rows, 0, cols);
}

// From one row of items in scratch to the next: whole cache lines, an odd number of them, as rows a power of two of bytes apart
// would share a few sets of the caches.
constexpr std::int64_t scratch_row_bytes(std::int64_t row_bytes) noexcept {
  constexpr std::int64_t kLineBytes = 64;
  return (ceil_div(row_bytes, kLineBytes) | 1) * kLineBytes;
}

// Items from anywhere, side by side.
template <std::size_t kBytes>
void collect_items(std::byte* to, const std::byte* const* from, std::int64_t count) {
  for (std::int64_t i = 0; i < count; ++i) std::memcpy(to + i * static_cast<std::int64_t>(kBytes), from[i], kBytes);
}

inline void collect_items(std::byte* to, const std::byte* const* from, std::int64_t count, std::int64_t item_bytes) {
  switch (item_bytes) {
    case 1: return collect_items<1>(to, from, count);
    case 2: return collect_items<2>(to, from, count);
    case 4: return collect_items<4>(to, from, count);
    default: return collect_items<8>(to, from, count);
  }
}

}  // namespace tersor
