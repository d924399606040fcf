// select: counts the elements of a row below, at and above a bracket of two keys, and collects those within it. A key is a signed
// integer of the element's width that orders as the elements do.

#include "cpu/kernels.h"
#include "cpu/key.h"
#include "cpu/map.h"

namespace tersor::cpu::TERSOR_LEVEL {

namespace {

template <class T>
struct Itself {
  using Bits = T;
  using Key = T;
  static TERSOR_INLINE Lanes<Key> key_of(Lanes<Key> key) noexcept { return key; }
};

// Bit i of each word: whether lane i lies there.
struct Sides {
  std::uint32_t below_low, above_low, within, above_high;
};
template <class Key>
TERSOR_INLINE Sides sides_of(Lanes<Key> keys, Lanes<Key> low, Lanes<Key> high, std::uint32_t present) noexcept {
  const std::uint32_t above_low = bits_greater(keys, low) & present;
  return {bits_greater(low, keys) & present, above_low, above_low & bits_greater(high, keys), bits_greater(keys, high) & present};
}

template <class Order>
BracketCounts bracket(const std::byte* w, std::int64_t cols, std::int64_t low_key, std::int64_t high_key,
                      std::byte* collected) noexcept {
  using Key = typename Order::Key;
  const auto* from = reinterpret_cast<const typename Order::Bits*>(w);
  const auto low = splat(static_cast<Key>(low_key)), high = splat(static_cast<Key>(high_key));
  auto* const begin = reinterpret_cast<Key*>(collected);
  Key* to = begin;
  std::int64_t below_low = 0, above_low = 0, above_high = 0;
  const auto take = [&](std::int64_t i, auto lanes) TERSOR_LAMBDA {
    const auto keys = Order::key_of(load(from + i, lanes));
    const Sides sides = sides_of(keys, low, high, (2u << (lanes.count - 1)) - 1);
    below_low += __builtin_popcount(sides.below_low);
    above_low += __builtin_popcount(sides.above_low);
    above_high += __builtin_popcount(sides.above_high);
    to = compress_store(to, keys, sides.within);
  };
  std::int64_t i = 0;
  for (; i + kLanes <= cols; i += kLanes) take(i, Full{});
  if (i < cols) take(i, Partial{static_cast<int>(cols - i)});
  return {below_low, cols - above_low, to - begin, above_high};
}

}  // namespace

constinit const SelectKernels select_kernels{
    .bracket_magnitudes = {bracket<Magnitude<Float32>>, bracket<Magnitude<Float16>>, bracket<Magnitude<BFloat16>>,
                           bracket<Magnitude<Float64>>},
    .bracket_values = {bracket<Value<Float32>>, bracket<Value<Float16>>, bracket<Value<BFloat16>>, bracket<Value<Float64>>},
    .bracket_keys_16 = bracket<Itself<std::int16_t>>,
    .bracket_keys_32 = bracket<Itself<std::int32_t>>,
    .bracket_keys_64 = bracket<Itself<std::int64_t>>,
};

}  // namespace tersor::cpu::TERSOR_LEVEL
