#pragma once
// The 16-byte operations on bytes that the baseline and AVX2 levels share: 16 lanes of a byte are one SSE register in both.

#include <immintrin.h>

namespace tersor::cpu::TERSOR_LEVEL {

TERSOR_INLINE I8 demote(I16 a) noexcept;
TERSOR_INLINE I8 demote(I32 a) noexcept;
TERSOR_INLINE I8 demote(I64 a) noexcept;

TERSOR_INLINE std::uint32_t bits_of(I8 mask) noexcept {
  return static_cast<std::uint32_t>(_mm_movemask_epi8((__m128i)mask.reg[0]));
}

TERSOR_INLINE I8 mask_of_bits(std::uint32_t bits) noexcept {
  const __m128i spread =
      _mm_shuffle_epi8(_mm_cvtsi32_si128(static_cast<int>(bits)), _mm_setr_epi8(0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 1, 1, 1, 1));
  const __m128i own_bit = _mm_set1_epi64x(static_cast<long long>(0x8040201008040201ull));
  return {{(I8::Register)_mm_cmpeq_epi8(_mm_and_si128(spread, own_bit), own_bit)}};
}

TERSOR_INLINE std::uint64_t bits_of(I8x64 mask) noexcept {
  std::uint64_t bits = 0;
  for (int r = 0; r < I8x64::kRegisters; ++r) {
#if defined(TERSOR_LEVEL_IS_avx2)
    const auto part = static_cast<std::uint32_t>(_mm256_movemask_epi8((__m256i)mask.reg[r]));
#else
    const auto part = static_cast<std::uint32_t>(_mm_movemask_epi8((__m128i)mask.reg[r]));
#endif
    bits |= std::uint64_t{part} << (r * I8x64::kRegisterBytes);
  }
  return bits;
}
TERSOR_INLINE I8x64 mask_of_bits_64(std::uint64_t bits) noexcept {
  I8x64 mask;
  for (int r = 0; r < I8x64::kRegisters; ++r) {
    constexpr int kParts = I8x64::kRegisterBytes / 16;
    I8 parts[kParts];
    for (int k = 0; k < kParts; ++k) parts[k] = mask_of_bits(static_cast<std::uint16_t>(bits >> (16 * (kParts * r + k))));
    std::memcpy(&mask.reg[r], parts, sizeof mask.reg[r]);
  }
  return mask;
}

template <class T>
TERSOR_INLINE std::uint32_t bits_of(Lanes<T> mask) noexcept {
  return bits_of(demote(mask));
}

template <class T>
TERSOR_INLINE bool all_of(Lanes<T> mask) noexcept {
  for (const auto reg : mask.reg) mask.reg[0] &= reg;
#if defined(TERSOR_LEVEL_IS_avx2)
  if constexpr (Lanes<T>::kRegisterBytes == 32) return _mm256_movemask_epi8((__m256i)mask.reg[0]) == -1;
#endif
  if constexpr (Lanes<T>::kRegisterBytes == 16) return _mm_movemask_epi8((__m128i)mask.reg[0]) == 0xffff;
}

TERSOR_INLINE void prefetch(const void* from) noexcept { _mm_prefetch(static_cast<const char*>(from), _MM_HINT_T1); }

}  // namespace tersor::cpu::TERSOR_LEVEL
