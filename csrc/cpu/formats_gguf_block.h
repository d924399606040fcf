#pragma once
// What kernels of all types of ggml's blocks do alike: numbers of any dtype to float32 and back, and bytes of nibbles.

#include "cpu/map.h"
#include "cpu/storage.h"

namespace tersor::cpu::TERSOR_LEVEL {

inline constexpr float kInfinite = __builtin_huge_valf();

TERSOR_INLINE bool are_finite(F32 x) noexcept { return all_of(less(absolute(x), splat(kInfinite))); }
TERSOR_INLINE F32 if_finite(F32 x) noexcept { return select_or_zero(less(absolute(x), splat(kInfinite)), x); }

// Towards zero, of numbers within int32.
TERSOR_INLINE I32 cut(F32 x) noexcept {
  I32 whole;
  for (int r = 0; r < I32::kRegisters; ++r) whole.reg[r] = __builtin_convertvector(x.reg[r], I32::Register);
  return whole;
}

// --- numbers ---------------------------------------------------------------------------------------------------------

// A multiple of 16 numbers as float32: where they lie, if that is a place for a float, or in `room`.
template <class Storage>
TERSOR_INLINE const float* as_float32(const typename Storage::Bits* from, std::int64_t count, float* room) noexcept {
  if constexpr (sizeof(typename Storage::Bits) == 4) {
    if (reinterpret_cast<std::uintptr_t>(from) % alignof(float) == 0) return reinterpret_cast<const float*>(from);
    std::memcpy(room, from, static_cast<std::size_t>(count) * sizeof(float));
    return room;
  } else {
    for (std::int64_t i = 0; i < count; i += kLanes) {
      const auto x = Storage::widen(load(from + i));
      if constexpr (sizeof(typename Storage::Math) == 8)
        store(room + i, demote_f32(x));
      else
        store(room + i, x);
    }
    return room;
  }
}

// To float32 or float64, without the test for NaN where there is none.
template <class Out, bool kNumbers>
TERSOR_INLINE auto narrow_wide(F32 x) noexcept {
  if constexpr (!kNumbers)
    return narrow_to<Out>(x);
  else if constexpr (sizeof(typename Out::Math) == 8)
    return Out::narrow_number(promote_f64(x));
  else
    return Out::narrow_number(x);
}

// 32 numbers from float32, to lines of the cache where they are streamed.
template <class Out, bool kNumbers>
TERSOR_INLINE void put_numbers(typename Out::Bits* to, F32 first, F32 second, bool streams) noexcept {
  const auto put = [=](auto* place, auto lanes) TERSOR_LAMBDA {
    if (streams)
      stream(place, lanes);
    else
      store(place, lanes);
  };
  if constexpr (sizeof(typename Out::Bits) == 2) {
    if constexpr (kNumbers)
      put(to, Out::narrow_numbers(first, second));
    else
      put(to, concat(Out::narrow(first), Out::narrow(second)));
  } else {
    put(to, narrow_wide<Out, kNumbers>(first));
    put(to + kLanes, narrow_wide<Out, kNumbers>(second));
  }
}

// Whether rows of whole blocks can be streamed: as whole lines.
template <class T>
TERSOR_INLINE bool streams_to(const T* to, Store mode) noexcept {
  return mode == Store::kStreaming && items_to_line(to) == 0;
}

// --- codes -----------------------------------------------------------------------------------------------------------

// Bytes whose upper bits are 0, as pairs: of a shift of bytes GCC makes as many additions.
template <int kBits>
TERSOR_INLINE U8 move_up(U8 bytes) noexcept {
  return bit_cast<std::uint8_t>(shift_left<kBits>(bit_cast<std::uint16_t>(bytes)));
}

// 16 bytes with codes below 16, of which those of `high` go to the high nibbles.
TERSOR_INLINE U8 join_nibbles(I32 low, I32 high) noexcept {
  const I32 places = low + shift_left<4>(high) - splat<std::int32_t>(128);
  return bit_cast<std::uint8_t>(demote(places)) ^ splat<std::uint8_t>(128);
}
TERSOR_INLINE U8 join_nibbles(U8 low, U8 high) noexcept {
  const U8 nibble = splat<std::uint8_t>(15);
  return (low & nibble) | move_up<4>(high & nibble);
}
TERSOR_INLINE U8 low_nibbles(U8 bytes) noexcept { return bytes & splat<std::uint8_t>(15); }
TERSOR_INLINE U8 high_nibbles(U8 bytes) noexcept { return shift_right<4>(bytes); }

TERSOR_INLINE F32 numbers_of(I8 codes) noexcept { return to_float(promote<std::int32_t>(codes)); }

}  // namespace tersor::cpu::TERSOR_LEVEL
