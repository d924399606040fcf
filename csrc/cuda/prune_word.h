#pragma once
// Pruning by magnitude on bits: with the sign cleared, the bits of floats are ordered like their values, and NaN lies above all of
// them, so it stays.

#include "cuda/formats.h"

namespace tersor::cuda {

// What a thread compares with, for items of `Bits`.
template <class Bits>
struct PruneThreshold;

template <>
struct PruneThreshold<std::uint64_t> {
  std::uint64_t least;
  TERSOR_HOST_DEVICE explicit PruneThreshold(std::uint64_t bits) noexcept : least(bits) {}
  TERSOR_HOST_DEVICE Packet operator()(Packet packet) const noexcept {
#pragma unroll
    for (int i = 0; i < 2; ++i) {
      const auto item = item_of<std::uint64_t>(packet, i);
      set_item<std::uint64_t>(packet, i, (item & ~(std::uint64_t{1} << 63)) >= least ? item : 0);
    }
    return packet;
  }
};

template <>
struct PruneThreshold<std::uint32_t> {
  std::uint32_t least;
  TERSOR_HOST_DEVICE explicit PruneThreshold(std::uint64_t bits) noexcept : least(static_cast<std::uint32_t>(bits)) {}
  TERSOR_HOST_DEVICE Packet operator()(Packet packet) const noexcept {
#pragma unroll
    for (std::uint32_t& word : packet.word)
      if ((word & 0x7fffffffu) < least) word = 0;
    return packet;
  }
};

// Two items a word: with the sign bit set in place of the sign, the difference keeps it exactly where the item is large enough, and
// never borrows from its neighbour.
template <>
struct PruneThreshold<std::uint16_t> {
  std::uint32_t least;  // in both halves
  TERSOR_HOST_DEVICE explicit PruneThreshold(std::uint64_t bits) noexcept : least(static_cast<std::uint32_t>(bits) * 0x10001u) {}
  TERSOR_HOST_DEVICE Packet operator()(Packet packet) const noexcept {
#pragma unroll
    for (std::uint32_t& word : packet.word) {
      const std::uint32_t kept = (((word | 0x80008000u) - least) & 0x80008000u) >> 15;  // 1 or 0 in each half
      word &= kept * 0xffffu;
    }
    return packet;
  }
};

}  // namespace tersor::cuda
