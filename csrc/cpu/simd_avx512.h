#pragma once
// AVX-512 (x86-64-v4 + VNNI, VBMI, VBMI2, BITALG): what vector extensions lack, on 64-byte registers. Included by simd.h alone.

#include <immintrin.h>

namespace tersor::cpu::TERSOR_LEVEL {

TERSOR_INLINE F32 mul_add(F32 a, F32 b, F32 c) noexcept { return {{_mm512_fmadd_ps(a.reg[0], b.reg[0], c.reg[0])}}; }
TERSOR_INLINE F64 mul_add(F64 a, F64 b, F64 c) noexcept {
  for (int r = 0; r < 2; ++r) c.reg[r] = _mm512_fmadd_pd(a.reg[r], b.reg[r], c.reg[r]);
  return c;
}

TERSOR_INLINE F32 round_half_even(F32 a) noexcept {
  return {{_mm512_roundscale_ps(a.reg[0], _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC)}};
}
TERSOR_INLINE F64 round_half_even(F64 a) noexcept {
  for (auto& reg : a.reg) reg = _mm512_roundscale_pd(reg, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
  return a;
}

template <class T>
Lanes<T> promote(I8 a) noexcept;
template <>
TERSOR_INLINE I16 promote<std::int16_t>(I8 a) noexcept {
  return {{(I16::Register)_mm256_cvtepi8_epi16((__m128i)a.reg[0])}};
}
template <>
TERSOR_INLINE I32 promote<std::int32_t>(I8 a) noexcept {
  return {{(I32::Register)_mm512_cvtepi8_epi32((__m128i)a.reg[0])}};
}
template <>
TERSOR_INLINE I64 promote<std::int64_t>(I8 a) noexcept {
  const __m128i low = (__m128i)a.reg[0];
  return {{(I64::Register)_mm512_cvtepi8_epi64(low), (I64::Register)_mm512_cvtepi8_epi64(_mm_unpackhi_epi64(low, low))}};
}

TERSOR_INLINE I8 demote(I16 a) noexcept { return {{(I8::Register)_mm256_cvtepi16_epi8((__m256i)a.reg[0])}}; }
TERSOR_INLINE I8 demote(I32 a) noexcept { return {{(I8::Register)_mm512_cvtepi32_epi8((__m512i)a.reg[0])}}; }
TERSOR_INLINE I8 demote(I64 a) noexcept {
  return {{(I8::Register)_mm_unpacklo_epi64(_mm512_cvtepi64_epi8((__m512i)a.reg[0]), _mm512_cvtepi64_epi8((__m512i)a.reg[1]))}};
}

TERSOR_INLINE U64 multiply_low_halves(U64 a, U64 b) noexcept {
  for (int r = 0; r < 2; ++r) a.reg[r] = (U64::Register)_mm512_mul_epu32((__m512i)a.reg[r], (__m512i)b.reg[r]);
  return a;
}

TERSOR_INLINE U32 promote_u32(U16 a) noexcept { return {{(U32::Register)_mm512_cvtepu16_epi32((__m256i)a.reg[0])}}; }
TERSOR_INLINE U16 demote_u16(U32 a) noexcept { return {{(U16::Register)_mm512_cvtepi32_epi16((__m512i)a.reg[0])}}; }

TERSOR_INLINE U16x32 high_halves(U32 a, U32 b) noexcept {
  alignas(64) static constexpr std::uint16_t kOdd[32] = {1,  3,  5,  7,  9,  11, 13, 15, 17, 19, 21, 23, 25, 27, 29, 31,
                                                         33, 35, 37, 39, 41, 43, 45, 47, 49, 51, 53, 55, 57, 59, 61, 63};
  return {{(U16x32::Register)_mm512_permutex2var_epi16((__m512i)a.reg[0], _mm512_load_si512(kOdd), (__m512i)b.reg[0])}};
}

TERSOR_INLINE I32 to_int32(F32 a) noexcept { return {{(I32::Register)_mm512_cvtps_epi32(a.reg[0])}}; }
TERSOR_INLINE F32 to_float(I32 a) noexcept { return {{_mm512_cvtepi32_ps((__m512i)a.reg[0])}}; }

TERSOR_INLINE F64 promote_f64(F32 a) noexcept {
  return {{_mm512_cvtps_pd(_mm512_castps512_ps256(a.reg[0])), _mm512_cvtps_pd(_mm512_extractf32x8_ps(a.reg[0], 1))}};
}
TERSOR_INLINE F32 demote_f32(F64 a) noexcept {
  const __m512 low = _mm512_castps256_ps512(_mm512_cvtpd_ps(a.reg[0]));
  return {{_mm512_insertf32x8(low, _mm512_cvtpd_ps(a.reg[1]), 1)}};
}

TERSOR_INLINE F32 from_half(U16 a) noexcept { return {{_mm512_cvtph_ps((__m256i)a.reg[0])}}; }
TERSOR_INLINE U16 to_half(F32 a) noexcept {
  const __mmask16 nan = _mm512_cmp_ps_mask(a.reg[0], a.reg[0], _CMP_UNORD_Q);
  const __m256i half = _mm512_cvtps_ph(a.reg[0], _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
  return {{(U16::Register)_mm256_mask_mov_epi16(half, nan, _mm256_set1_epi16(0x7e00))}};
}

TERSOR_INLINE std::uint32_t bits_of(I8 mask) noexcept { return _mm_movepi8_mask((__m128i)mask.reg[0]); }
TERSOR_INLINE std::uint32_t bits_of(I16 mask) noexcept { return _mm256_movepi16_mask((__m256i)mask.reg[0]); }
TERSOR_INLINE std::uint32_t bits_of(I32 mask) noexcept { return _mm512_movepi32_mask((__m512i)mask.reg[0]); }
TERSOR_INLINE std::uint32_t bits_of(I64 mask) noexcept {
  return static_cast<std::uint32_t>(_mm512_movepi64_mask((__m512i)mask.reg[0])) |
         static_cast<std::uint32_t>(_mm512_movepi64_mask((__m512i)mask.reg[1])) << 8;
}
TERSOR_INLINE std::uint64_t bits_of(I8x64 mask) noexcept { return _mm512_movepi8_mask((__m512i)mask.reg[0]); }
template <class T>
TERSOR_INLINE bool all_of(Lanes<T> mask) noexcept {
  return bits_of(mask) == 0xffff;
}
// Comparisons as bits straight from the mask register: a mask of all ones in between would cost three instructions.
template <class T>
TERSOR_INLINE std::uint32_t bits_greater(Lanes<T> a, Lanes<T> b) noexcept {
  if constexpr (sizeof(T) == 2) return _mm256_cmpgt_epi16_mask((__m256i)a.reg[0], (__m256i)b.reg[0]);
  if constexpr (sizeof(T) == 4) return _mm512_cmpgt_epi32_mask((__m512i)a.reg[0], (__m512i)b.reg[0]);
  if constexpr (sizeof(T) == 8)
    return static_cast<std::uint32_t>(_mm512_cmpgt_epi64_mask((__m512i)a.reg[0], (__m512i)b.reg[0])) |
           static_cast<std::uint32_t>(_mm512_cmpgt_epi64_mask((__m512i)a.reg[1], (__m512i)b.reg[1])) << 8;
}

TERSOR_INLINE I8 mask_of_bits(std::uint32_t bits) noexcept { return {{(I8::Register)_mm_movm_epi8(static_cast<__mmask16>(bits))}}; }
TERSOR_INLINE I8x64 mask_of_bits_64(std::uint64_t bits) noexcept { return {{(I8x64::Register)_mm512_movm_epi8(bits)}}; }

template <class T>
TERSOR_INLINE T* compress_store(T* to, Lanes<T> lanes, std::uint32_t bits) noexcept {
  // Into a register first: vpcompress to memory is microcoded on Zen 4.
  if constexpr (sizeof(T) == 2) {
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(to),
                        _mm256_maskz_compress_epi16(static_cast<__mmask16>(bits), (__m256i)lanes.reg[0]));
  } else if constexpr (sizeof(T) == 4) {
    _mm512_storeu_si512(to, _mm512_maskz_compress_epi32(static_cast<__mmask16>(bits), (__m512i)lanes.reg[0]));
  } else {
    static_assert(sizeof(T) == 8);
    _mm512_storeu_si512(to, _mm512_maskz_compress_epi64(static_cast<__mmask8>(bits), (__m512i)lanes.reg[0]));
    T* const second = to + __builtin_popcount(bits & 0xff);
    _mm512_storeu_si512(second, _mm512_maskz_compress_epi64(static_cast<__mmask8>(bits >> 8), (__m512i)lanes.reg[1]));
  }
  return to + __builtin_popcount(bits);
}

template <class T>
TERSOR_INLINE Lanes<T> expand_load(const T* from, std::uint32_t bits) noexcept {
  if constexpr (sizeof(T) == 2) {
    return {{(typename Lanes<T>::Register)_mm256_maskz_expandloadu_epi16(static_cast<__mmask16>(bits), from)}};
  } else if constexpr (sizeof(T) == 4) {
    return {{(typename Lanes<T>::Register)_mm512_maskz_expandloadu_epi32(static_cast<__mmask16>(bits), from)}};
  } else {
    static_assert(sizeof(T) == 8);
    const T* const second = from + __builtin_popcount(bits & 0xff);
    return {{(typename Lanes<T>::Register)_mm512_maskz_expandloadu_epi64(static_cast<__mmask8>(bits), from),
             (typename Lanes<T>::Register)_mm512_maskz_expandloadu_epi64(static_cast<__mmask8>(bits >> 8), second)}};
  }
}

// A whole load, then an expansion within registers: the load that expands takes 1.1 to 1.3 times as long on Zen 4.
template <class T>
TERSOR_INLINE Lanes<T> expand_load_ahead(const T* from, std::uint32_t bits) noexcept {
  Lanes<T> lanes = load(from);
  if constexpr (sizeof(T) == 2) {
    lanes.reg[0] = (typename Lanes<T>::Register)_mm256_maskz_expand_epi16(static_cast<__mmask16>(bits), (__m256i)lanes.reg[0]);
  } else if constexpr (sizeof(T) == 4) {
    lanes.reg[0] = (typename Lanes<T>::Register)_mm512_maskz_expand_epi32(static_cast<__mmask16>(bits), (__m512i)lanes.reg[0]);
  } else {
    static_assert(sizeof(T) == 8);
    const Lanes<T, 8> second = load<8>(from + __builtin_popcount(bits & 0xff));
    lanes.reg[0] = (typename Lanes<T>::Register)_mm512_maskz_expand_epi64(static_cast<__mmask8>(bits), (__m512i)lanes.reg[0]);
    lanes.reg[1] = (typename Lanes<T>::Register)_mm512_maskz_expand_epi64(static_cast<__mmask8>(bits >> 8), (__m512i)second.reg[0]);
  }
  return lanes;
}

TERSOR_INLINE U32 expand_load_high(const std::uint16_t* from, std::uint32_t bits) noexcept {
  return shift_left<16>(promote_u32(expand_load_ahead(from, bits)));
}

TERSOR_INLINE U16x32 promote_u16(U8x32 a) noexcept { return {{(U16x32::Register)_mm512_cvtepu8_epi16((__m256i)a.reg[0])}}; }
TERSOR_INLINE U8x32 demote_u8(U16x32 a) noexcept { return {{(U8x32::Register)_mm512_cvtepi16_epi8((__m512i)a.reg[0])}}; }

// The permutations look at the low 4 or 3 bits of an index: a table of 8 floats stands twice in its register.
TERSOR_INLINE F32 lookup8(const float (&table)[8], U32 index) noexcept {
  const __m512 values = _mm512_broadcast_f32x8(_mm256_load_ps(table));
  return {{_mm512_permutexvar_ps((__m512i)index.reg[0], values)}};
}
TERSOR_INLINE F64 lookup8(const double (&table)[8], U64 index) noexcept {
  const __m512d values = _mm512_load_pd(table);
  return {{_mm512_permutexvar_pd((__m512i)index.reg[0], values), _mm512_permutexvar_pd((__m512i)index.reg[1], values)}};
}

template <class T, int N>
TERSOR_INLINE void stream(T* to, Lanes<T, N> lanes) noexcept {
  for (int r = 0; r < Lanes<T, N>::kRegisters; ++r) {
    char* place = reinterpret_cast<char*>(to) + r * Lanes<T, N>::kRegisterBytes;
    if constexpr (Lanes<T, N>::kRegisterBytes == 64)
      _mm512_stream_si512(reinterpret_cast<__m512i*>(place), (__m512i)lanes.reg[r]);
    else if constexpr (Lanes<T, N>::kRegisterBytes == 32)
      _mm256_stream_si256(reinterpret_cast<__m256i*>(place), (__m256i)lanes.reg[r]);
    else
      _mm_stream_si128(reinterpret_cast<__m128i*>(place), (__m128i)lanes.reg[r]);
  }
}
// The last few lanes of a row by masks: bit i of present() says whether lane i is there.
TERSOR_INLINE std::uint32_t present(Partial lanes) noexcept { return (1u << lanes.count) - 1; }

template <class T>
TERSOR_INLINE Lanes<T> load(const T* from, Partial lanes) noexcept {
  const std::uint32_t mask = present(lanes);
  Lanes<T> result;
  if constexpr (sizeof(T) == 1) {
    result.reg[0] = (typename Lanes<T>::Register)_mm_maskz_loadu_epi8(static_cast<__mmask16>(mask), from);
  } else if constexpr (sizeof(T) == 2) {
    result.reg[0] = (typename Lanes<T>::Register)_mm256_maskz_loadu_epi16(static_cast<__mmask16>(mask), from);
  } else if constexpr (sizeof(T) == 4) {
    result.reg[0] = (typename Lanes<T>::Register)_mm512_maskz_loadu_epi32(static_cast<__mmask16>(mask), from);
  } else {
    for (int r = 0; r < 2; ++r)
      result.reg[r] = (typename Lanes<T>::Register)_mm512_maskz_loadu_epi64(static_cast<__mmask8>(mask >> (8 * r)), from + 8 * r);
  }
  return result;
}
template <class T>
TERSOR_INLINE void store(T* to, Lanes<T> from, Partial lanes) noexcept {
  const std::uint32_t mask = present(lanes);
  if constexpr (sizeof(T) == 1) {
    _mm_mask_storeu_epi8(to, static_cast<__mmask16>(mask), (__m128i)from.reg[0]);
  } else if constexpr (sizeof(T) == 2) {
    _mm256_mask_storeu_epi16(to, static_cast<__mmask16>(mask), (__m256i)from.reg[0]);
  } else if constexpr (sizeof(T) == 4) {
    _mm512_mask_storeu_epi32(to, static_cast<__mmask16>(mask), (__m512i)from.reg[0]);
  } else {
    for (int r = 0; r < 2; ++r) _mm512_mask_storeu_epi64(to + 8 * r, static_cast<__mmask8>(mask >> (8 * r)), (__m512i)from.reg[r]);
  }
}
template <class T>
TERSOR_INLINE Lanes<T> fill_absent(Lanes<T> value, Partial lanes, T fill) noexcept {
  const std::uint32_t mask = present(lanes);
  const Lanes<T> other = splat(fill);
  if constexpr (sizeof(T) == 4) {
    value.reg[0] = (typename Lanes<T>::Register)_mm512_mask_mov_epi32((__m512i)other.reg[0], static_cast<__mmask16>(mask),
                                                                      (__m512i)value.reg[0]);
  } else if constexpr (sizeof(T) == 2) {
    value.reg[0] = (typename Lanes<T>::Register)_mm256_mask_mov_epi16((__m256i)other.reg[0], static_cast<__mmask16>(mask),
                                                                      (__m256i)value.reg[0]);
  } else {
    static_assert(sizeof(T) == 8);
    for (int r = 0; r < 2; ++r)
      value.reg[r] = (typename Lanes<T>::Register)_mm512_mask_mov_epi64(
          (__m512i)other.reg[r], static_cast<__mmask8>(mask >> (8 * r)), (__m512i)value.reg[r]);
  }
  return value;
}

TERSOR_INLINE void prefetch(const void* from) noexcept { _mm_prefetch(static_cast<const char*>(from), _MM_HINT_T1); }

}  // namespace tersor::cpu::TERSOR_LEVEL
