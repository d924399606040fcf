// select: counts the elements of a row below, at and above a bracket of two keys, and collects those within it. A key is a signed
// integer of the element's width that orders as the elements do.

#include "cpu/select.h"
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

// What 16 keys add to the counts. Those beyond the bracket are counted lane by lane. In large arrays, whose brackets are narrow,
// these are mostly all 16, and what else there is to know costs nothing. Of keys of 16 bits so many are the bracket's lowest, in
// bfloat16 one of 400, that these are counted lane by lane too: kth_magnitude takes 1.08 times as long without.
template <class Key>
struct Tally {
  static constexpr bool kManyAtLow = sizeof(Key) == 2;

  Lanes<Key> below_low, at_low_lanes, above_high;
  std::int64_t at_low = 0;
  Key* within;

  TERSOR_INLINE void clear_lanes() noexcept { below_low = at_low_lanes = above_high = splat(Key{0}); }
  TERSOR_INLINE void add(Lanes<Key> keys, Lanes<Key> low, Lanes<Key> high) noexcept {
    const auto below = less(keys, low), above = greater(keys, high);
    below_low = below_low - below;  // true lanes are -1
    above_high = above_high - above;
    if constexpr (kManyAtLow) {
      const auto at = equal(keys, low);
      at_low_lanes = at_low_lanes - at;
      if (all_of(below | at | above | equal(keys, high))) return;
    } else {
      if (all_of(below | above)) return;
      count_at_low(keys, low, 0xffff);
    }
    take_within(keys, low, high, 0xffff);
  }
  TERSOR_INLINE void count_at_low(Lanes<Key> keys, Lanes<Key> low, std::uint32_t present) noexcept {
    at_low += __builtin_popcount(bits_of(equal(keys, low)) & present);
  }
  TERSOR_INLINE void take_within(Lanes<Key> keys, Lanes<Key> low, Lanes<Key> high, std::uint32_t present) noexcept {
    within = compress_store(within, keys, bits_greater(keys, low) & bits_greater(high, keys) & present);
  }
};

template <class Order>
BracketCounts bracket(const std::byte* w, std::int64_t cols, std::int64_t low_key, std::int64_t high_key,
                      std::byte* collected) noexcept {
  using Key = typename Order::Key;
  const auto* from = reinterpret_cast<const typename Order::Bits*>(w);
  const auto low = splat(static_cast<Key>(low_key)), high = splat(static_cast<Key>(high_key));
  auto* const begin = reinterpret_cast<Key*>(collected);
  Tally<Key> tally;
  tally.within = begin;
  std::int64_t below_low = 0, above_high = 0, i = 0;
  while (i + kLanes <= cols) {
    tally.clear_lanes();
    for (std::int64_t step = 0; step < kMostCounts<Key> && i + kLanes <= cols; ++step, i += kLanes) {
      prefetch_ahead(from + i);
      tally.add(Order::key_of(load(from + i)), low, high);
    }
    below_low += total_of(tally.below_low);
    tally.at_low += total_of(tally.at_low_lanes);
    above_high += total_of(tally.above_high);
  }
  if (i < cols) {
    const Partial rest{static_cast<int>(cols - i)};
    const std::uint32_t present = (1u << rest.count) - 1;
    const auto keys = Order::key_of(load(from + i, rest));
    below_low += __builtin_popcount(bits_greater(low, keys) & present);
    above_high += __builtin_popcount(bits_greater(keys, high) & present);
    tally.count_at_low(keys, low, present);
    tally.take_within(keys, low, high, present);
  }
  return {below_low, below_low + tally.at_low, tally.within - begin, above_high};
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
