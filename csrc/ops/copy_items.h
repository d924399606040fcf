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
