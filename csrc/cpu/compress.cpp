// compress: the items whose bit is set move together, and apart again. 16 columns at a time, whose bits say how far to go on.

#include "cpu/compress.h"
#include "cpu/map.h"
#include "cpu/quads.h"
#include "cpu/simd.h"
#include "cpu/storage.h"

namespace tersor::cpu::TERSOR_LEVEL {

namespace {

// Where kept items go. Whole vectors are stored as long as they fit; the last few items go through a buffer, so that nothing is
// written beyond them: there another thread's begin.
template <class Item>
class Stored {
 public:
  Stored(Item* to, std::int64_t count) noexcept : next_(to), end_(to + count) {}

  TERSOR_INLINE void take(Lanes<Item> items, std::uint32_t bits) noexcept {
    if (end_ - next_ >= kLanes) {
      next_ = compress_store(next_, items, bits);
    } else {
      alignas(64) Item buffer[kLanes];
      const auto taken = compress_store(buffer, items, bits) - buffer;
      std::memcpy(next_, buffer, static_cast<std::size_t>(taken) * sizeof(Item));
      next_ += taken;
    }
  }

 private:
  Item* next_;
  Item* end_;
};

// Beyond so many bytes a row would push out what is fetched ahead of it.
constexpr std::int64_t kMostBytesAhead = 128 << 10;

// A row is still in the cache from when its bits were found. Meanwhile memory would idle: the next one, a stride on, is fetched.
template <class Item>
void compress(ConstRows w, ConstRows bits, Extent extent, std::byte* values, std::int64_t count) noexcept {
  Stored<Item> stored(reinterpret_cast<Item*>(values), count);
  for (std::int64_t r = 0; r < extent.rows; ++r) {
    const Item *from = w.row<Item>(r), *next = w.row<Item>(r + 1);
    const bool fetches = next != from && extent.cols * static_cast<std::int64_t>(sizeof(Item)) <= kMostBytesAhead;
    const std::uint8_t* of_row = bits.row<std::uint8_t>(r);
    std::int64_t i = 0;
    for (; i + 64 <= extent.cols; i += 64) {
      const std::uint64_t word = load_bits_64(of_row, i);
      for (int line = 0; fetches && line < static_cast<int>(sizeof(Item)); ++line)
        prefetch(reinterpret_cast<const char*>(next + i) + 64 * line);
      for (int k = 0; k < 64; k += kLanes) stored.take(load(from + i + k), static_cast<std::uint32_t>(word >> k) & 0xffff);
    }
    for (; i + kLanes <= extent.cols; i += kLanes) stored.take(load(from + i), load_bits(of_row, i, Full{}));
    if (const auto left = static_cast<int>(extent.cols % kLanes); left > 0) {
      const Partial rest{left};
      stored.take(load(from + i, rest), load_bits(of_row, i, rest) & ((1u << left) - 1));
    }
  }
}

template <class Item>
TERSOR_INLINE std::uint32_t nonzero_bits(Lanes<Item> items) noexcept {
  return bits_greater(items & splat(static_cast<Item>(kMagnitudeMask<UnsignedOf<Item>>)), splat(Item{0}));
}

template <class Item>
std::int64_t compress_nonzeros(ConstRows w, Rows bits, Extent extent, std::byte* values) noexcept {
  auto* const begin = reinterpret_cast<Item*>(values);
  Item* next = begin;
  for (std::int64_t r = 0; r < extent.rows; ++r) {
    const Item* from = w.row<Item>(r);
    map_bits(bits.row<std::uint8_t>(r), extent.cols, [&](std::int64_t i, auto lanes) TERSOR_LAMBDA {
      prefetch_ahead(from + i);
      const auto items = load(from + i, lanes);
      const std::uint32_t nonzero = nonzero_bits(items);
      next = compress_store(next, items, nonzero);
      return nonzero;
    });
  }
  return next - begin;
}

// --- half of every group ----------------------------------------------------------------------------------------------

TERSOR_INLINE std::uint64_t overfull_groups(std::uint64_t nonzero, Half half) noexcept {
  return half == Half::kOfPairs ? overfull_pairs(nonzero) : overfull_quads(nonzero);
}
TERSOR_INLINE std::uint64_t keep_of_groups(std::uint64_t nonzero, Half half) noexcept {
  if (half == Half::kOfPairs) return keep_of_pairs(nonzero);
  return keep_of_quads(nonzero, half == Half::kOfQuadsToThird ? Companion::kThird : Companion::kFourth);
}

// 64 columns of a row; those behind its end are 0.
template <class Item>
struct WordOfItems {
  static constexpr int kParts = 64 / kLanes;
  Lanes<Item> part[kParts];

  TERSOR_INLINE std::uint64_t nonzeros() const noexcept {
    std::uint64_t bits = 0;
    for (int k = 0; k < kParts; ++k) bits |= static_cast<std::uint64_t>(nonzero_bits(part[k])) << (k * kLanes);
    return bits;
  }
  // Where each part stores just as many items as are left out, its place is known before its bits are.
  TERSOR_INLINE void store_half(Item* to, std::uint64_t keep) const noexcept {
    for (int k = 0; k < kParts; ++k)
      compress_store(to + k * kLanes / 2, part[k], static_cast<std::uint32_t>(keep >> (k * kLanes)) & 0xffff);
  }
};
template <class Item>
TERSOR_INLINE WordOfItems<Item> load_word(const Item* from, std::int64_t count) noexcept {
  WordOfItems<Item> word;
  for (int k = 0; k < WordOfItems<Item>::kParts; ++k) {
    const std::int64_t left = count - k * kLanes;
    word.part[k] = left >= kLanes ? load(from + k * kLanes)
                   : left > 0     ? load(from + k * kLanes, Partial{static_cast<int>(left)})
                                  : splat(Item{0});
  }
  return word;
}

template <class Item, Half kHalf>
std::int64_t compress_half_of(const Item* from, std::int64_t cols, std::uint64_t* bits, Item* to) noexcept {
  std::int64_t i = 0;
  for (; i + 64 + kLanes <= cols; i += 64) {  // what is written behind a word's items gives way to the next one's
    for (int k = 0; k < 64; k += kLanes) prefetch_ahead(from + i + k);
    const auto word = load_word(from + i, 64);
    const std::uint64_t nonzero = word.nonzeros();
    if (const std::uint64_t overfull = overfull_groups(nonzero, kHalf)) return i + __builtin_ctzll(overfull);
    bits[i / 64] = keep_of_groups(nonzero, kHalf);
    word.store_half(to + i / 2, bits[i / 64]);
  }
  for (; i < cols; i += 64) {
    const std::int64_t count = cols - i < 64 ? cols - i : 64;
    const auto word = load_word(from + i, count);
    const std::uint64_t nonzero = word.nonzeros();
    if (const std::uint64_t overfull = overfull_groups(nonzero, kHalf)) return i + __builtin_ctzll(overfull);
    const std::uint64_t keep = keep_of_groups(nonzero, kHalf);  // groups that are not there count as zeros
    bits[i / 64] = keep & (~std::uint64_t{0} >> (64 - count));
    alignas(64) Item buffer[32 + kCompressSlack];
    word.store_half(buffer, keep);
    std::memcpy(to + i / 2, buffer, static_cast<std::size_t>(count / 2) * sizeof(Item));
  }
  return -1;
}

template <class Item>
std::int64_t compress_half(const std::byte* w, std::int64_t cols, Half half, std::uint64_t* bits, std::byte* values) noexcept {
  const auto* from = reinterpret_cast<const Item*>(w);
  auto* const to = reinterpret_cast<Item*>(values);
  switch (half) {
    case Half::kOfPairs: return compress_half_of<Item, Half::kOfPairs>(from, cols, bits, to);
    case Half::kOfQuadsToThird: return compress_half_of<Item, Half::kOfQuadsToThird>(from, cols, bits, to);
    default: return compress_half_of<Item, Half::kOfQuadsToFourth>(from, cols, bits, to);
  }
}

// -----------------------------------------------------------------------------------------------------------------------

void copy(const std::byte* from, std::byte* to, std::int64_t bytes, Store mode) noexcept {
  const auto* items = reinterpret_cast<const std::uint8_t*>(from);
  map_row(reinterpret_cast<std::uint8_t*>(to), bytes, mode,
          [=](std::int64_t i, auto lanes) TERSOR_LAMBDA { return load(items + i, lanes); });
}

template <class Item>
void expand(const std::byte* values, std::int64_t count, ConstRows bits, Rows out, Extent extent, Store mode) noexcept {
  const Item* next = reinterpret_cast<const Item*>(values);
  const Item* const end = next + count;
  for (std::int64_t r = 0; r < extent.rows; ++r) {
    const std::uint8_t* of_row = bits.row<std::uint8_t>(r);
    map_row(out.row<Item>(r), extent.cols, mode, [&](std::int64_t i, auto lanes) TERSOR_LAMBDA {
      const std::uint32_t of_lanes = load_bits(of_row, i, lanes) & ((1u << lanes.count) - 1);
      prefetch_ahead(next);
      const auto items = end - next >= kLanes ? expand_load_ahead(next, of_lanes) : expand_load(next, of_lanes);
      next += __builtin_popcount(of_lanes);
      return items;
    });
  }
}

}  // namespace

constinit const CompressKernels compress_kernels{
    .compress_nonzeros = {compress_nonzeros<std::int32_t>, compress_nonzeros<std::int16_t>, compress_nonzeros<std::int16_t>,
                          compress_nonzeros<std::int64_t>},
    .compress = {compress<std::int32_t>, compress<std::int16_t>, compress<std::int16_t>, compress<std::int64_t>},
    .compress_half = {compress_half<std::int32_t>, compress_half<std::int16_t>, compress_half<std::int16_t>,
                      compress_half<std::int64_t>},
    .copy = copy,
    .expand = {expand<std::uint32_t>, expand<std::uint16_t>, expand<std::uint16_t>, expand<std::uint64_t>},
};

}  // namespace tersor::cpu::TERSOR_LEVEL
