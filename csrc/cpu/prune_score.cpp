// prune: what entries are ranked by where that is not their own magnitude, and the bits of those that stay.

#include "cpu/prune_score.h"
#include "cpu/key.h"
#include "cpu/map.h"
#include "cpu/storage.h"

namespace tersor::cpu::TERSOR_LEVEL {

namespace {

template <class Math>
TERSOR_INLINE void store_magnitude(Math* to, Lanes<Math> value, Full) noexcept {
  store(to, absolute(value));
}
template <class Math>
TERSOR_INLINE void store_magnitude(Math* to, Lanes<Math> value, Partial lanes) noexcept {
  store(to, absolute(value), lanes);
}

// scores[i] = |a[i] * b[i]|, each as numbers of the arithmetic's type.
template <class Math, class A, class B>
TERSOR_INLINE void multiply(Math* scores, std::int64_t cols, A a, B b) noexcept {
  const auto take = [=](std::int64_t i, auto lanes)
                        TERSOR_LAMBDA { store_magnitude(scores + i, a(i, lanes) * b(i, lanes), lanes); };
  std::int64_t i = 0;
  for (; i + kLanes <= cols; i += kLanes) take(i, Full{});
  if (i < cols) take(i, Partial{static_cast<int>(cols - i)});
}

template <class Storage>
TERSOR_INLINE auto numbers(const std::byte* from) noexcept {
  const auto* items = reinterpret_cast<const typename Storage::Bits*>(from);
  return [=](std::int64_t i, auto lanes) TERSOR_LAMBDA { return Storage::widen(load(items + i, lanes)); };
}

template <class Storage>
void multiply_alike(const std::byte* w, const std::byte* other, std::int64_t cols, std::byte* scores) noexcept {
  multiply(reinterpret_cast<typename Storage::Math*>(scores), cols, numbers<Storage>(w), numbers<Storage>(other));
}

template <class Storage>
void multiply_scaled(const std::byte* w, const std::byte* scale, std::int64_t cols, std::byte* scores) noexcept {
  using Math = typename Storage::Math;
  const auto* factors = reinterpret_cast<const Math*>(scale);
  multiply(reinterpret_cast<Math*>(scores), cols, numbers<Storage>(w),
           [=](std::int64_t i, auto lanes) TERSOR_LAMBDA { return load(factors + i, lanes); });
}

template <class Storage>
void keep_values(const std::byte* scores, std::uint8_t* bits, std::int64_t cols, std::int64_t least_key) noexcept {
  using Order = Value<Storage>;
  const auto* from = reinterpret_cast<const typename Storage::Bits*>(scores);
  const auto least = splat(static_cast<typename Order::Key>(least_key));
  map_bits(bits, cols, [=](std::int64_t i, auto lanes) TERSOR_LAMBDA {
    return ~bits_greater(least, Order::key_of(load(from + i, lanes))) & 0xffffu;
  });
}

}  // namespace

constinit const PruneScoreKernels prune_score_kernels{
    .multiply_alike = TERSOR_BY_FLOAT(multiply_alike),
    .multiply_scaled = TERSOR_BY_FLOAT(multiply_scaled),
    .keep_values = TERSOR_BY_FLOAT(keep_values),
};

}  // namespace tersor::cpu::TERSOR_LEVEL
