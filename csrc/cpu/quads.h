#pragma once
// Groups of two or four columns as bits, sixteen groups of four in a word: which entries 2:4 storage keeps, and their codes.
// Column i of a group is bit i. Kernels are compiled with instruction-set flags: what they share with ops is always inlined.

#include <cstdint>

namespace tersor::cpu {

// One bit a group of four.
inline constexpr std::uint64_t kEachQuad = 0x1111111111111111;
inline constexpr std::uint64_t kEachPair = 0x5555555555555555;

// Groups with more than two non-zeros, as their lowest bits.
__attribute__((always_inline)) constexpr std::uint64_t overfull_quads(std::uint64_t nonzero) noexcept {
  const std::uint64_t a = nonzero, b = nonzero >> 1, c = nonzero >> 2, d = nonzero >> 3;
  return ((a & b & (c | d)) | (c & d & (a | b))) & kEachQuad;
}
__attribute__((always_inline)) constexpr std::uint64_t overfull_pairs(std::uint64_t nonzero) noexcept {
  return nonzero & nonzero >> 1 & kEachPair;
}

// Zeros that are kept along where a group has fewer than two non-zeros. Both layouts take the last two columns of a group without
// non-zeros, and of one whose only one is the third or fourth; the first goes with the third. Of the second column torch.topk, and
// so compressed-tensors, makes the fourth the companion, torch for CUTLASS the third.
enum class Companion : std::uint8_t { kThird, kFourth };
__attribute__((always_inline)) constexpr std::uint64_t keep_of_quads(std::uint64_t nonzero, Companion of_second) noexcept {
  const std::uint64_t a = nonzero & kEachQuad, b = nonzero >> 1 & kEachQuad;
  const std::uint64_t c = nonzero >> 2 & kEachQuad, d = nonzero >> 3 & kEachQuad;
  const std::uint64_t first_two_are_zeros = ~(a | b) & kEachQuad, only_a = a & ~(b | c | d), only_b = b & ~(a | c | d);
  const bool to_fourth = of_second == Companion::kFourth;
  return nonzero | (first_two_are_zeros | only_a | (to_fourth ? 0 : only_b)) << 2 |
         (first_two_are_zeros | (to_fourth ? only_b : 0)) << 3;
}
// One of two: the second where both are zeros.
__attribute__((always_inline)) constexpr std::uint64_t keep_of_pairs(std::uint64_t nonzero) noexcept {
  return nonzero | (~nonzero & kEachPair) << 1;
}

// Two bits for the place of each of two kept entries, the first in the lower ones.
__attribute__((always_inline)) constexpr std::uint64_t codes_of_quads(std::uint64_t keep) noexcept {
  const std::uint64_t a = keep & kEachQuad, b = keep >> 1 & kEachQuad, c = keep >> 2 & kEachQuad, d = keep >> 3 & kEachQuad;
  const std::uint64_t neither = ~(a | b) & kEachQuad;
  return (b & ~a) | neither << 1 | ((d | ~c) & kEachQuad) << 2 | (c | d) << 3;
}
// Groups whose code names no two places in order, as their lowest bits.
__attribute__((always_inline)) constexpr std::uint64_t invalid_codes(std::uint64_t codes) noexcept {
  const std::uint64_t first_low = codes, first_high = codes >> 1, second_low = codes >> 2, second_high = codes >> 3;
  const std::uint64_t high_differs = first_high ^ second_high;
  return ~((second_high & high_differs) | (~high_differs & second_low & ~first_low)) & kEachQuad;
}
__attribute__((always_inline)) constexpr std::uint64_t keep_of_codes(std::uint64_t codes) noexcept {
  const std::uint64_t first_low = codes & kEachQuad, first_high = codes >> 1 & kEachQuad;
  const std::uint64_t second_low = codes >> 2 & kEachQuad, second_high = codes >> 3 & kEachQuad;
  const std::uint64_t a = ~(first_low | first_high) & kEachQuad, b = first_low & ~first_high, c = first_high & ~first_low;
  return a | (b | (second_low & ~second_high)) << 1 | (c | (second_high & ~second_low)) << 2 | (second_low & second_high) << 3;
}

// The lower 32 bits, each twice: an entry of float32 counts as two.
__attribute__((always_inline)) constexpr std::uint64_t double_bits(std::uint64_t bits) noexcept {
  bits &= 0xffffffff;
  bits = (bits | bits << 16) & 0x0000ffff0000ffff;
  bits = (bits | bits << 8) & 0x00ff00ff00ff00ff;
  bits = (bits | bits << 4) & 0x0f0f0f0f0f0f0f0f;
  bits = (bits | bits << 2) & 0x3333333333333333;
  bits = (bits | bits << 1) & 0x5555555555555555;
  return bits | bits << 1;
}
// Every other bit: the way back.
__attribute__((always_inline)) constexpr std::uint64_t halve_bits(std::uint64_t bits) noexcept {
  bits &= 0x5555555555555555;
  bits = (bits | bits >> 1) & 0x3333333333333333;
  bits = (bits | bits >> 2) & 0x0f0f0f0f0f0f0f0f;
  bits = (bits | bits >> 4) & 0x00ff00ff00ff00ff;
  bits = (bits | bits >> 8) & 0x0000ffff0000ffff;
  return (bits | bits >> 16) & 0xffffffff;
}

// Where CUTLASS's sm80 kernels want the 16-bit word of 16 columns: rows of each 32 interleaved four at a time, the corners of
// blocks of 2 x 2 swapped, pairs of columns one after the other.
__attribute__((always_inline)) constexpr std::int64_t cutlass_place(std::int64_t row, std::int64_t col,
                                                                    std::int64_t rows) noexcept {
  std::int64_t r = row / 32 * 32 + row % 8 * 4 + row % 32 / 8;
  if (r % 2 == 0 && col % 2 == 1)
    ++r, --col;
  else if (r % 2 == 1 && col % 2 == 0)
    --r, ++col;
  return col / 2 * rows * 2 + r * 2 + col % 2;
}

}  // namespace tersor::cpu
