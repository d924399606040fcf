#pragma once
// AVX2 (x86-64-v3): what vector extensions lack, on 32-byte registers. Included by simd.h alone.

#include <immintrin.h>

#include "cpu/simd_sse_bytes.h"

namespace tersor::cpu::TERSOR_LEVEL {

template <int N>
TERSOR_INLINE Lanes<float, N> mul_add(Lanes<float, N> a, Lanes<float, N> b, Lanes<float, N> c) noexcept {
  for (int r = 0; r < Lanes<float, N>::kRegisters; ++r) c.reg[r] = _mm256_fmadd_ps(a.reg[r], b.reg[r], c.reg[r]);
  return c;
}
template <int N>
TERSOR_INLINE Lanes<double, N> mul_add(Lanes<double, N> a, Lanes<double, N> b, Lanes<double, N> c) noexcept {
  for (int r = 0; r < Lanes<double, N>::kRegisters; ++r) c.reg[r] = _mm256_fmadd_pd(a.reg[r], b.reg[r], c.reg[r]);
  return c;
}

TERSOR_INLINE F32 round_half_even(F32 a) noexcept {
  for (auto& reg : a.reg) reg = _mm256_round_ps(reg, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
  return a;
}
TERSOR_INLINE F64 round_half_even(F64 a) noexcept {
  for (auto& reg : a.reg) reg = _mm256_round_pd(reg, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
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
  const __m128i bytes = (__m128i)a.reg[0];
  return {{(I32::Register)_mm256_cvtepi8_epi32(bytes), (I32::Register)_mm256_cvtepi8_epi32(_mm_srli_si128(bytes, 8))}};
}
template <>
TERSOR_INLINE I64 promote<std::int64_t>(I8 a) noexcept {
  const __m128i bytes = (__m128i)a.reg[0];
  return {{(I64::Register)_mm256_cvtepi8_epi64(bytes), (I64::Register)_mm256_cvtepi8_epi64(_mm_srli_si128(bytes, 4)),
           (I64::Register)_mm256_cvtepi8_epi64(_mm_srli_si128(bytes, 8)),
           (I64::Register)_mm256_cvtepi8_epi64(_mm_srli_si128(bytes, 12))}};
}

// Packs work within 16-byte halves; splitting a register first keeps the lanes in order.
TERSOR_INLINE __m128i pack_halves_32(__m256i a) noexcept {
  return _mm_packs_epi32(_mm256_castsi256_si128(a), _mm256_extracti128_si256(a, 1));
}
TERSOR_INLINE I8 demote(I16 a) noexcept {
  const __m256i words = (__m256i)a.reg[0];
  return {{(I8::Register)_mm_packs_epi16(_mm256_castsi256_si128(words), _mm256_extracti128_si256(words, 1))}};
}
TERSOR_INLINE I8 demote(I32 a) noexcept {
  return {{(I8::Register)_mm_packs_epi16(pack_halves_32((__m256i)a.reg[0]), pack_halves_32((__m256i)a.reg[1]))}};
}
TERSOR_INLINE I8 demote(I64 a) noexcept {
  I32 low;
  const __m256i low_words = _mm256_setr_epi32(0, 2, 4, 6, 0, 2, 4, 6);
  for (int r = 0; r < 2; ++r) {
    const __m256i first = _mm256_permutevar8x32_epi32((__m256i)a.reg[2 * r], low_words);
    const __m256i second = _mm256_permutevar8x32_epi32((__m256i)a.reg[2 * r + 1], low_words);
    low.reg[r] = (I32::Register)_mm256_blend_epi32(first, second, 0xf0);
  }
  return demote(low);
}

// Four masks of signs at once: demoting the lanes to bytes first takes three times as many instructions, and packed masks of
// float64 1.1 to 1.2 times as long. Of 32-bit lanes the bytes are faster.
TERSOR_INLINE std::uint32_t bits_of(I64 mask) noexcept {
  std::uint32_t bits[4];
  for (int r = 0; r < 4; ++r) bits[r] = static_cast<std::uint32_t>(_mm256_movemask_pd((__m256d)mask.reg[r]));
  return (bits[0] | bits[1] << 4) | (bits[2] | bits[3] << 4) << 8;
}

TERSOR_INLINE U64 multiply_low_halves(U64 a, U64 b) noexcept {
  for (int r = 0; r < 4; ++r) a.reg[r] = (U64::Register)_mm256_mul_epu32((__m256i)a.reg[r], (__m256i)b.reg[r]);
  return a;
}

TERSOR_INLINE U32 promote_u32(U16 a) noexcept {
  const __m256i words = (__m256i)a.reg[0];
  return {{(U32::Register)_mm256_cvtepu16_epi32(_mm256_castsi256_si128(words)),
           (U32::Register)_mm256_cvtepu16_epi32(_mm256_extracti128_si256(words, 1))}};
}
TERSOR_INLINE U16 demote_u16(U32 a) noexcept {
  const __m256i packed = _mm256_packus_epi32((__m256i)a.reg[0], (__m256i)a.reg[1]);
  return {{(U16::Register)_mm256_permute4x64_epi64(packed, 0xd8)}};
}

TERSOR_INLINE U16x32 high_halves(U32 a, U32 b) noexcept {
  return concat(demote_u16(shift_right<16>(a)), demote_u16(shift_right<16>(b)));
}

TERSOR_INLINE I32 to_int32(F32 a) noexcept {
  return {{(I32::Register)_mm256_cvtps_epi32(a.reg[0]), (I32::Register)_mm256_cvtps_epi32(a.reg[1])}};
}
TERSOR_INLINE F32 to_float(I32 a) noexcept {
  return {{_mm256_cvtepi32_ps((__m256i)a.reg[0]), _mm256_cvtepi32_ps((__m256i)a.reg[1])}};
}

TERSOR_INLINE F64 promote_f64(F32 a) noexcept {
  F64 wide;
  for (int r = 0; r < 2; ++r) {
    wide.reg[2 * r] = _mm256_cvtps_pd(_mm256_castps256_ps128(a.reg[r]));
    wide.reg[2 * r + 1] = _mm256_cvtps_pd(_mm256_extractf128_ps(a.reg[r], 1));
  }
  return wide;
}
TERSOR_INLINE F32 demote_f32(F64 a) noexcept {
  F32 narrow;
  for (int r = 0; r < 2; ++r) narrow.reg[r] = _mm256_set_m128(_mm256_cvtpd_ps(a.reg[2 * r + 1]), _mm256_cvtpd_ps(a.reg[2 * r]));
  return narrow;
}

TERSOR_INLINE F32 from_half(U16 a) noexcept {
  const __m256i halves = (__m256i)a.reg[0];
  return {{_mm256_cvtph_ps(_mm256_castsi256_si128(halves)), _mm256_cvtph_ps(_mm256_extracti128_si256(halves, 1))}};
}
TERSOR_INLINE U16 to_half(F32 a) noexcept {
  __m128i half[2];
  for (int r = 0; r < 2; ++r) {
    const __m128i rounded = _mm256_cvtps_ph(a.reg[r], _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
    const __m256i nan = _mm256_castps_si256(_mm256_cmp_ps(a.reg[r], a.reg[r], _CMP_UNORD_Q));
    half[r] = _mm_blendv_epi8(rounded, _mm_set1_epi16(0x7e00), pack_halves_32(nan));
  }
  return {{(U16::Register)_mm256_set_m128i(half[1], half[0])}};
}

TERSOR_INLINE U16x32 promote_u16(U8x32 a) noexcept {
  const __m256i bytes = (__m256i)a.reg[0];
  return {{(U16x32::Register)_mm256_cvtepu8_epi16(_mm256_castsi256_si128(bytes)),
           (U16x32::Register)_mm256_cvtepu8_epi16(_mm256_extracti128_si256(bytes, 1))}};
}
TERSOR_INLINE U8x32 demote_u8(U16x32 a) noexcept {
  const __m256i packed = _mm256_packus_epi16((__m256i)a.reg[0], (__m256i)a.reg[1]);
  return {{(U8x32::Register)_mm256_permute4x64_epi64(packed, 0xd8)}};
}

TERSOR_INLINE F32 lookup8(const float (&table)[8], U32 index) noexcept {
  const __m256 values = _mm256_load_ps(table);
  return {{_mm256_permutevar8x32_ps(values, (__m256i)index.reg[0]), _mm256_permutevar8x32_ps(values, (__m256i)index.reg[1])}};
}

// For 8 bits, the item that each lane takes: so many bits are set below its own. A lane without an item has a number that stays
// negative when it is doubled.
struct ExpandTable {
  std::int8_t item[256][8];
};
constexpr ExpandTable make_expand_table() noexcept {
  ExpandTable table{};
  for (int bits = 0; bits < 256; ++bits)
    for (int lane = 0, items = 0; lane < 8; ++lane)
      table.item[bits][lane] = static_cast<std::int8_t>(bits >> lane & 1 ? items++ : -64);
  return table;
}
alignas(64) inline constexpr ExpandTable kExpandTable = make_expand_table();

// For 8 bits, the bytes that each lane of 16 bits takes; a number with the highest bit set makes a byte 0.
struct BytesTable {
  std::uint8_t byte[256][16];
};
template <class ItemOf>
constexpr BytesTable make_bytes_table(ItemOf item_of) noexcept {
  BytesTable table{};
  for (int bits = 0; bits < 256; ++bits)
    for (int byte = 0; byte < 16; ++byte) {
      const int item = item_of(bits, byte / 2);
      table.byte[bits][byte] = static_cast<std::uint8_t>(item < 0 ? 0x80 : 2 * item + byte % 2);
    }
  return table;
}
alignas(64) inline constexpr BytesTable kExpandBytes = make_bytes_table([](int bits, int lane) {
  return int{kExpandTable.item[bits][lane]};
});
TERSOR_INLINE __m128i bytes_from(const BytesTable& table, std::uint32_t bits) noexcept {
  return _mm_load_si128(reinterpret_cast<const __m128i*>(table.byte[bits]));
}

// A permutation of 32-bit words that stand in a register: Zen 3 takes two cycles for one that reads them from memory, and one where
// a load comes before it (16 columns of matmul_bitmask take 1.8 ns instead of 2.3).
TERSOR_INLINE __m256i permute(__m256i items, __m256i index) noexcept {
  asm("" : "+x"(items));
  return _mm256_permutevar8x32_epi32(items, index);
}

// Words whose index is negative become 0.
TERSOR_INLINE __m256i permute_or_zero(__m256i items, __m256i index) noexcept {
  const __m256 permuted = _mm256_castsi256_ps(permute(items, index));
  return _mm256_castps_si256(_mm256_blendv_ps(permuted, _mm256_setzero_ps(), _mm256_castsi256_ps(index)));
}
TERSOR_INLINE __m256i expand_8(__m256i items, std::uint32_t bits) noexcept {
  const __m128i index = _mm_loadl_epi64(reinterpret_cast<const __m128i*>(kExpandTable.item[bits]));
  return permute_or_zero(items, _mm256_cvtepi8_epi32(index));
}

TERSOR_INLINE U32 expand_load_ahead(const std::uint32_t* from, std::uint32_t bits) noexcept {
  const U32::Register first = load<8>(from).reg[0], second = load<8>(from + __builtin_popcount(bits & 0xff)).reg[0];
  return {{(U32::Register)expand_8((__m256i)first, bits & 0xff), (U32::Register)expand_8((__m256i)second, bits >> 8)}};
}
TERSOR_INLINE __m128i expand_8_halves(const std::uint16_t* from, std::uint32_t bits) noexcept {
  const __m128i items = _mm_loadu_si128(reinterpret_cast<const __m128i*>(from));
  return _mm_shuffle_epi8(items, bytes_from(kExpandBytes, bits));
}
TERSOR_INLINE U16 expand_load_ahead(const std::uint16_t* from, std::uint32_t bits) noexcept {
  const __m128i first = expand_8_halves(from, bits & 0xff);
  const __m128i second = expand_8_halves(from + __builtin_popcount(bits & 0xff), bits >> 8);
  return {{(U16::Register)_mm256_set_m128i(second, first)}};
}
// The bytes of 8 items, once in each half of a register, go to their 32-bit lanes by one shuffle: 16 columns of matmul_bitmask in
// bfloat16 take 1.5 ns so, and 2.2 where items are expanded as they are and then widened.
struct HighHalvesTable {
  std::uint8_t byte[256][32];
};
constexpr HighHalvesTable make_high_halves_table() noexcept {
  HighHalvesTable table{};
  for (int bits = 0; bits < 256; ++bits)
    for (int byte = 0; byte < 32; ++byte) {
      const int item = kExpandTable.item[bits][byte / 4];
      table.byte[bits][byte] = static_cast<std::uint8_t>(item < 0 || byte % 4 < 2 ? 0x80 : 2 * item + byte % 2);
    }
  return table;
}
alignas(64) inline constexpr HighHalvesTable kHighHalves = make_high_halves_table();
TERSOR_INLINE __m256i expand_8_high(const std::uint16_t* from, std::uint32_t bits) noexcept {
  const __m256i items = _mm256_broadcastsi128_si256(_mm_loadu_si128(reinterpret_cast<const __m128i*>(from)));
  return _mm256_shuffle_epi8(items, _mm256_load_si256(reinterpret_cast<const __m256i*>(kHighHalves.byte[bits])));
}
TERSOR_INLINE U32 expand_load_high(const std::uint16_t* from, std::uint32_t bits) noexcept {
  const __m256i first = expand_8_high(from, bits & 0xff);
  return {{(U32::Register)first, (U32::Register)expand_8_high(from + __builtin_popcount(bits & 0xff), bits >> 8)}};
}
TERSOR_INLINE U64 expand_load_ahead(const std::uint64_t* from, std::uint32_t bits) noexcept {
  const __m256i high_word = _mm256_setr_epi32(0, 1, 0, 1, 0, 1, 0, 1);
  U64 lanes;
  for (int r = 0; r < 4; ++r) {
    const std::uint32_t of_register = bits >> (4 * r) & 0xf;
    std::int32_t items;
    std::memcpy(&items, kExpandTable.item[of_register], sizeof items);
    const __m256i item = _mm256_shuffle_epi32(_mm256_cvtepi8_epi64(_mm_cvtsi32_si128(items)), 0xa0);
    const __m256i index = _mm256_add_epi32(_mm256_add_epi32(item, item), high_word);
    lanes.reg[r] = (U64::Register)permute_or_zero((__m256i)load<4>(from).reg[0], index);
    from += __builtin_popcount(of_register);
  }
  return lanes;
}

// For 8 bits, the lanes whose bit is set, in order, then lane 0 again and again.
struct CompressTable {
  std::int8_t lane[256][8];
};
constexpr CompressTable make_compress_table() noexcept {
  CompressTable table{};
  for (int bits = 0; bits < 256; ++bits)
    for (int lane = 0, items = 0; lane < 8; ++lane)
      if (bits >> lane & 1) table.lane[bits][items++] = static_cast<std::int8_t>(lane);
  return table;
}
alignas(64) inline constexpr CompressTable kCompressTable = make_compress_table();
alignas(64) inline constexpr BytesTable kCompressBytes = make_bytes_table([](int bits, int lane) {
  return int{kCompressTable.lane[bits][lane]};
});

TERSOR_INLINE __m128i kept_lanes(std::uint32_t bits) noexcept {
  return _mm_loadl_epi64(reinterpret_cast<const __m128i*>(kCompressTable.lane[bits]));
}

TERSOR_INLINE std::int32_t* compress_store(std::int32_t* to, I32 lanes, std::uint32_t bits) noexcept {
  for (const auto reg : lanes.reg) {
    const __m256i kept = permute((__m256i)reg, _mm256_cvtepi8_epi32(kept_lanes(bits & 0xff)));
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(to), kept);
    to += __builtin_popcount(bits & 0xff);
    bits >>= 8;
  }
  return to;
}
TERSOR_INLINE std::int16_t* compress_store(std::int16_t* to, I16 lanes, std::uint32_t bits) noexcept {
  const __m256i both = (__m256i)lanes.reg[0];
  for (const __m128i half : {_mm256_castsi256_si128(both), _mm256_extracti128_si256(both, 1)}) {
    _mm_storeu_si128(reinterpret_cast<__m128i*>(to), _mm_shuffle_epi8(half, bytes_from(kCompressBytes, bits & 0xff)));
    to += __builtin_popcount(bits & 0xff);
    bits >>= 8;
  }
  return to;
}
TERSOR_INLINE std::int64_t* compress_store(std::int64_t* to, I64 lanes, std::uint32_t bits) noexcept {
  const __m256i high_word = _mm256_setr_epi32(0, 1, 0, 1, 0, 1, 0, 1);
  for (const auto reg : lanes.reg) {
    const __m256i lane = _mm256_shuffle_epi32(_mm256_cvtepi8_epi64(kept_lanes(bits & 0xf)), 0xa0);
    const __m256i kept = permute((__m256i)reg, _mm256_add_epi32(_mm256_add_epi32(lane, lane), high_word));
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(to), kept);
    to += __builtin_popcount(bits & 0xf);
    bits >>= 4;
  }
  return to;
}

template <class T, int N>
TERSOR_INLINE void stream(T* to, Lanes<T, N> lanes) noexcept {
  for (int r = 0; r < Lanes<T, N>::kRegisters; ++r) {
    char* place = reinterpret_cast<char*>(to) + r * Lanes<T, N>::kRegisterBytes;
    if constexpr (Lanes<T, N>::kRegisterBytes == 32)
      _mm256_stream_si256(reinterpret_cast<__m256i*>(place), (__m256i)lanes.reg[r]);
    else
      _mm_stream_si128(reinterpret_cast<__m128i*>(place), (__m128i)lanes.reg[r]);
  }
}

}  // namespace tersor::cpu::TERSOR_LEVEL

#include "cpu/simd_buffer.h"
