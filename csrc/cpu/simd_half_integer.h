#pragma once
// IEEE binary16 by integer arithmetic, for levels without a conversion instruction. Bit for bit what F16C gives, but for NaN.

namespace tersor::cpu::TERSOR_LEVEL {

// The exponent is moved by multiplying with 2**112, which is exact for subnormal halves too.
TERSOR_INLINE F32 from_half(U16 half) noexcept {
  const U32 wide = promote_u32(half);
  const U32 sign = shift_left<16>(wide & splat<std::uint32_t>(0x8000));
  const U32 magnitude = shift_left<13>(wide & splat<std::uint32_t>(0x7fff));
  const U32 scaled = bit_cast<std::uint32_t>(bit_cast<float>(magnitude) * splat(0x1p112f));
  const MaskOf<float> special = greater_equal(bit_cast<std::int32_t>(magnitude), splat<std::int32_t>(0x7c00 << 13));
  // NaN keeps its payload and becomes quiet, as the instruction does.
  const MaskOf<float> nan = greater(bit_cast<std::int32_t>(magnitude), splat<std::int32_t>(0x7c00 << 13));
  const U32 quiet = bit_cast<std::uint32_t>(nan & splat<std::int32_t>(0x00400000));
  const U32 infinite = magnitude | splat<std::uint32_t>(0x7f800000) | quiet;
  return bit_cast<float>(select(special, infinite, scaled) | sign);
}

TERSOR_INLINE U16 to_half(F32 value) noexcept {
  const U32 bits = bit_cast<std::uint32_t>(value);
  const U32 sign = shift_right<16>(bits & splat<std::uint32_t>(0x80000000));
  const U32 magnitude = bits & splat<std::uint32_t>(0x7fffffff);
  const I32 ordered = bit_cast<std::int32_t>(magnitude);
  // Normal halves: move the exponent by 112, round the 13 lost bits half to even by carrying into what stays.
  const U32 odd_bit = shift_right<13>(magnitude) & splat<std::uint32_t>(1);
  const U32 normal = shift_right<13>(magnitude - splat<std::uint32_t>(112u << 23) + splat<std::uint32_t>(0xfff) + odd_bit);
  // Subnormal halves: adding 0.5 puts the value at 2**-24 steps of a float, whose own rounding is the wanted one.
  const F32 shifted = bit_cast<float>(magnitude) + splat(0.5f);
  const U32 subnormal = bit_cast<std::uint32_t>(shifted) - splat<std::uint32_t>(0x3f000000);
  U32 half = select(less(ordered, splat<std::int32_t>(113 << 23)), subnormal, normal);
  half = select(greater_equal(ordered, splat<std::int32_t>(0x477ff000)), splat<std::uint32_t>(0x7c00), half);  // 65520 and above
  half = half | sign;
  return demote_u16(select(greater(ordered, splat<std::int32_t>(0x7f800000)), splat<std::uint32_t>(0x7e00), half));
}

}  // namespace tersor::cpu::TERSOR_LEVEL
