// prune: what entries are ranked by where that is not their own magnitude, and the bits of those that stay.

#include "cpu/kernels.h"
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

// --- Philox4x32-10: Salmon, Moraes, Dror and Shaw, "Parallel random numbers: as easy as 1, 2, 3" (2011) -------------------

// Words of 16 counters, each in the low half of its lane; in between, the other half holds what is left of products.
struct Counters {
  U64 word[4];
};

TERSOR_INLINE U64 low_half(U64 a) noexcept { return a & splat<std::uint64_t>(0xffffffff); }

TERSOR_INLINE Counters philox(Counters c, std::uint64_t seed) noexcept {
  std::uint32_t key0 = static_cast<std::uint32_t>(seed), key1 = static_cast<std::uint32_t>(seed >> 32);
  for (int round = 0; round < 10; ++round) {
    const U64 product0 = multiply_low_halves(c.word[0], splat<std::uint64_t>(0xD2511F53));
    const U64 product1 = multiply_low_halves(c.word[2], splat<std::uint64_t>(0xCD9E8D57));
    c = {{shift_right<32>(product1) ^ c.word[1] ^ splat<std::uint64_t>(key0), product1,
          shift_right<32>(product0) ^ c.word[3] ^ splat<std::uint64_t>(key1), product0}};
    key0 += 0x9E3779B9;
    key1 += 0xBB67AE85;
  }
  return c;
}

constexpr int kRandomBlock = 4 * kLanes;

// The words of 16 counters from `counter` on, in order, as numbers: 30 bits of each word are the bits of a float32 from 0 to 2.
TERSOR_INLINE void random_block(std::uint64_t counter, std::uint64_t seed, std::uint32_t* scores) noexcept {
  alignas(64) static constexpr std::uint64_t kStep[kLanes] = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15};
  const U64 counters = splat(counter) + load(kStep), zero = splat<std::uint64_t>(0);
  const Counters random = philox({{counters, shift_right<32>(counters), zero, zero}}, seed);
  const auto words = bit_cast<std::uint32_t>(zip(low_half(random.word[0]) | shift_left<32>(random.word[1]),  //
                                                 low_half(random.word[2]) | shift_left<32>(random.word[3])));
  store(scores, shift_right<2>(words));
}

void random(std::int64_t position, std::int64_t cols, std::uint64_t seed, std::byte* scores) noexcept {
  auto* to = reinterpret_cast<std::uint32_t*>(scores);
  std::uint64_t counter = static_cast<std::uint64_t>(position) / 4;
  std::int64_t before = position % 4;  // words of the first counter that belong to elements further up
  while (cols > 0) {
    if (before == 0 && cols >= kRandomBlock) {
      random_block(counter, seed, to);
      to += kRandomBlock, cols -= kRandomBlock;
    } else {
      alignas(64) std::uint32_t block[kRandomBlock];
      random_block(counter, seed, block);
      const std::int64_t count = cols < kRandomBlock - before ? cols : kRandomBlock - before;
      std::memcpy(to, block + before, static_cast<std::size_t>(count) * sizeof(std::uint32_t));
      to += count, cols -= count, before = 0;
    }
    counter += kLanes;
  }
}

}  // namespace

constinit const PruneScoreKernels prune_score_kernels{
    .multiply_alike = TERSOR_BY_FLOAT(multiply_alike),
    .multiply_scaled = TERSOR_BY_FLOAT(multiply_scaled),
    .random = random,
    .keep_values = TERSOR_BY_FLOAT(keep_values),
};

}  // namespace tersor::cpu::TERSOR_LEVEL
