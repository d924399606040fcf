#pragma once
// Keys: signed integers of an element's width that order as the elements do. Every NaN has the key above infinity's.

#include "cpu/simd.h"
#include "cpu/storage.h"

namespace tersor::cpu::TERSOR_LEVEL {

template <class Storage>
inline constexpr auto kNanKey = static_cast<SignedOf<typename Storage::Bits>>(Storage::kInfinityBits + 1);

// |w|: the bits less the sign.
template <class Storage>
struct Magnitude {
  using Bits = typename Storage::Bits;
  using Key = SignedOf<Bits>;
  static TERSOR_INLINE Lanes<Key> key_of(Lanes<Bits> bits) noexcept { return min(magnitude(bits), splat(kNanKey<Storage>)); }
};

// w: the bits as sign and magnitude, turned into two's complement; -0.0 stands before +0.0.
template <class Storage>
struct Value {
  using Bits = typename Storage::Bits;
  using Key = SignedOf<Bits>;
  static TERSOR_INLINE Lanes<Key> key_of(Lanes<Bits> bits) noexcept {
    const auto pattern = bit_cast<Key>(bits);
    const auto negative = less(pattern, splat(Key{0}));
    const auto key = min(pattern ^ (negative & splat(static_cast<Key>(kMagnitudeMask<Bits>))), splat(kNanKey<Storage>));
    constexpr Key kLeast = static_cast<Key>(~static_cast<Key>(Storage::kInfinityBits));  // of -infinity; below it lie NaN
    return select(less(key, splat(kLeast)), splat(kNanKey<Storage>), key);
  }
};

}  // namespace tersor::cpu::TERSOR_LEVEL
