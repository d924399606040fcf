#pragma once
// Two 4-bit codes a byte.

#include "cpu/simd.h"

namespace tersor::cpu::TERSOR_LEVEL {

// Of bytes whose low nibbles are codes. The even column in the low nibble.
TERSOR_INLINE U8x32 join_nibbles(U8x64 q) noexcept {
  const U16x32 pairs = bit_cast<std::uint16_t>(q);
  const U16x32 even = pairs & splat<std::uint16_t, 32>(0x000f);
  const U16x32 odd = shift_right<4>(pairs) & splat<std::uint16_t, 32>(0x00f0);
  return demote_u8(even | odd);
}

// Sign extension of a nibble n: (n ^ 8) - 8. A sign of 0 extends none. Before it the bits of `flip` are exchanged.
TERSOR_INLINE U8x64 split_nibbles(U8x32 packed, U8x64 sign = splat<std::uint8_t, 64>(8),
                                  U8x64 flip = splat<std::uint8_t, 64>(0)) noexcept {
  const U16x32 wide = promote_u16(packed);
  const U16x32 nibbles = (wide | shift_left<4>(wide)) & splat<std::uint16_t, 32>(0x0f0f);
  return (bit_cast<std::uint8_t>(nibbles) ^ (sign ^ flip)) - sign;
}

// Of each byte, the high one for the low one: for codes whose even column is in the high nibble.
TERSOR_INLINE U8x32 swap_nibbles(U8x32 packed) noexcept {
  const U16 pairs = bit_cast<std::uint16_t>(packed);
  const U16 low = splat<std::uint16_t>(0x0f0f);
  return bit_cast<std::uint8_t>(shift_left<4>(pairs & low) | (shift_right<4>(pairs) & low));
}

}  // namespace tersor::cpu::TERSOR_LEVEL
