#pragma once
// The baseline (x86-64-v2, SSE4.2): what vector extensions lack, on 16-byte registers. Included by simd.h alone.
//
// There is no fused multiply-add here. The C library's fma is correctly rounded on every machine, so the bits are those of the
// other levels, about 17 times slower.

#include <immintrin.h>

#include "cpu/simd_sse_bytes.h"

namespace tersor::cpu::TERSOR_LEVEL {

TERSOR_INLINE float fused(float a, float b, float c) noexcept { return __builtin_fmaf(a, b, c); }
TERSOR_INLINE double fused(double a, double b, double c) noexcept { return __builtin_fma(a, b, c); }

template <class T>
[[gnu::noinline]] Lanes<T> mul_add_each(const Lanes<T>& a, const Lanes<T>& b, const Lanes<T>& c) noexcept {
  alignas(16) T x[kLanes], y[kLanes], z[kLanes];
  store(x, a);
  store(y, b);
  store(z, c);
  for (int i = 0; i < kLanes; ++i) z[i] = fused(x[i], y[i], z[i]);
  return load(z);
}
TERSOR_INLINE F32 mul_add(F32 a, F32 b, F32 c) noexcept { return mul_add_each(a, b, c); }
TERSOR_INLINE F64 mul_add(F64 a, F64 b, F64 c) noexcept { return mul_add_each(a, b, c); }

TERSOR_INLINE F32 round_half_even(F32 a) noexcept {
  for (auto& reg : a.reg) reg = _mm_round_ps(reg, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
  return a;
}
TERSOR_INLINE F64 round_half_even(F64 a) noexcept {
  for (auto& reg : a.reg) reg = _mm_round_pd(reg, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
  return a;
}

template <class T>
Lanes<T> promote(I8 a) noexcept;
template <>
TERSOR_INLINE I16 promote<std::int16_t>(I8 a) noexcept {
  const __m128i bytes = (__m128i)a.reg[0];
  return {{(I16::Register)_mm_cvtepi8_epi16(bytes), (I16::Register)_mm_cvtepi8_epi16(_mm_srli_si128(bytes, 8))}};
}
template <>
TERSOR_INLINE I32 promote<std::int32_t>(I8 a) noexcept {
  const __m128i bytes = (__m128i)a.reg[0];
  return {{(I32::Register)_mm_cvtepi8_epi32(bytes), (I32::Register)_mm_cvtepi8_epi32(_mm_srli_si128(bytes, 4)),
           (I32::Register)_mm_cvtepi8_epi32(_mm_srli_si128(bytes, 8)),
           (I32::Register)_mm_cvtepi8_epi32(_mm_srli_si128(bytes, 12))}};
}
template <>
TERSOR_INLINE I64 promote<std::int64_t>(I8 a) noexcept {
  const __m128i bytes = (__m128i)a.reg[0];
  return {{(I64::Register)_mm_cvtepi8_epi64(bytes), (I64::Register)_mm_cvtepi8_epi64(_mm_srli_si128(bytes, 2)),
           (I64::Register)_mm_cvtepi8_epi64(_mm_srli_si128(bytes, 4)), (I64::Register)_mm_cvtepi8_epi64(_mm_srli_si128(bytes, 6)),
           (I64::Register)_mm_cvtepi8_epi64(_mm_srli_si128(bytes, 8)), (I64::Register)_mm_cvtepi8_epi64(_mm_srli_si128(bytes, 10)),
           (I64::Register)_mm_cvtepi8_epi64(_mm_srli_si128(bytes, 12)),
           (I64::Register)_mm_cvtepi8_epi64(_mm_srli_si128(bytes, 14))}};
}

TERSOR_INLINE I8 demote(I16 a) noexcept { return {{(I8::Register)_mm_packs_epi16((__m128i)a.reg[0], (__m128i)a.reg[1])}}; }
TERSOR_INLINE I8 demote(I32 a) noexcept {
  return {{(I8::Register)_mm_packs_epi16(_mm_packs_epi32((__m128i)a.reg[0], (__m128i)a.reg[1]),
                                         _mm_packs_epi32((__m128i)a.reg[2], (__m128i)a.reg[3]))}};
}
TERSOR_INLINE I8 demote(I64 a) noexcept {
  I32 low;
  for (int r = 0; r < 4; ++r)
    low.reg[r] = (I32::Register)_mm_shuffle_ps((__m128)a.reg[2 * r], (__m128)a.reg[2 * r + 1], _MM_SHUFFLE(2, 0, 2, 0));
  return demote(low);
}

TERSOR_INLINE U64 multiply_low_halves(U64 a, U64 b) noexcept {
  for (int r = 0; r < 8; ++r) a.reg[r] = (U64::Register)_mm_mul_epu32((__m128i)a.reg[r], (__m128i)b.reg[r]);
  return a;
}

TERSOR_INLINE U32 promote_u32(U16 a) noexcept {
  const __m128i low = (__m128i)a.reg[0], high = (__m128i)a.reg[1];
  return {{(U32::Register)_mm_cvtepu16_epi32(low), (U32::Register)_mm_cvtepu16_epi32(_mm_srli_si128(low, 8)),
           (U32::Register)_mm_cvtepu16_epi32(high), (U32::Register)_mm_cvtepu16_epi32(_mm_srli_si128(high, 8))}};
}
TERSOR_INLINE U16 demote_u16(U32 a) noexcept {
  return {{(U16::Register)_mm_packus_epi32((__m128i)a.reg[0], (__m128i)a.reg[1]),
           (U16::Register)_mm_packus_epi32((__m128i)a.reg[2], (__m128i)a.reg[3])}};
}

TERSOR_INLINE U16x32 high_halves(U32 a, U32 b) noexcept {
  return concat(demote_u16(shift_right<16>(a)), demote_u16(shift_right<16>(b)));
}

TERSOR_INLINE I32 to_int32(F32 a) noexcept {
  I32 result;
  for (int r = 0; r < 4; ++r) result.reg[r] = (I32::Register)_mm_cvtps_epi32(a.reg[r]);
  return result;
}
TERSOR_INLINE F32 to_float(I32 a) noexcept {
  F32 result;
  for (int r = 0; r < 4; ++r) result.reg[r] = _mm_cvtepi32_ps((__m128i)a.reg[r]);
  return result;
}

TERSOR_INLINE F64 promote_f64(F32 a) noexcept {
  F64 wide;
  for (int r = 0; r < 4; ++r) {
    wide.reg[2 * r] = _mm_cvtps_pd(a.reg[r]);
    wide.reg[2 * r + 1] = _mm_cvtps_pd(_mm_movehl_ps(a.reg[r], a.reg[r]));
  }
  return wide;
}
TERSOR_INLINE F32 demote_f32(F64 a) noexcept {
  F32 narrow;
  for (int r = 0; r < 4; ++r) narrow.reg[r] = _mm_movelh_ps(_mm_cvtpd_ps(a.reg[2 * r]), _mm_cvtpd_ps(a.reg[2 * r + 1]));
  return narrow;
}

TERSOR_INLINE U16x32 promote_u16(U8x32 a) noexcept {
  const __m128i zero = _mm_setzero_si128();
  U16x32 wide;
  for (int r = 0; r < 2; ++r) {
    wide.reg[2 * r] = (U16x32::Register)_mm_unpacklo_epi8((__m128i)a.reg[r], zero);
    wide.reg[2 * r + 1] = (U16x32::Register)_mm_unpackhi_epi8((__m128i)a.reg[r], zero);
  }
  return wide;
}
TERSOR_INLINE U8x32 demote_u8(U16x32 a) noexcept {
  return {{(U8x32::Register)_mm_packus_epi16((__m128i)a.reg[0], (__m128i)a.reg[1]),
           (U8x32::Register)_mm_packus_epi16((__m128i)a.reg[2], (__m128i)a.reg[3])}};
}

template <class T, int N>
TERSOR_INLINE void stream(T* to, Lanes<T, N> lanes) noexcept {
  for (int r = 0; r < Lanes<T, N>::kRegisters; ++r)
    _mm_stream_si128(reinterpret_cast<__m128i*>(reinterpret_cast<char*>(to) + r * 16), (__m128i)lanes.reg[r]);
}

}  // namespace tersor::cpu::TERSOR_LEVEL

#include "cpu/simd_buffer.h"
#include "cpu/simd_half_integer.h"
