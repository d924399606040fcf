#pragma once
// Row loops that several families share: 16 lanes at a time, a partial load at the end, and streaming stores where asked for.

#include "core/store.h"
#include "cpu/rows.h"
#include "cpu/simd.h"

namespace tersor::cpu::TERSOR_LEVEL {

inline constexpr int kUnroll = 4;

// Counts that lanes of a comparison's width can hold, and what lanes of such counts add up to.
template <class Count>
inline constexpr std::int64_t kMostCounts = sizeof(Count) == 1 ? 127 : 32767;
template <class Count>
TERSOR_INLINE std::int64_t total_of(Lanes<Count> counts) noexcept {
  alignas(64) Count lanes[kLanes];
  store(lanes, counts);
  std::int64_t total = 0;
  for (const Count lane : lanes) total += lane;
  return total;
}

// How far ahead of use lines are asked for, into L2, where the processor's own prefetching falls behind: it stops at the end of a
// page, and follows a few streams only. Measured where it is used.
inline constexpr std::int64_t kPrefetchBytes = 2048;

// The lines of 16 items that far on.
template <class T>
TERSOR_INLINE void prefetch_ahead(const T* from) noexcept {
  for (int byte = 0; byte < kLanes * static_cast<int>(sizeof(T)); byte += 64)
    prefetch(reinterpret_cast<const char*>(from) + kPrefetchBytes + byte);
}

// Items before `to` is aligned to a cache line, or -1 where it never is.
template <class T>
TERSOR_INLINE std::int64_t items_to_line(const T* to) noexcept {
  const auto past = static_cast<std::int64_t>(reinterpret_cast<std::uintptr_t>(to) % 64);
  if (past % static_cast<std::int64_t>(sizeof(T))) return -1;
  return past ? (64 - past) / static_cast<std::int64_t>(sizeof(T)) : 0;
}

// Groups of 16 lanes in one step of a map. Where 16 numbers fill four registers they are steps enough, and more of them cost code
// alone: half of the time to compile.
inline constexpr int kMapUnroll = kVectorBytes == 16 ? 1 : kUnroll;

// out[i] = compute(i, lanes): lanes is Full for whole groups, Partial for the last few. Reads what it writes only at the same
// place, so that out may be an input.
template <class T, class Compute>
TERSOR_INLINE void map_few(T* out, std::int64_t begin, std::int64_t end, Compute compute) noexcept {
  std::int64_t i = begin;
  for (; i + kLanes <= end; i += kLanes) store(out + i, compute(i, Full{}));
  if (i < end) {
    const Partial rest{static_cast<int>(end - i)};
    store(out + i, compute(i, rest), rest);
  }
}

template <class T, class Compute>
TERSOR_INLINE void map_cached(T* out, std::int64_t begin, std::int64_t end, Compute compute) noexcept {
  std::int64_t i = begin;
  if constexpr (kMapUnroll > 1)
    for (; i + kMapUnroll * kLanes <= end; i += kMapUnroll * kLanes)
      for (int k = 0; k < kMapUnroll; ++k) store(out + i + k * kLanes, compute(i + k * kLanes, Full{}));
  map_few(out, i, end, compute);
}

// Lanes that fill a cache line, or the 16 that take more than one: a line that streaming stores fill in parts may go out in parts.
template <class T>
inline constexpr int kLineLanes = sizeof(T) >= 4 ? kLanes : 64 / static_cast<int>(sizeof(T));

template <class T, class Compute>
TERSOR_INLINE auto compute_line(std::int64_t i, Compute compute) noexcept {
  if constexpr (sizeof(T) >= 4)
    return compute(i, Full{});
  else if constexpr (sizeof(T) == 2) {
    const auto first = compute(i, Full{});
    return concat(first, compute(i + kLanes, Full{}));
  } else {
    const auto first = compute(i, Full{});
    const auto second = compute(i + kLanes, Full{});
    const auto third = compute(i + 2 * kLanes, Full{});
    return concat(concat(first, second), concat(third, compute(i + 3 * kLanes, Full{})));
  }
}

// Lines at the ends of a row that are written in part are fetched first, and what is streamed between them waits: rows of 128
// floats, one after the other, take 5 times as long as when they are stored to the caches, of 512 twice. So short rows are streamed
// where they have none; large NumPy arrays begin 16 bytes into a line.
template <class T>
TERSOR_INLINE bool may_stream(const T* out, std::int64_t cols) noexcept {
  constexpr std::int64_t kLongRowBytes = 4096;
  const std::int64_t bytes = cols * static_cast<std::int64_t>(sizeof(T));
  return bytes >= kLongRowBytes || (reinterpret_cast<std::uintptr_t>(out) | static_cast<std::uintptr_t>(bytes)) % 64 == 0;
}

// Calls compute in the order of the columns: it may carry a state from one group to the next. Streams whole cache lines where asked
// to, and what lies before and after them goes through the one loop that every other mode takes: `compute` is inlined with each
// copy.
template <class T, class Compute>
TERSOR_INLINE void map_row(T* out, std::int64_t cols, Store mode, Compute compute) noexcept {
  constexpr std::int64_t kStep = kLineLanes<T> > kMapUnroll * kLanes ? kLineLanes<T> : kMapUnroll * kLanes;
  const std::int64_t head = mode == Store::kStreaming && may_stream(out, cols) ? items_to_line(out) : -1;
  const bool streams = head >= 0 && head + kStep <= cols;
  std::int64_t i = 0, end = streams ? head : cols;
  for (;;) {
    map_cached(out, i, end, compute);
    if (end == cols) return;
    for (i = end; i + kStep <= cols; i += kStep)
      for (std::int64_t k = 0; k < kStep; k += kLineLanes<T>) stream(out + i + k, compute_line<T>(i + k, compute));
    end = cols;
  }
}

// out: one bit a column, least significant first, the last byte padded with 0. bits(i, lanes) gives those of 16 columns.
template <class Bits>
TERSOR_INLINE void map_bits(std::uint8_t* out, std::int64_t cols, Bits bits) noexcept {
  std::int64_t i = 0;
  for (; i + 64 <= cols; i += 64) {
    std::uint64_t word = 0;
    for (int k = 0; k < 4; ++k) word |= static_cast<std::uint64_t>(bits(i + 16 * k, Full{})) << (16 * k);
    std::memcpy(out + i / 8, &word, sizeof word);
  }
  for (; i < cols; i += kLanes) {
    const std::int64_t left = cols - i;
    const std::uint32_t last = left >= kLanes ? bits(i, Full{}) : bits(i, Partial{static_cast<int>(left)}) & ((1u << left) - 1);
    out[i / 8] = static_cast<std::uint8_t>(last);
    if (left > 8) out[i / 8 + 1] = static_cast<std::uint8_t>(last >> 8);
  }
}

// 64 bits from column `col` on. Reads no byte that holds none of them.
TERSOR_INLINE std::uint64_t load_bits_64(const std::uint8_t* from, std::int64_t col) noexcept {
  std::uint64_t bits;
  std::memcpy(&bits, from + col / 8, sizeof bits);
  const int shift = static_cast<int>(col % 8);
  if (!shift) return bits;
  return bits >> shift | static_cast<std::uint64_t>(from[col / 8 + 8]) << (64 - shift);
}

// 16 bits from column `col` on. Reads no byte that holds none of them.
TERSOR_INLINE std::uint32_t load_bits(const std::uint8_t* from, std::int64_t col, Full) noexcept {
  std::uint16_t low;
  std::memcpy(&low, from + col / 8, sizeof low);
  const int shift = static_cast<int>(col % 8);
  std::uint32_t bits = low;
  if (shift) bits |= static_cast<std::uint32_t>(from[col / 8 + 2]) << 16;
  return (bits >> shift) & 0xffff;
}
TERSOR_INLINE std::uint32_t load_bits(const std::uint8_t* from, std::int64_t col, Partial lanes) noexcept {
  std::uint32_t bits = 0;
  for (std::int64_t i = 0; i <= (col % 8 + lanes.count - 1) / 8; ++i)
    bits |= static_cast<std::uint32_t>(from[col / 8 + i]) << (8 * i);
  return (bits >> (col % 8)) & 0xffff;
}

// The bits of the last columns of a row, less than 64, from a whole byte on; padding becomes 0.
TERSOR_INLINE std::uint64_t load_last_bits(const std::uint8_t* from, std::int64_t cols) noexcept {
  std::uint64_t bits = 0;
  for (std::int64_t i = 0; i < (cols + 7) / 8; ++i) bits |= static_cast<std::uint64_t>(from[i]) << (8 * i);
  return bits & ((std::uint64_t{1} << cols) - 1);
}

TERSOR_INLINE std::int64_t count_bits(const std::uint8_t* bits, std::int64_t cols) noexcept {
  std::int64_t count = 0, i = 0;
  for (; i + 64 <= cols; i += 64) count += __builtin_popcountll(load_bits_64(bits, i));
  return i < cols ? count + __builtin_popcountll(load_last_bits(bits + i / 8, cols - i)) : count;
}

}  // namespace tersor::cpu::TERSOR_LEVEL
