// transpose: blocks of 8 x 8 bytes or pairs of them, or of 4 x 4 words, in registers.

#include "cpu/transpose.h"
#include "cpu/map.h"

namespace tersor::cpu::TERSOR_LEVEL {

namespace {

using Bytes [[gnu::vector_size(16)]] = std::uint8_t;
using Pairs [[gnu::vector_size(16)]] = std::uint16_t;
using Quads [[gnu::vector_size(16)]] = std::uint32_t;
using Words [[gnu::vector_size(16)]] = std::uint64_t;

template <class Vector, std::size_t kCount>
TERSOR_INLINE void load_rows(Vector (&rows)[kCount], const std::byte* from, std::int64_t stride) noexcept {
  for (Vector& row : rows) {
    std::memcpy(&row, from, sizeof row);
    from += stride;
  }
}
template <class Vector, std::size_t kCount>
TERSOR_INLINE void store_rows(const Vector (&rows)[kCount], std::byte* to, std::int64_t stride) noexcept {
  for (const Vector& row : rows) {
    std::memcpy(to, &row, sizeof row);
    to += stride;
  }
}

// The neighbours of two rows by turns, once for each size from the items' to half a vector's.
struct WordBlock {
  static constexpr std::int64_t kSide = 4, kItem = 4;
  Quads columns[kSide];

  TERSOR_INLINE WordBlock(const std::byte* from, std::int64_t stride) noexcept {
    Quads rows[kSide];
    load_rows(rows, from, stride);
    const Quads low01 = __builtin_shufflevector(rows[0], rows[1], 0, 4, 1, 5);
    const Quads high01 = __builtin_shufflevector(rows[0], rows[1], 2, 6, 3, 7);
    const Quads low23 = __builtin_shufflevector(rows[2], rows[3], 0, 4, 1, 5);
    const Quads high23 = __builtin_shufflevector(rows[2], rows[3], 2, 6, 3, 7);
    columns[0] = __builtin_shufflevector(low01, low23, 0, 1, 4, 5);
    columns[1] = __builtin_shufflevector(low01, low23, 2, 3, 6, 7);
    columns[2] = __builtin_shufflevector(high01, high23, 0, 1, 4, 5);
    columns[3] = __builtin_shufflevector(high01, high23, 2, 3, 6, 7);
  }
  TERSOR_INLINE void store(std::byte* to, std::int64_t stride) const noexcept { store_rows(columns, to, stride); }
};

struct PairBlock {
  static constexpr std::int64_t kSide = 8, kItem = 2;
  Words columns[kSide];

  TERSOR_INLINE PairBlock(const std::byte* from, std::int64_t stride) noexcept {
    Pairs rows[kSide];
    load_rows(rows, from, stride);
    Quads of_two[kSide];  // of rows 0 and 1: columns 0 to 3, then 4 to 7; of rows 2 and 3, and so on
    for (int k = 0; k < kSide; k += 2) {
      of_two[k] = (Quads)__builtin_shufflevector(rows[k], rows[k + 1], 0, 8, 1, 9, 2, 10, 3, 11);
      of_two[k + 1] = (Quads)__builtin_shufflevector(rows[k], rows[k + 1], 4, 12, 5, 13, 6, 14, 7, 15);
    }
    Words of_four[kSide];  // of rows 0 to 3: columns in twos; then of rows 4 to 7
    for (int half = 0; half < 2; ++half)
      for (int k = 0; k < 2; ++k) {
        const Quads first = of_two[4 * half + k], second = of_two[4 * half + k + 2];
        of_four[4 * half + 2 * k] = (Words)__builtin_shufflevector(first, second, 0, 4, 1, 5);
        of_four[4 * half + 2 * k + 1] = (Words)__builtin_shufflevector(first, second, 2, 6, 3, 7);
      }
    for (int k = 0; k < kSide / 2; ++k) {
      columns[2 * k] = __builtin_shufflevector(of_four[k], of_four[k + 4], 0, 2);
      columns[2 * k + 1] = __builtin_shufflevector(of_four[k], of_four[k + 4], 1, 3);
    }
  }
  TERSOR_INLINE void store(std::byte* to, std::int64_t stride) const noexcept { store_rows(columns, to, stride); }
};

struct ByteBlock {
  static constexpr std::int64_t kSide = 8, kItem = 1;
  Quads columns[kSide / 2];  // two each

  TERSOR_INLINE ByteBlock(const std::byte* from, std::int64_t stride) noexcept {
    const auto load = [=](int row) TERSOR_LAMBDA {
      std::uint64_t word;
      std::memcpy(&word, from + row * stride, sizeof word);
      return (Bytes)Words{word, 0};
    };
    const auto zip_rows = [=](int row) TERSOR_LAMBDA {
      return (Pairs)__builtin_shufflevector(load(row), load(row + 1), 0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23);
    };
    const auto low_pairs = [](Pairs a, Pairs b)
                               TERSOR_LAMBDA { return (Quads)__builtin_shufflevector(a, b, 0, 8, 1, 9, 2, 10, 3, 11); };
    const auto high_pairs = [](Pairs a, Pairs b)
                                TERSOR_LAMBDA { return (Quads)__builtin_shufflevector(a, b, 4, 12, 5, 13, 6, 14, 7, 15); };
    const Pairs of01 = zip_rows(0), of23 = zip_rows(2), of45 = zip_rows(4), of67 = zip_rows(6);
    const Quads low0123 = low_pairs(of01, of23), high0123 = high_pairs(of01, of23);
    const Quads low4567 = low_pairs(of45, of67), high4567 = high_pairs(of45, of67);
    columns[0] = __builtin_shufflevector(low0123, low4567, 0, 4, 1, 5);
    columns[1] = __builtin_shufflevector(low0123, low4567, 2, 6, 3, 7);
    columns[2] = __builtin_shufflevector(high0123, high4567, 0, 4, 1, 5);
    columns[3] = __builtin_shufflevector(high0123, high4567, 2, 6, 3, 7);
  }
  TERSOR_INLINE void store(std::byte* to, std::int64_t stride) const noexcept {
    for (int k = 0; k < kSide; k += 2) {
      std::uint64_t two[2];
      std::memcpy(two, &columns[k / 2], sizeof two);
      std::memcpy(to + k * stride, &two[0], sizeof two[0]);
      std::memcpy(to + (k + 1) * stride, &two[1], sizeof two[1]);
    }
  }
};

constexpr std::int64_t kLine = 64;

template <class Block>
TERSOR_INLINE void copy_block(ConstRows from, std::int64_t row, std::int64_t col, Rows to) noexcept {
  const Block block(from.row<std::byte>(row) + col * Block::kItem, from.stride_bytes);
  block.store(to.row<std::byte>(col) + row * Block::kItem, to.stride_bytes);
}

// What blocks leave.
template <class Block>
TERSOR_INLINE void copy_items(ConstRows from, std::int64_t row, std::int64_t col, Extent extent, Rows to) noexcept {
  for (std::int64_t r = row; r < row + extent.rows; ++r)
    for (std::int64_t c = col; c < col + extent.cols; ++c)
      std::memcpy(to.row<std::byte>(c) + r * Block::kItem, from.row<std::byte>(r) + c * Block::kItem, Block::kItem);
}

// Rows of `to`, four at a time, by way of the first-level cache: all lines of one follow each other on their way to memory. Were
// they written in turns, rows that are a power of two of bytes apart would wait for each other there, for up to twice the time.
class LineStreamer {
 public:
  static constexpr std::int64_t kSide = WordBlock::kSide, kLineItems = kLine / WordBlock::kItem;
  static constexpr std::int64_t kMostItems = 16 * kLineItems;

  TERSOR_INLINE LineStreamer(ConstRows from, Rows to, std::int64_t items) noexcept : from_(from), to_(to), items_(items) {}

  // The rows `col` to `col` + 3, of which the last call's go to memory.
  TERSOR_INLINE void add(std::int64_t col) noexcept {
    auto& lines = lines_[col / kSide % 2];
    for (std::int64_t r = 0; r < items_; r += kSide) {
      const WordBlock block(from_.row<std::byte>(r) + col * WordBlock::kItem, from_.stride_bytes);
      block.store(reinterpret_cast<std::byte*>(lines[0] + r), sizeof lines[0]);
    }
    if (col) flush(col - kSide);
  }
  TERSOR_INLINE void flush(std::int64_t col) noexcept {
    const auto& lines = lines_[col / kSide % 2];
    for (std::int64_t k = 0; k < kSide; ++k)
      for (std::int64_t r = 0; r < items_; r += kLineItems) stream(to_.row<std::uint32_t>(col + k) + r, load(lines[k] + r));
  }

 private:
  ConstRows from_;
  Rows to_;
  std::int64_t items_;  // of a row
  alignas(kLine) std::uint32_t lines_[2][kSide][kMostItems];
};

// Returns how many items it wrote of each row.
TERSOR_INLINE std::int64_t stream_lines(ConstRows from, std::int64_t rows, std::int64_t cols, Rows to) noexcept {
  std::int64_t r = 0;
  while (rows - r >= LineStreamer::kLineItems && cols > 0) {
    const std::int64_t whole = (rows - r) / LineStreamer::kLineItems * LineStreamer::kLineItems;
    const std::int64_t items = whole < LineStreamer::kMostItems ? whole : LineStreamer::kMostItems;
    LineStreamer streamer({from.row<std::byte>(r), from.stride_bytes}, {to.data + r * WordBlock::kItem, to.stride_bytes}, items);
    for (std::int64_t c = 0; c < cols; c += WordBlock::kSide) streamer.add(c);
    streamer.flush(cols - WordBlock::kSide);
    r += items;
  }
  return r;
}

template <class Block>
void transpose(ConstRows from, Extent extent, Rows to, TransposeWay way) noexcept {
  constexpr std::int64_t kSide = Block::kSide;
  const std::int64_t rows = extent.rows / kSide * kSide, cols = extent.cols / kSide * kSide;
  const bool streams = way.store == Store::kStreaming && Block::kItem == 4 &&
                       (reinterpret_cast<std::uintptr_t>(to.data) | static_cast<std::uintptr_t>(to.stride_bytes)) % kLine == 0;
  if (way.far == FarSide::kFrom) {
    for (std::int64_t r = 0; r < rows; r += kSide)
      for (std::int64_t c = 0; c < cols; c += kSide) {
        if (way.reads_on && c * Block::kItem % kLine == 0)
          for (std::int64_t k = 0; k < kSide; ++k) prefetch(from.row<std::byte>(r + k) + (extent.cols + c) * Block::kItem);
        copy_block<Block>(from, r, c, to);
      }
  } else {
    const std::int64_t streamed = streams ? stream_lines(from, rows, cols, to) : 0;
    for (std::int64_t c = 0; c < cols; c += kSide)
      for (std::int64_t r = streamed; r < rows; r += kSide) copy_block<Block>(from, r, c, to);
  }
  copy_items<Block>(from, 0, cols, {rows, extent.cols - cols}, to);
  copy_items<Block>(from, rows, 0, {extent.rows - rows, extent.cols}, to);
}

}  // namespace

constinit const TransposeKernels transpose_kernels{
    .of_bytes = transpose<ByteBlock>, .of_pairs = transpose<PairBlock>, .of_words = transpose<WordBlock>};

}  // namespace tersor::cpu::TERSOR_LEVEL
