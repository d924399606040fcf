// Random numbers that depend on a seed and a position alone.

#include "cpu/random.h"
#include "cpu/simd.h"

namespace tersor::cpu::TERSOR_LEVEL {

namespace {

// Philox4x32-10: Salmon, Moraes, Dror and Shaw, "Parallel random numbers: as easy as 1, 2, 3" (2011)

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

constexpr int kBlock = 4 * kLanes;

// The words of 16 counters from `counter` on, in order.
TERSOR_INLINE void write_block(std::uint64_t counter, std::uint64_t seed, int shift, std::uint32_t* words) noexcept {
  alignas(64) static constexpr std::uint64_t kStep[kLanes] = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15};
  const U64 counters = splat(counter) + load(kStep), zero = splat<std::uint64_t>(0);
  const Counters random = philox({{counters, shift_right<32>(counters), zero, zero}}, seed);
  auto block = bit_cast<std::uint32_t>(zip(low_half(random.word[0]) | shift_left<32>(random.word[1]),  //
                                           low_half(random.word[2]) | shift_left<32>(random.word[3])));
  for (auto& reg : block.reg) reg = reg >> shift;
  store(words, block);
}

void words(std::int64_t position, std::int64_t count, std::uint64_t seed, int shift, std::uint32_t* to) noexcept {
  std::uint64_t counter = static_cast<std::uint64_t>(position) / 4;
  std::int64_t before = position % 4;  // words of the first counter that belong to elements further up
  while (count > 0) {
    if (before == 0 && count >= kBlock) {
      write_block(counter, seed, shift, to);
      to += kBlock, count -= kBlock;
    } else {
      alignas(64) std::uint32_t block[kBlock];
      write_block(counter, seed, shift, block);
      const std::int64_t taken = count < kBlock - before ? count : kBlock - before;
      std::memcpy(to, block + before, static_cast<std::size_t>(taken) * sizeof(std::uint32_t));
      to += taken, count -= taken, before = 0;
    }
    counter += kLanes;
  }
}

}  // namespace

constinit const RandomKernels random_kernels{.words = words};

}  // namespace tersor::cpu::TERSOR_LEVEL
