#pragma once
// NEON (Armv8.2): what vector extensions lack, on 16-byte registers. Included by simd.h alone.

#include <arm_neon.h>

namespace tersor::cpu::TERSOR_LEVEL {

TERSOR_INLINE F32 mul_add(F32 a, F32 b, F32 c) noexcept {
  for (int r = 0; r < 4; ++r) c.reg[r] = vfmaq_f32(c.reg[r], a.reg[r], b.reg[r]);
  return c;
}
TERSOR_INLINE F64 mul_add(F64 a, F64 b, F64 c) noexcept {
  for (int r = 0; r < 8; ++r) c.reg[r] = vfmaq_f64(c.reg[r], a.reg[r], b.reg[r]);
  return c;
}

TERSOR_INLINE F32 round_half_even(F32 a) noexcept {
  for (auto& reg : a.reg) reg = vrndnq_f32(reg);
  return a;
}
TERSOR_INLINE F64 round_half_even(F64 a) noexcept {
  for (auto& reg : a.reg) reg = vrndnq_f64(reg);
  return a;
}

template <class T>
Lanes<T> promote(I8 a) noexcept;
template <>
TERSOR_INLINE I16 promote<std::int16_t>(I8 a) noexcept {
  const int8x16_t bytes = (int8x16_t)a.reg[0];
  return {{(I16::Register)vmovl_s8(vget_low_s8(bytes)), (I16::Register)vmovl_high_s8(bytes)}};
}
template <>
TERSOR_INLINE I32 promote<std::int32_t>(I8 a) noexcept {
  const I16 words = promote<std::int16_t>(a);
  I32 wide;
  for (int r = 0; r < 2; ++r) {
    const int16x8_t half = (int16x8_t)words.reg[r];
    wide.reg[2 * r] = (I32::Register)vmovl_s16(vget_low_s16(half));
    wide.reg[2 * r + 1] = (I32::Register)vmovl_high_s16(half);
  }
  return wide;
}
template <>
TERSOR_INLINE I64 promote<std::int64_t>(I8 a) noexcept {
  const I32 words = promote<std::int32_t>(a);
  I64 wide;
  for (int r = 0; r < 4; ++r) {
    const int32x4_t half = (int32x4_t)words.reg[r];
    wide.reg[2 * r] = (I64::Register)vmovl_s32(vget_low_s32(half));
    wide.reg[2 * r + 1] = (I64::Register)vmovl_high_s32(half);
  }
  return wide;
}

TERSOR_INLINE I8 demote(I16 a) noexcept {
  return {{(I8::Register)vmovn_high_s16(vmovn_s16((int16x8_t)a.reg[0]), (int16x8_t)a.reg[1])}};
}
TERSOR_INLINE I8 demote(I32 a) noexcept {
  I16 words;
  for (int r = 0; r < 2; ++r)
    words.reg[r] = (I16::Register)vmovn_high_s32(vmovn_s32((int32x4_t)a.reg[2 * r]), (int32x4_t)a.reg[2 * r + 1]);
  return demote(words);
}
TERSOR_INLINE I8 demote(I64 a) noexcept {
  I32 words;
  for (int r = 0; r < 4; ++r)
    words.reg[r] = (I32::Register)vmovn_high_s64(vmovn_s64((int64x2_t)a.reg[2 * r]), (int64x2_t)a.reg[2 * r + 1]);
  return demote(words);
}

TERSOR_INLINE U64 multiply_low_halves(U64 a, U64 b) noexcept {
  for (int r = 0; r < 8; ++r) a.reg[r] = (U64::Register)vmull_u32(vmovn_u64((uint64x2_t)a.reg[r]), vmovn_u64((uint64x2_t)b.reg[r]));
  return a;
}

TERSOR_INLINE U32 promote_u32(U16 a) noexcept {
  U32 wide;
  for (int r = 0; r < 2; ++r) {
    const uint16x8_t half = (uint16x8_t)a.reg[r];
    wide.reg[2 * r] = (U32::Register)vmovl_u16(vget_low_u16(half));
    wide.reg[2 * r + 1] = (U32::Register)vmovl_high_u16(half);
  }
  return wide;
}
TERSOR_INLINE U16 demote_u16(U32 a) noexcept {
  U16 narrow;
  for (int r = 0; r < 2; ++r)
    narrow.reg[r] = (U16::Register)vmovn_high_u32(vmovn_u32((uint32x4_t)a.reg[2 * r]), (uint32x4_t)a.reg[2 * r + 1]);
  return narrow;
}

TERSOR_INLINE U16x32 high_halves(U32 a, U32 b) noexcept {
  return concat(demote_u16(shift_right<16>(a)), demote_u16(shift_right<16>(b)));
}

TERSOR_INLINE I32 to_int32(F32 a) noexcept {
  I32 result;
  for (int r = 0; r < 4; ++r) result.reg[r] = (I32::Register)vcvtnq_s32_f32(a.reg[r]);
  return result;
}
TERSOR_INLINE F32 to_float(I32 a) noexcept {
  F32 result;
  for (int r = 0; r < 4; ++r) result.reg[r] = vcvtq_f32_s32((int32x4_t)a.reg[r]);
  return result;
}

TERSOR_INLINE F64 promote_f64(F32 a) noexcept {
  F64 wide;
  for (int r = 0; r < 4; ++r) {
    wide.reg[2 * r] = vcvt_f64_f32(vget_low_f32(a.reg[r]));
    wide.reg[2 * r + 1] = vcvt_high_f64_f32(a.reg[r]);
  }
  return wide;
}
TERSOR_INLINE F32 demote_f32(F64 a) noexcept {
  F32 narrow;
  for (int r = 0; r < 4; ++r) narrow.reg[r] = vcvt_high_f32_f64(vcvt_f32_f64(a.reg[2 * r]), a.reg[2 * r + 1]);
  return narrow;
}

// A mask's bits: each lane keeps the bit of its own place, and the halves are summed.
TERSOR_INLINE std::uint32_t bits_of(I8 mask) noexcept {
  const uint8x16_t own_bit = vreinterpretq_u8_u64(vdupq_n_u64(0x8040201008040201ull));
  const uint8x16_t sign = vreinterpretq_u8_s8(vshrq_n_s8((int8x16_t)mask.reg[0], 7));
  const uint8x16_t kept = vandq_u8(sign, own_bit);
  return static_cast<std::uint32_t>(vaddv_u8(vget_low_u8(kept))) | static_cast<std::uint32_t>(vaddv_u8(vget_high_u8(kept))) << 8;
}
TERSOR_INLINE I8 mask_of_bits(std::uint32_t bits) noexcept {
  const uint8x16_t own_bit = vreinterpretq_u8_u64(vdupq_n_u64(0x8040201008040201ull));
  const uint8x16_t spread =
      vcombine_u8(vdup_n_u8(static_cast<std::uint8_t>(bits)), vdup_n_u8(static_cast<std::uint8_t>(bits >> 8)));
  return {{(I8::Register)vreinterpretq_s8_u8(vtstq_u8(spread, own_bit))}};
}

TERSOR_INLINE std::uint64_t bits_of(I8x64 mask) noexcept {
  std::uint64_t bits = 0;
  for (int r = 0; r < 4; ++r) bits |= std::uint64_t{bits_of(I8{{mask.reg[r]}})} << (16 * r);
  return bits;
}
template <class T>
TERSOR_INLINE std::uint32_t bits_of(Lanes<T> mask) noexcept {
  return bits_of(demote(mask));
}
template <class T>
TERSOR_INLINE bool all_of(Lanes<T> mask) noexcept {
  for (const auto reg : mask.reg) mask.reg[0] &= reg;
  return vminvq_u32((uint32x4_t)mask.reg[0]) == ~std::uint32_t{0};
}
TERSOR_INLINE I8x64 mask_of_bits_64(std::uint64_t bits) noexcept {
  I8x64 mask;
  for (int r = 0; r < 4; ++r) mask.reg[r] = mask_of_bits(static_cast<std::uint16_t>(bits >> (16 * r))).reg[0];
  return mask;
}

TERSOR_INLINE U16x32 promote_u16(U8x32 a) noexcept {
  U16x32 wide;
  for (int r = 0; r < 2; ++r) {
    wide.reg[2 * r] = (U16x32::Register)vmovl_u8(vget_low_u8((uint8x16_t)a.reg[r]));
    wide.reg[2 * r + 1] = (U16x32::Register)vmovl_high_u8((uint8x16_t)a.reg[r]);
  }
  return wide;
}
TERSOR_INLINE U8x32 demote_u8(U16x32 a) noexcept {
  U8x32 narrow;
  for (int r = 0; r < 2; ++r)
    narrow.reg[r] = (U8x32::Register)vmovn_high_u16(vmovn_u16((uint16x8_t)a.reg[2 * r]), (uint16x8_t)a.reg[2 * r + 1]);
  return narrow;
}

// Arm has no store that is weakly ordered past the caches; the write buffer merges whole lines of ordinary ones.
template <class T, int N>
TERSOR_INLINE void stream(T* to, Lanes<T, N> lanes) noexcept {
  store(to, lanes, Full{});
}
TERSOR_INLINE void prefetch(const void* from) noexcept { __builtin_prefetch(from, 0, 2); }

}  // namespace tersor::cpu::TERSOR_LEVEL

#include "cpu/simd_buffer.h"
#include "cpu/simd_half_integer.h"
