// formats: the blocks of 32 numbers of ggml. What each type holds stands in python/tersor/reference/formats_gguf.py.
//
// Blocks are worked on 16 at a time: once for what they are measured by, then their scales side by side in the lanes of a vector,
// then once more, from the cache, for the codes.

#include "cpu/formats_gguf.h"
#include "cpu/formats_gguf_block.h"

namespace tersor::cpu::TERSOR_LEVEL {

namespace {

constexpr int kBlock = 32;
constexpr int kTile = kLanes;  // blocks

// Codes of 4 or 5 bits: the scale, the minimum, the fifth bits, the nibbles.
template <int kBitCount, bool kWithMinimum>
struct Nibbles {
  static constexpr int kBits = kBitCount;
  static constexpr bool kHasMinimum = kWithMinimum;
  static constexpr float kMost = (1 << kBits) - 1, kMiddle = 1 << (kBits - 1);
  static constexpr int kFifthBits = kHasMinimum ? 4 : 2;
  static constexpr int kCodes = kFifthBits + (kBits == 5 ? 4 : 0);
  static constexpr int kBytes = kCodes + kBlock / 2;
};
struct Q8_0 {
  static constexpr int kBits = 8;
  static constexpr bool kHasMinimum = false;
  static constexpr float kMost = 127;
  static constexpr int kCodes = 2;
  static constexpr int kBytes = kCodes + kBlock;
};
using Q4_0 = Nibbles<4, false>;
using Q4_1 = Nibbles<4, true>;
using Q5_0 = Nibbles<5, false>;
using Q5_1 = Nibbles<5, true>;

// --- ranges ------------------------------------------------------------------------------------------------------------

// Of each of 16 blocks the least and the greatest number; both NaN where one is.
struct Ranges {
  alignas(64) float low[kTile] = {}, high[kTile] = {};
  bool finite;
};

void mark_nan(const float* x, std::int64_t blocks, Ranges& ranges) noexcept {
  for (std::int64_t b = 0; b < blocks; ++b)
    for (int i = 0; i < kBlock; ++i)
      if (x[b * kBlock + i] != x[b * kBlock + i]) ranges.low[b] = ranges.high[b] = __builtin_nanf("");
}

using Quad = Lanes<float, 4>;

// Of 16 numbers four that stand for them.
template <class Choose>
TERSOR_INLINE Quad quad_of(F32 x, Choose choose) noexcept {
  const auto half = choose(half_from<0>(x), half_from<8>(x));
  return choose(half_from<0>(half), half_from<4>(half));
}
// And of four quads the number of each: neighbours meet, twice.
template <class Choose>
TERSOR_INLINE Quad one_of_each(const Quad (&quads)[4], Choose choose) noexcept {
  const auto meet = [=](Quad p, Quad q) TERSOR_LAMBDA {
    return choose(Quad{{__builtin_shufflevector(p.reg[0], q.reg[0], 0, 2, 4, 6)}},
                  Quad{{__builtin_shufflevector(p.reg[0], q.reg[0], 1, 3, 5, 7)}});
  };
  return meet(meet(quads[0], quads[1]), meet(quads[2], quads[3]));
}

// The greater of two numbers is no less than the lesser, unless one is NaN: each of the two is passed on by max or by min.
TERSOR_INLINE Ranges measure(const float* x, std::int64_t blocks) noexcept {
  const auto greatest = [](auto p, auto q) TERSOR_LAMBDA { return max(p, q); };
  const auto least = [](auto p, auto q) TERSOR_LAMBDA { return min(p, q); };
  Ranges ranges;
  I32 ordered = splat<std::int32_t>(-1);
  for (std::int64_t b = 0; b < blocks; b += 4) {
    Quad highs[4], lows[4];
    for (int k = 0; k < 4; ++k) {
      const float* block = x + (b + k < blocks ? b + k : b) * kBlock;
      const F32 first = load(block), second = load(block + kLanes), high = max(first, second), low = min(second, first);
      ordered = ordered & greater_equal(high, low);
      highs[k] = quad_of(high, greatest);
      lows[k] = quad_of(low, least);
    }
    store(ranges.high + b, one_of_each(highs, greatest));
    store(ranges.low + b, one_of_each(lows, least));
  }
  if (!all_of(ordered)) mark_nan(x, blocks, ranges);
  ranges.finite = are_finite(load(ranges.low)) & are_finite(load(ranges.high));
  return ranges;
}

// Where a block's greatest number and its least are as far from zero, the first of either kind decides; of zeros the first too.
void settle_ties(const float* x, std::uint32_t tied, Ranges& ranges) noexcept {
  for (; tied; tied &= tied - 1) {
    const int b = __builtin_ctz(tied);
    const float magnitude = ranges.high[b];
    const float* number = x + b * kBlock;
    while (*number != magnitude && *number != -magnitude) ++number;
    ranges.low[b] = ranges.high[b] = *number;
  }
}
// Of minima that are zero the first zero.
void settle_zeros(const float* x, std::uint32_t zeros, Ranges& ranges) noexcept {
  for (; zeros; zeros &= zeros - 1) {
    const int b = __builtin_ctz(zeros);
    const float* number = x + b * kBlock;
    while (*number != 0) ++number;
    ranges.low[b] = *number;
  }
}

// --- scales ------------------------------------------------------------------------------------------------------------

struct Scales {
  alignas(64) float inverse[kTile], minimum[kTile];
  alignas(64) std::uint16_t stored[kTile], stored_minimum[kTile];
  bool plain;  // no product with an inverse can be NaN or infinite
};

template <class Type>
TERSOR_INLINE Scales scales_of(const float* x, Ranges& ranges, std::int64_t blocks) noexcept {
  const std::uint32_t there = (1u << blocks) - 1;
  const F32 zero = splat(0.f), high = load(ranges.high);
  Scales scales;
  F32 scale;
  if constexpr (Type::kHasMinimum) {
    settle_zeros(x, bits_of(equal(load(ranges.low), zero)) & there, ranges);
    const F32 low = load(ranges.low);
    scale = (high - low) / splat(Type::kMost) + zero;  // no zero with a sign
    store(scales.minimum, low);
    store(scales.stored_minimum, to_half(low));
  } else if constexpr (Type::kBits == 8) {
    scale = max(high, zero - load(ranges.low)) / splat(Type::kMost);
  } else {
    settle_ties(x, bits_of(equal(high, zero - load(ranges.low))) & there, ranges);
    const F32 low = load(ranges.low), most = load(ranges.high);
    scale = select(greater(most, zero - low), most, low) * splat(-1 / Type::kMiddle);
  }
  const F32 inverse = select_or_zero(not_equal(scale, zero), splat(1.f) / scale);
  store(scales.inverse, inverse);
  store(scales.stored, to_half(scale));
  scales.plain = ranges.finite & are_finite(scale) & are_finite(inverse);
  return scales;
}

// --- codes -------------------------------------------------------------------------------------------------------------

// What is no finite number becomes 0, as what x86 converts does in its lowest byte.
template <bool kPlain>
TERSOR_INLINE F32 product_with(F32 x, F32 inverse) noexcept {
  return kPlain ? x * inverse : if_finite(x * inverse);
}

template <class Type, bool kPlain>
TERSOR_INLINE I32 code_of(F32 x, F32 inverse, F32 minimum) noexcept {
  F32 place;
  if constexpr (Type::kHasMinimum)
    place = (x - minimum) * inverse + splat(0.5f);
  else
    place = x * inverse + splat(Type::kMiddle + 0.5f);
  return min(cut(kPlain ? place : if_finite(place)), splat(static_cast<std::int32_t>(Type::kMost)));
}

// Half away from zero: what is added is one step less than a half, and a sum that reaches the next integer rounds up to it.
TERSOR_INLINE I8 nearest_away(F32 x) noexcept {
  const U32 sign = bit_cast<std::uint32_t>(x) & splat<std::uint32_t>(0x80000000);
  return demote(cut(x + bit_cast<float>(sign | bit_cast<std::uint32_t>(splat(0x1.fffffep-2f)))));
}

template <class Type, bool kPlain>
TERSOR_INLINE void put_codes(const float* x, F32 inverse, F32 minimum, std::uint8_t* to) noexcept {
  const F32 first = load(x), second = load(x + kLanes);
  if constexpr (Type::kBits == 8) {
    store(to, bit_cast<std::uint8_t>(nearest_away(product_with<kPlain>(first, inverse))));
    store(to + kLanes, bit_cast<std::uint8_t>(nearest_away(product_with<kPlain>(second, inverse))));
  } else {
    const I32 low = code_of<Type, kPlain>(first, inverse, minimum), high = code_of<Type, kPlain>(second, inverse, minimum);
    if constexpr (Type::kBits == 4) {
      store(to, join_nibbles(low, high));
    } else {
      const I8 most = splat<std::int8_t>(15), low_bytes = demote(low), high_bytes = demote(high);
      const std::uint32_t fifth = bits_of(greater(low_bytes, most)) | bits_of(greater(high_bytes, most)) << kLanes;
      std::memcpy(to, &fifth, sizeof fifth);
      store(to + sizeof fifth, join_nibbles(bit_cast<std::uint8_t>(low_bytes), bit_cast<std::uint8_t>(high_bytes)));
    }
  }
}

template <class Type, bool kPlain>
TERSOR_INLINE void put_blocks(const float* x, const Scales& scales, std::int64_t blocks, std::uint8_t* to) noexcept {
  for (std::int64_t b = 0; b < blocks; ++b, x += kBlock, to += Type::kBytes) {
    std::memcpy(to, &scales.stored[b], 2);
    F32 minimum = splat(0.f);
    if constexpr (Type::kHasMinimum) {
      std::memcpy(to + 2, &scales.stored_minimum[b], 2);
      minimum = splat(scales.minimum[b]);
    }
    put_codes<Type, kPlain>(x, splat(scales.inverse[b]), minimum, to + (Type::kHasMinimum ? 4 : 2));
  }
}

template <class Type>
[[gnu::noinline]] void encode_tile(const float* x, std::int64_t blocks, std::uint8_t* to) noexcept {
  Ranges ranges = measure(x, blocks);
  const Scales scales = scales_of<Type>(x, ranges, blocks);
  if (scales.plain)
    put_blocks<Type, true>(x, scales, blocks, to);
  else
    put_blocks<Type, false>(x, scales, blocks, to);
}

template <class Type, class Storage>
void encode(const std::byte* numbers, std::int64_t blocks, std::byte* to, Store) noexcept {
  const auto* from = reinterpret_cast<const typename Storage::Bits*>(numbers);
  auto* place = reinterpret_cast<std::uint8_t*>(to);
  alignas(64) float room[kTile * kBlock];
  for (std::int64_t b = 0; b < blocks; b += kTile) {
    const std::int64_t count = blocks - b < kTile ? blocks - b : kTile;
    for (std::int64_t i = 0; i < count * kBlock; i += kLanes) prefetch_ahead(from + b * kBlock + i);
    encode_tile<Type>(as_float32<Storage>(from + b * kBlock, count * kBlock, room), count, place + b * Type::kBytes);
  }
}

// --- numbers -----------------------------------------------------------------------------------------------------------

// The halves that stand at one place of each of 16 blocks.
template <class Type>
TERSOR_INLINE F32 halves_at(const std::uint8_t* from, std::int64_t blocks, int place) noexcept {
  alignas(64) std::uint16_t halves[kTile] = {};
  for (std::int64_t b = 0; b < blocks; ++b) std::memcpy(&halves[b], from + b * Type::kBytes + place, 2);
  return from_half(load(halves));
}

struct Codes {
  I8 first, second;
};

template <class Type>
TERSOR_INLINE Codes codes_at(const std::uint8_t* block) noexcept {
  if constexpr (Type::kBits == 8) {
    const auto* codes = reinterpret_cast<const std::int8_t*>(block + Type::kCodes);
    return {load(codes), load(codes + kLanes)};
  } else {
    const U8 bytes = load(block + Type::kCodes);
    Codes codes{bit_cast<std::int8_t>(low_nibbles(bytes)), bit_cast<std::int8_t>(high_nibbles(bytes))};
    if constexpr (Type::kBits == 5) {
      std::uint32_t fifth;
      std::memcpy(&fifth, block + Type::kFifthBits, sizeof fifth);
      const I8 sixteen = splat<std::int8_t>(16);
      codes.first = codes.first | (mask_of_bits(fifth & 0xffff) & sixteen);
      codes.second = codes.second | (mask_of_bits(fifth >> kLanes) & sixteen);
    }
    if constexpr (!Type::kHasMinimum) {
      const I8 middle = splat(static_cast<std::int8_t>(Type::kMiddle));
      codes.first = codes.first - middle;
      codes.second = codes.second - middle;
    }
    return codes;
  }
}

template <class Type, class Out, bool kNumbers>
TERSOR_INLINE void decode_tile(const std::uint8_t* from, std::int64_t blocks, const float* scales, const float* minima,
                               typename Out::Bits* to, bool streams) noexcept {
  for (std::int64_t b = 0; b < blocks; ++b) {
    const Codes codes = codes_at<Type>(from + b * Type::kBytes);
    const F32 scale = splat(scales[b]);
    F32 first = scale * numbers_of(codes.first), second = scale * numbers_of(codes.second);
    if constexpr (Type::kHasMinimum) {
      first = first + splat(minima[b]);
      second = second + splat(minima[b]);
    }
    put_numbers<Out, kNumbers>(to + b * kBlock, first, second, streams);
  }
}

template <class Type, class Out>
void decode(const std::byte* from, std::int64_t blocks, std::byte* numbers, Store mode) noexcept {
  const auto* bytes = reinterpret_cast<const std::uint8_t*>(from);
  auto* to = reinterpret_cast<typename Out::Bits*>(numbers);
  const bool streams = streams_to(to, mode);
  alignas(64) float scales[kTile], minima[kTile] = {};
  for (std::int64_t b = 0; b < blocks; b += kTile) {
    const std::int64_t count = blocks - b < kTile ? blocks - b : kTile;
    const std::uint8_t* tile = bytes + b * Type::kBytes;
    const F32 of_blocks = halves_at<Type>(tile, count, 0);
    store(scales, of_blocks);
    bool finite = are_finite(of_blocks);
    if constexpr (Type::kHasMinimum) {
      const F32 of_minima = halves_at<Type>(tile, count, 2);
      store(minima, of_minima);
      finite &= are_finite(of_minima);
    }
    if (finite)
      decode_tile<Type, Out, true>(tile, count, scales, minima, to + b * kBlock, streams);
    else
      decode_tile<Type, Out, false>(tile, count, scales, minima, to + b * kBlock, streams);
  }
}

template <class Type>
inline constexpr BlockKernels kKernels{
    .encode = {encode<Type, Float32>, encode<Type, Float16>, encode<Type, BFloat16>, encode<Type, Float64>},
    .decode = {decode<Type, Float32>, decode<Type, Float16>, decode<Type, BFloat16>, decode<Type, Float64>}};

}  // namespace

constinit const FormatsGgufKernels formats_gguf_kernels{
    .q4_0 = kKernels<Q4_0>, .q4_1 = kKernels<Q4_1>, .q5_0 = kKernels<Q5_0>, .q5_1 = kKernels<Q5_1>, .q8_0 = kKernels<Q8_0>};

}  // namespace tersor::cpu::TERSOR_LEVEL
