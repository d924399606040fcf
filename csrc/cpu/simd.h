#pragma once
// The SIMD layer: 16 lanes of any element type, at every CPU level, so that each kernel is one program whose lanes, tails and
// reduction order are the same everywhere. A Lanes value is as many native registers as 16 lanes take.
//
// Arithmetic, comparison and selection are GCC vector extensions and stand here; what these lack (conversions that narrow or widen,
// fused multiply-add, rounding, movemask, streaming stores) is a function on Lanes in the level's own header.
//
// This header and all that it includes are compiled with instruction-set flags: nothing but what lies in the level's namespace may
// be defined inline, or the linker might keep an AVX-512 copy of a function that the whole module calls.

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <utility>

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
// With its checks, an expression that is inlined throughout takes minutes to compile.
#define TERSOR_INLINE inline
#define TERSOR_LAMBDA
#else
#define TERSOR_INLINE inline __attribute__((always_inline))
#define TERSOR_LAMBDA __attribute__((always_inline))
#endif

namespace tersor::cpu::TERSOR_LEVEL {

inline constexpr int kLanes = 16;

#if defined(TERSOR_LEVEL_IS_avx512)
inline constexpr int kVectorBytes = 64;
#elif defined(TERSOR_LEVEL_IS_avx2)
inline constexpr int kVectorBytes = 32;
#else
inline constexpr int kVectorBytes = 16;
#endif

// GCC 12 takes the size of a vector type, in a template, for a conversion.
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wsign-conversion"

// N lanes of T. Kernels mostly work on 16; some byte operations take 64 at once, and reductions go through 8, 4 and 2.
template <class T, int N = kLanes>
struct Lanes {
  static constexpr int kCount = N;
  static constexpr int kBytes = N * static_cast<int>(sizeof(T));
  static constexpr int kRegisterBytes = kBytes < kVectorBytes ? kBytes : kVectorBytes;
  static constexpr int kRegisters = kBytes / kRegisterBytes;
  typedef T Register __attribute__((vector_size(kRegisterBytes)));
  Register reg[kRegisters];
};

#pragma GCC diagnostic pop

using I8 = Lanes<std::int8_t>;
using U8 = Lanes<std::uint8_t>;
using I16 = Lanes<std::int16_t>;
using U16 = Lanes<std::uint16_t>;
using I32 = Lanes<std::int32_t>;
using U32 = Lanes<std::uint32_t>;
using I64 = Lanes<std::int64_t>;
using U64 = Lanes<std::uint64_t>;
using F32 = Lanes<float>;
using F64 = Lanes<double>;
using I8x64 = Lanes<std::int8_t, 64>;
using U8x64 = Lanes<std::uint8_t, 64>;
using U8x32 = Lanes<std::uint8_t, 32>;
using U16x32 = Lanes<std::uint16_t, 32>;

template <int kBytes>
struct IntegerOfSize;
template <>
struct IntegerOfSize<1> {
  using Signed = std::int8_t;
  using Unsigned = std::uint8_t;
};
template <>
struct IntegerOfSize<2> {
  using Signed = std::int16_t;
  using Unsigned = std::uint16_t;
};
template <>
struct IntegerOfSize<4> {
  using Signed = std::int32_t;
  using Unsigned = std::uint32_t;
};
template <>
struct IntegerOfSize<8> {
  using Signed = std::int64_t;
  using Unsigned = std::uint64_t;
};
template <class T>
using SignedOf = typename IntegerOfSize<sizeof(T)>::Signed;
template <class T>
using UnsignedOf = typename IntegerOfSize<sizeof(T)>::Unsigned;

// True lanes are all ones, false lanes all zeros.
template <class T, int N = kLanes>
using MaskOf = Lanes<SignedOf<T>, N>;

// --- creation, reinterpretation -------------------------------------------------------------------------------------

template <class T, int N = kLanes>
TERSOR_INLINE Lanes<T, N> splat(T value) noexcept {
  Lanes<T, N> lanes;
  for (auto& reg : lanes.reg) reg = value - typename Lanes<T, N>::Register{};
  return lanes;
}

template <class To, class From, int N>
TERSOR_INLINE auto bit_cast(Lanes<From, N> from) noexcept {
  using Result = Lanes<To, N* static_cast<int>(sizeof(From)) / static_cast<int>(sizeof(To))>;
  Result to;
  for (int r = 0; r < Result::kRegisters; ++r) to.reg[r] = reinterpret_cast<typename Result::Register>(from.reg[r]);
  return to;
}

// --- arithmetic, lane by lane ---------------------------------------------------------------------------------------

#define TERSOR_LANES_OPERATOR(op)                                                      \
  template <class T, int N>                                                            \
  TERSOR_INLINE Lanes<T, N> operator op(Lanes<T, N> a, Lanes<T, N> b) noexcept {       \
    for (int r = 0; r < Lanes<T, N>::kRegisters; ++r) a.reg[r] = a.reg[r] op b.reg[r]; \
    return a;                                                                          \
  }
TERSOR_LANES_OPERATOR(+)
TERSOR_LANES_OPERATOR(-)
TERSOR_LANES_OPERATOR(*)
TERSOR_LANES_OPERATOR(/)
TERSOR_LANES_OPERATOR(&)
TERSOR_LANES_OPERATOR(|)
TERSOR_LANES_OPERATOR(^)
#undef TERSOR_LANES_OPERATOR

template <int kBits, class T, int N>
TERSOR_INLINE Lanes<T, N> shift_left(Lanes<T, N> a) noexcept {
  for (auto& reg : a.reg) reg = reg << kBits;
  return a;
}
template <int kBits, class T, int N>
TERSOR_INLINE Lanes<T, N> shift_right(Lanes<T, N> a) noexcept {
  for (auto& reg : a.reg) reg = reg >> kBits;
  return a;
}

// --- comparison, selection -------------------------------------------------------------------------------------------

#define TERSOR_LANES_COMPARISON(name, op)                                                    \
  template <class T, int N>                                                                  \
  TERSOR_INLINE MaskOf<T, N> name(Lanes<T, N> a, Lanes<T, N> b) noexcept {                   \
    MaskOf<T, N> mask;                                                                       \
    for (int r = 0; r < Lanes<T, N>::kRegisters; ++r)                                        \
      mask.reg[r] = reinterpret_cast<typename MaskOf<T, N>::Register>(a.reg[r] op b.reg[r]); \
    return mask;                                                                             \
  }
TERSOR_LANES_COMPARISON(equal, ==)
TERSOR_LANES_COMPARISON(not_equal, !=)
TERSOR_LANES_COMPARISON(less, <)
TERSOR_LANES_COMPARISON(greater, >)
TERSOR_LANES_COMPARISON(greater_equal, >=)
#undef TERSOR_LANES_COMPARISON

template <class T, int N>
TERSOR_INLINE Lanes<T, N> select(MaskOf<T, N> mask, Lanes<T, N> yes, Lanes<T, N> no) noexcept {
  for (int r = 0; r < Lanes<T, N>::kRegisters; ++r) yes.reg[r] = mask.reg[r] ? yes.reg[r] : no.reg[r];
  return yes;
}

// b where either is NaN. Compilers turn these into the instruction that x86 has for them.
template <class T, int N>
TERSOR_INLINE Lanes<T, N> max(Lanes<T, N> a, Lanes<T, N> b) noexcept {
  for (int r = 0; r < Lanes<T, N>::kRegisters; ++r) a.reg[r] = a.reg[r] > b.reg[r] ? a.reg[r] : b.reg[r];
  return a;
}
template <class T, int N>
TERSOR_INLINE Lanes<T, N> min(Lanes<T, N> a, Lanes<T, N> b) noexcept {
  for (int r = 0; r < Lanes<T, N>::kRegisters; ++r) a.reg[r] = a.reg[r] < b.reg[r] ? a.reg[r] : b.reg[r];
  return a;
}

template <class T, int N>
TERSOR_INLINE Lanes<T, N> select_or_zero(MaskOf<T, N> mask, Lanes<T, N> yes) noexcept {
  return bit_cast<T>(mask & bit_cast<SignedOf<T>>(yes));
}

// --- memory --------------------------------------------------------------------------------------------------------

// How many lanes of a row are there: all 16, known when compiling, or the last few of a row.
struct Full {
  static constexpr int count = kLanes;
};
struct Partial {
  int count;
};

// Register by register: copied as a whole, the lanes would pass through the stack.
template <int N = kLanes, class T>
TERSOR_INLINE Lanes<T, N> load(const T* from, Full = {}) noexcept {
  Lanes<T, N> lanes;
  for (int r = 0; r < Lanes<T, N>::kRegisters; ++r)
    std::memcpy(&lanes.reg[r], reinterpret_cast<const char*>(from) + r * Lanes<T, N>::kRegisterBytes, Lanes<T, N>::kRegisterBytes);
  return lanes;
}

template <class T, int N>
TERSOR_INLINE void store(T* to, Lanes<T, N> lanes, Full = {}) noexcept {
  for (int r = 0; r < Lanes<T, N>::kRegisters; ++r)
    std::memcpy(reinterpret_cast<char*>(to) + r * Lanes<T, N>::kRegisterBytes, &lanes.reg[r], Lanes<T, N>::kRegisterBytes);
}

template <class T>
TERSOR_INLINE Lanes<T> fill_absent(Lanes<T> value, Full, T) noexcept {
  return value;
}

// --- neighbours become one -----------------------------------------------------------------------------------------------

template <class T, int N, int... kIndex>
TERSOR_INLINE Lanes<T, 2 * N> concat_registers(Lanes<T, N> a, Lanes<T, N> b, std::integer_sequence<int, kIndex...>) noexcept {
  return {{__builtin_shufflevector(a.reg[0], b.reg[0], kIndex...)}};
}
template <class T, int N>
TERSOR_INLINE Lanes<T, 2 * N> concat(Lanes<T, N> a, Lanes<T, N> b) noexcept {
  using Both = Lanes<T, 2 * N>;
  if constexpr (Both::kRegisters == 1) {
    return concat_registers(a, b, std::make_integer_sequence<int, 2 * N>());
  } else {
    Both both;
    for (int r = 0; r < Both::kRegisters / 2; ++r) {
      both.reg[r] = a.reg[r];
      both.reg[r + Both::kRegisters / 2] = b.reg[r];
    }
    return both;
  }
}

template <class T, int N, int... kIndex>
TERSOR_INLINE Lanes<T, 2 * N> zip_registers(Lanes<T, N> a, Lanes<T, N> b, std::integer_sequence<int, kIndex...>) noexcept {
  constexpr int kEach = Lanes<T, N>::kRegisterBytes / static_cast<int>(sizeof(T));
  Lanes<T, 2 * N> zipped;
  for (int r = 0; r < Lanes<T, N>::kRegisters; ++r) {
    zipped.reg[2 * r] = __builtin_shufflevector(a.reg[r], b.reg[r], (kIndex / 2 + kIndex % 2 * kEach)...);
    zipped.reg[2 * r + 1] = __builtin_shufflevector(a.reg[r], b.reg[r], ((kEach + kIndex) / 2 + kIndex % 2 * kEach)...);
  }
  return zipped;
}
// a0, b0, a1, b1 and so on; of lanes that fill whole registers.
template <class T, int N>
TERSOR_INLINE Lanes<T, 2 * N> zip(Lanes<T, N> a, Lanes<T, N> b) noexcept {
  static_assert(Lanes<T, N>::kRegisterBytes == kVectorBytes);
  return zip_registers(a, b, std::make_integer_sequence<int, kVectorBytes / static_cast<int>(sizeof(T))>());
}

// --- reductions: lane i meets lane i + 8, then i + 4, i + 2, i + 1, at every level ------------------------------------

template <int kFirst, class T, int N, int... kIndex>
TERSOR_INLINE Lanes<T, N / 2> lanes_from(Lanes<T, N> lanes, std::integer_sequence<int, kIndex...>) noexcept {
  return {{__builtin_shufflevector(lanes.reg[0], lanes.reg[0], (kFirst + kIndex)...)}};
}
template <int kFirst, class T, int N>
TERSOR_INLINE Lanes<T, N / 2> half_from(Lanes<T, N> lanes) noexcept {
  if constexpr (Lanes<T, N>::kRegisters == 1) {
    return lanes_from<kFirst>(lanes, std::make_integer_sequence<int, N / 2>());
  } else {
    Lanes<T, N / 2> half;
    for (int r = 0; r < Lanes<T, N / 2>::kRegisters; ++r) half.reg[r] = lanes.reg[r + (kFirst ? Lanes<T, N / 2>::kRegisters : 0)];
    return half;
  }
}

template <class T, int N, class Combine>
TERSOR_INLINE T reduce(Lanes<T, N> lanes, Combine combine) noexcept {
  if constexpr (N == 1)
    return lanes.reg[0][0];
  else
    return reduce(combine(half_from<0>(lanes), half_from<N / 2>(lanes)), combine);
}

template <class T, int N>
TERSOR_INLINE T reduce_sum(Lanes<T, N> lanes) noexcept {
  return reduce(lanes, [](auto a, auto b) TERSOR_LAMBDA { return a + b; });
}
template <class T, int N>
TERSOR_INLINE T reduce_max(Lanes<T, N> lanes) noexcept {
  return reduce(lanes, [](auto a, auto b) TERSOR_LAMBDA { return max(a, b); });
}

}  // namespace tersor::cpu::TERSOR_LEVEL

// The level's header defines, in the same namespace:
//   mul_add(a, b, c)            a * b + c rounded once                                    F32, F64; where registers have 32 bytes,
//                                                                                         one of them too
//   round_half_even(a)          to an integral value, sign of zero kept                   F32, F64
//   promote<T>(I8)              sign-extends                                              I16, I32, I64
//   demote(a)                   keeps the low 8 bits of values within int8                I16, I32, I64 -> I8
//   promote_u32(U16), demote_u16(U32)
//   multiply_low_halves(U64, U64)   of the lower 32 bits of each, all 64 of the product
//   high_halves(U32, U32)       the upper 16 bits of each lane, as one U16x32
//   promote_u16(U8x32), demote_u8(U16x32)     the latter of values below 256
//   to_int32(F32)               of integral values within int32
//   to_float(I32)
//   promote_f64(F32), demote_f32(F64)   the latter rounds to nearest even
//   from_half(U16), to_half(F32)        IEEE binary16, to nearest even; NaN in, the canonical NaN out
//   bits_of(mask)               bit i is the sign of lane i                               I8, I16, I32, I64, I8x64
//   all_of(mask)                whether every lane is true                                I8, I16, I32, I64
//   bits_greater(a, b)          bits_of(greater(a, b))                                    I16, I32, I64
//   mask_of_bits(uint32), mask_of_bits_64(uint64)      bits as an I8 or I8x64 mask
//   compress_store(p, a, bits)  the lanes whose bit is set, in order, from p on; returns the place behind the last. May write 16
//                               lanes from p on                                           I16, I32, I64
//   expand_load(p, bits)        the items from p on, in order, in the lanes whose bit is set, 0 in the others; touches no memory
//                               beyond those items                                        any but I8
//   expand_load_ahead(p, bits)  the same where 16 items from p on may be read: faster     U16, U32, U64
//   expand_load_high(p, bits)   the same of 16-bit items, each in the upper half of a 32-bit lane                  U32
//   load(p, Partial)            lanes that are not there are 0; the memory behind them is not touched      any
//   store(p, a, Partial)
//   fill_absent(a, Partial, x)  lanes that are not there become x
//   lookup8(table, index)       table[index % 8]; the table is 64-byte aligned            F32, F64
//   stream(p, a)                a store past the caches; p aligned to the register size   any
//   prefetch(p)                 into L2
#if defined(TERSOR_LEVEL_IS_avx512)
#include "cpu/simd_avx512.h"
#elif defined(TERSOR_LEVEL_IS_avx2)
#include "cpu/simd_avx2.h"
#elif defined(TERSOR_LEVEL_IS_neon)
#include "cpu/simd_neon.h"
#else
#include "cpu/simd_baseline.h"
#endif
