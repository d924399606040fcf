#pragma once
// The floating-point element types as kernels see them: bits in memory, and the type that arithmetic happens in.

#include "core/dtype.h"
#include "cpu/simd.h"

namespace tersor::cpu::TERSOR_LEVEL {

// narrow() rounds to nearest even and makes every NaN the canonical one; narrow_number() is for values that are no NaN.

template <class T>
TERSOR_INLINE Lanes<T> canonical_nan(Lanes<T> value) noexcept {
  const T nan = sizeof(T) == 4 ? static_cast<T>(__builtin_nanf("")) : static_cast<T>(__builtin_nan(""));
  return select(equal(value, value), value, splat(nan));
}

struct Float32 {
  static constexpr DType kDType = DType::kFloat32;
  using Bits = std::uint32_t;
  using Math = float;
  static constexpr Bits kInfinityBits = 0x7f800000;
  static TERSOR_INLINE F32 widen(U32 bits) noexcept { return bit_cast<float>(bits); }
  static TERSOR_INLINE U32 narrow(F32 value) noexcept { return bit_cast<std::uint32_t>(canonical_nan(value)); }
  static TERSOR_INLINE U32 narrow_number(F32 value) noexcept { return bit_cast<std::uint32_t>(value); }
};

struct Float64 {
  static constexpr DType kDType = DType::kFloat64;
  using Bits = std::uint64_t;
  using Math = double;
  static constexpr Bits kInfinityBits = 0x7ff0000000000000;
  static TERSOR_INLINE F64 widen(U64 bits) noexcept { return bit_cast<double>(bits); }
  static TERSOR_INLINE U64 narrow(F64 value) noexcept { return bit_cast<std::uint64_t>(canonical_nan(value)); }
  static TERSOR_INLINE U64 narrow_number(F64 value) noexcept { return bit_cast<std::uint64_t>(value); }
};

struct Float16 {
  static constexpr DType kDType = DType::kFloat16;
  using Bits = std::uint16_t;
  using Math = float;
  static constexpr Bits kInfinityBits = 0x7c00;
  static TERSOR_INLINE F32 widen(U16 bits) noexcept { return from_half(bits); }
  static TERSOR_INLINE U16 narrow(F32 value) noexcept { return to_half(value); }
  static TERSOR_INLINE U16 narrow_number(F32 value) noexcept { return to_half(value); }
  static TERSOR_INLINE U16x32 narrow_numbers(F32 a, F32 b) noexcept { return concat(to_half(a), to_half(b)); }
};

struct BFloat16 {
  static constexpr DType kDType = DType::kBFloat16;
  using Bits = std::uint16_t;
  using Math = float;
  static constexpr Bits kInfinityBits = 0x7f80;
  static TERSOR_INLINE F32 widen(U16 bits) noexcept { return bit_cast<float>(shift_left<16>(promote_u32(bits))); }
  // By integer arithmetic at every level: the AVX-512 instruction flushes subnormals. The result is in the upper half.
  static TERSOR_INLINE U32 rounded(F32 value) noexcept {
    const U32 bits = bit_cast<std::uint32_t>(value);
    return bits + splat<std::uint32_t>(0x7fff) + (shift_right<16>(bits) & splat<std::uint32_t>(1));
  }
  static TERSOR_INLINE U16 narrow(F32 value) noexcept {
    return demote_u16(select(equal(value, value), shift_right<16>(rounded(value)), splat<std::uint32_t>(0x7fc0)));
  }
  static TERSOR_INLINE U16 narrow_number(F32 value) noexcept { return demote_u16(shift_right<16>(rounded(value))); }
  static TERSOR_INLINE U16x32 narrow_numbers(F32 a, F32 b) noexcept { return high_halves(rounded(a), rounded(b)); }
};

template <class Bits>
inline constexpr Bits kMagnitudeMask = static_cast<Bits>(static_cast<Bits>(~Bits{0}) >> 1);

template <class Bits>
TERSOR_INLINE Lanes<SignedOf<Bits>> magnitude(Lanes<Bits> bits) noexcept {
  return bit_cast<SignedOf<Bits>>(bits & splat(kMagnitudeMask<Bits>));
}

template <class Math>
TERSOR_INLINE Lanes<Math> absolute(Lanes<Math> value) noexcept {
  return bit_cast<Math>(magnitude(bit_cast<UnsignedOf<Math>>(value)));
}

// To float32 by truncation with a sticky last bit (round to odd): a further rounding to 16 bits is then the only one.
TERSOR_INLINE F32 demote_sticky(F64 value) noexcept {
  const F32 nearest = demote_f32(value);
  const F64 back = promote_f64(nearest);
  const I32 inexact = promote<std::int32_t>(demote(not_equal(back, value) & equal(value, value)));
  const I32 above = promote<std::int32_t>(demote(less(absolute(back), absolute(value))));
  const I32 bits = bit_cast<std::int32_t>(nearest);
  const I32 one = splat<std::int32_t>(1);
  const I32 even = equal(bits & one, splat<std::int32_t>(0));
  return bit_cast<float>(bits + ((inexact & even) & select(above, one, splat<std::int32_t>(-1))));
}

// From one arithmetic type to another.
template <class To>
TERSOR_INLINE auto convert(F32 x) noexcept {
  if constexpr (sizeof(To) == 8)
    return promote_f64(x);
  else
    return x;
}
template <class To>
TERSOR_INLINE auto convert(F64 x) noexcept {
  if constexpr (sizeof(To) == 8)
    return x;
  else
    return demote_f32(x);
}

// A product in one arithmetic type to the bits of any storage type, rounded once.
template <class Storage>
TERSOR_INLINE auto narrow_to(F32 value) noexcept {
  if constexpr (sizeof(typename Storage::Math) == 8)
    return Storage::narrow(promote_f64(value));
  else
    return Storage::narrow(value);
}
template <class Storage>
TERSOR_INLINE auto narrow_to(F64 value) noexcept {
  if constexpr (sizeof(typename Storage::Math) == 8)
    return Storage::narrow(value);
  else if constexpr (sizeof(typename Storage::Bits) == 4)
    return Storage::narrow(demote_f32(value));
  else
    return Storage::narrow(demote_sticky(value));
}

}  // namespace tersor::cpu::TERSOR_LEVEL

// The kernels of a template as a ByFloat.
#define TERSOR_BY_FLOAT(kernel) {kernel<Float32>, kernel<Float16>, kernel<BFloat16>, kernel<Float64>}
