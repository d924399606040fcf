// formats: the super-blocks of 256 numbers of ggml. What each type holds, and how its scales are found, stands in
// python/tersor/reference/formats_gguf.py.
//
// A fit tries many grids for each part, with sums whose order counts. So each lane of a vector has a part of its own, and the sums
// of 16 parts run side by side, from the first number to the last.

#include "cpu/formats_gguf_k.h"
#include "cpu/formats_gguf_block.h"

namespace tersor::cpu::TERSOR_LEVEL {

namespace {

constexpr int kSuperBlock = 256;
constexpr std::uint16_t kHalfNan = 0x7e00;

// Eight parts of 32: scale and minimum, of the parts 6 bits each, fifth bits, nibbles.
template <int kBitCount>
struct WithMinima {
  static constexpr int kBits = kBitCount;
  static constexpr float kMost = (1 << kBits) - 1;
  static constexpr float kFirst = kBits == 4 ? -1.f : -0.5f;
  static constexpr int kSteps = kBits == 4 ? 20 : 15;
  static constexpr int kShares = 4, kFifthBits = 16;
  static constexpr int kCodes = kFifthBits + (kBits == 5 ? 32 : 0);
  static constexpr int kBytes = kCodes + kSuperBlock / 2;
  static constexpr int kScale = 0;
};
using Q4_K = WithMinima<4>;
using Q5_K = WithMinima<5>;
// Sixteen parts of 16: nibbles, upper bits, scales of the parts, scale.
struct Q6_K {
  static constexpr int kUpperBits = 128, kShares = 192, kScale = 208, kBytes = 210;
};

// By integers: a vector made of one half in memory would wait for that to be written. Scales of q6_k are often subnormal, so that
// no step may be slow for those.
TERSOR_INLINE float number_of_half(const std::uint8_t* from) noexcept {
  std::uint16_t half;
  std::memcpy(&half, from, sizeof half);
  const std::uint32_t magnitude = half & 0x7fffu;
  const float subnormal = static_cast<float>(magnitude) * 0x1p-24f;
  std::uint32_t bits;
  std::memcpy(&bits, &subnormal, sizeof bits);
  if (magnitude >= 0x400) bits = (magnitude << 13) + (112u << 23);
  if (magnitude >= 0x7c00) bits = magnitude << 13 | 0x7f800000u;
  bits |= (half & 0x8000u) << 16;
  float number;
  std::memcpy(&number, &bits, sizeof number);
  return number;
}
TERSOR_INLINE std::uint16_t half_of(float number) noexcept {
  alignas(64) std::uint16_t half[kLanes];
  store(half, to_half(splat(number)));
  return half[0];
}
TERSOR_INLINE bool is_finite(float x) noexcept { return x - x == 0; }

TERSOR_INLINE F32 number(F32 x) noexcept { return select_or_zero(equal(x, x), x); }  // 0 for NaN

// Codes from 0 to most; 0 for NaN.
TERSOR_INLINE F32 code_from_zero(F32 x, F32 most) noexcept { return min(max(round_half_even(x), splat(0.f)), most); }
// Codes of 6 bits with a sign.
TERSOR_INLINE F32 code_of_six(F32 x) noexcept { return max(min(number(round_half_even(x)), splat(31.f)), splat(-32.f)); }

// A number of each of 16 parts in each vector.
template <int kPart>
TERSOR_INLINE void spread_parts(const float* x, int parts, float (*to)[kLanes]) noexcept {
  for (int p = 0; p < kLanes; ++p) {
    const float* from = x + (p < parts ? p : 0) * kPart;
    for (int i = 0; i < kPart; ++i) to[i][p] = from[i];
  }
}

// --- the fit of parts with a minimum -----------------------------------------------------------------------------------

constexpr int kPart = 32;

// x is about scale * code + minimum, and its code is the nearest to (x - base) * inverse.
struct Fit {
  F32 scale, minimum, inverse, base;
};

struct Weighted {
  alignas(64) float x[kPart][kLanes], weight[kPart][kLanes];
  F32 low, high, sum_w, sum_x;
};

TERSOR_INLINE F32 square_root(F32 x) noexcept {
  alignas(64) float lanes[kLanes];
  store(lanes, x);
  for (float& lane : lanes) lane = __builtin_sqrtf(lane);
  return load(lanes);
}

TERSOR_INLINE void weigh(Weighted& parts) noexcept {
  F32 squares = splat(0.f);
  for (const auto& row : parts.x) squares = squares + load(row) * load(row);
  const F32 magnitude = square_root(squares / splat(static_cast<float>(kPart)));
  parts.low = splat(0.f), parts.high = load(parts.x[0]);
  parts.sum_w = parts.sum_x = splat(0.f);
  for (int i = 0; i < kPart; ++i) {
    const F32 x = load(parts.x[i]), weight = magnitude + absolute(x);
    store(parts.weight[i], weight);
    parts.low = min(x, parts.low);
    parts.high = max(x, parts.high);
    parts.sum_w = parts.sum_w + weight;
    parts.sum_x = parts.sum_x + weight * x;
  }
}

TERSOR_INLINE F32 error_of(const Weighted& parts, const float (&codes)[kPart][kLanes], F32 scale, F32 minimum) noexcept {
  F32 error = splat(0.f);
  for (int i = 0; i < kPart; ++i) {
    const F32 difference = scale * load(codes[i]) + minimum - load(parts.x[i]);
    error = error + load(parts.weight[i]) * (difference * difference);
  }
  return error;
}

// One grid more: kept where the line through its codes is nearer.
TERSOR_INLINE void try_grid(const Weighted& parts, float most, float steps, Fit& fit, F32& error) noexcept {
  alignas(64) float codes[kPart][kLanes];
  const F32 zero = splat(0.f), base = fit.minimum, inverse = if_finite(splat(steps) / (parts.high - base));
  F32 sum_q = zero, sum_q2 = zero, sum_xq = zero;
  for (int i = 0; i < kPart; ++i) {
    const F32 x = load(parts.x[i]);
    const F32 code = code_from_zero(inverse * (x - base), splat(most)), weighted = load(parts.weight[i]) * code;
    store(codes[i], code);
    sum_q = sum_q + weighted;
    sum_q2 = sum_q2 + weighted * code;
    sum_xq = sum_xq + weighted * x;
  }
  const F32 divisor = parts.sum_w * sum_q2 - sum_q * sum_q;
  F32 scale = (parts.sum_w * sum_xq - parts.sum_x * sum_q) / divisor;
  F32 minimum = (sum_q2 * parts.sum_x - sum_q * sum_xq) / divisor;
  const auto is_above = greater(minimum, zero);
  scale = select(is_above, sum_xq / sum_q2, scale);
  minimum = select(is_above, zero, minimum);
  const F32 tried = error_of(parts, codes, scale, minimum);
  const auto is_better = greater(divisor, zero) & less(tried, error);
  error = select(is_better, tried, error);
  fit = {select(is_better, scale, fit.scale), select(is_better, minimum, fit.minimum), select(is_better, inverse, fit.inverse),
         select(is_better, base, fit.base)};
}

[[gnu::noinline]] void fit_parts(const float* x, int count, float most, float first, int steps, Fit& found) noexcept {
  Weighted parts;
  spread_parts<kPart>(x, count, parts.x);
  weigh(parts);
  const F32 zero = splat(0.f), inverse = splat(most) / (parts.high - parts.low);
  Fit fit{splat(1.f) / inverse, parts.low, if_finite(inverse), parts.low};
  alignas(64) float codes[kPart][kLanes];
  for (int i = 0; i < kPart; ++i) store(codes[i], code_from_zero(fit.inverse * (load(parts.x[i]) - fit.base), splat(most)));
  F32 error = error_of(parts, codes, fit.scale, fit.minimum);
  for (int step = 0; step <= steps; ++step) try_grid(parts, most, first + 0.1f * static_cast<float>(step) + most, fit, error);
  const auto is_flat = equal(parts.high, parts.low);
  found = {select(is_flat, zero, fit.scale), select(is_flat, parts.low, fit.minimum), select(is_flat, zero, fit.inverse),
           select(is_flat, parts.low, fit.base)};
}

// --- two super-blocks with minima ---------------------------------------------------------------------------------------

constexpr int kParts = 8;

// Of the parts of two super-blocks: their scales or minima as shares of the greatest, and the scale of these.
struct Shares {
  alignas(64) float factor[kLanes];  // by which codes of the part are multiplied, or what is taken off
  alignas(64) std::uint8_t code[kLanes];
  std::uint16_t stored[2];
};

TERSOR_INLINE Shares shares_of(F32 x) noexcept {
  alignas(64) float lanes[kLanes], share[kLanes], scale[kLanes];
  store(lanes, x);
  Shares shares;
  for (int s = 0; s < 2; ++s) {
    float most = 0;
    for (int p = 0; p < kParts; ++p) most = lanes[s * kParts + p] > most ? lanes[s * kParts + p] : most;
    const float each = most > 0 && is_finite(63.f / most) ? 63.f / most : 0.f;
    shares.stored[s] = half_of(most / 63.f);
    const float stored = number_of_half(reinterpret_cast<const std::uint8_t*>(&shares.stored[s]));
    for (int p = 0; p < kParts; ++p) {
      share[s * kParts + p] = each;
      scale[s * kParts + p] = stored;
    }
  }
  const I32 nearest = to_int32(number(round_half_even(load(share) * x))) & splat<std::int32_t>(255);
  const I32 code = min(nearest, splat<std::int32_t>(63));
  store(shares.code, bit_cast<std::uint8_t>(demote(code)));
  store(shares.factor, load(scale) * to_float(code));
  return shares;
}

// Four scales and four minima take a byte each, whose upper bits are those of the other four.
TERSOR_INLINE void put_shares(const std::uint8_t* scale, const std::uint8_t* minimum, std::uint8_t* to) noexcept {
  for (int i = 0; i < 4; ++i) {
    to[i] = static_cast<std::uint8_t>(scale[i] | scale[i + 4] >> 4 << 6);
    to[i + 4] = static_cast<std::uint8_t>(minimum[i] | minimum[i + 4] >> 4 << 6);
    to[i + 8] = static_cast<std::uint8_t>((scale[i + 4] & 15) | minimum[i + 4] << 4);
  }
}

// How the codes of a part are made of its numbers: by its scale, or where that has become 0 by its fit.
struct PartGrid {
  F32 shift, factor;
  bool divides;
  TERSOR_INLINE F32 operator()(F32 x) const noexcept { return divides ? (x + shift) / factor : factor * (x - shift); }
};

template <class Type>
TERSOR_INLINE I32 codes_by(const PartGrid& grid, const float* x) noexcept {
  return to_int32(code_from_zero(grid(load(x)), splat(Type::kMost)));
}

// Two parts: the first in the low nibbles, the second in the high ones; fifth bits at their place.
template <class Type>
TERSOR_INLINE void put_pair(const float* x, const PartGrid& first, const PartGrid& second, int pair, std::uint8_t* block) noexcept {
  std::uint8_t* codes = block + Type::kCodes + pair * kPart;
  for (int i = 0; i < kPart; i += kLanes) {
    const I32 low = codes_by<Type>(first, x + i), high = codes_by<Type>(second, x + kPart + i);
    if constexpr (Type::kBits == 4) {
      store(codes + i, join_nibbles(low, high));
    } else {
      const I8 most = splat<std::int8_t>(15), low_bytes = demote(low), high_bytes = demote(high);
      store(codes + i, join_nibbles(bit_cast<std::uint8_t>(low_bytes), bit_cast<std::uint8_t>(high_bytes)));
      const I8 bits = (greater(low_bytes, most) & splat(static_cast<std::int8_t>(1 << (2 * pair)))) |
                      (greater(high_bytes, most) & splat(static_cast<std::int8_t>(2 << (2 * pair))));
      std::uint8_t* fifth = block + Type::kFifthBits + i;
      store(fifth, pair ? load(fifth) | bit_cast<std::uint8_t>(bits) : bit_cast<std::uint8_t>(bits));
    }
  }
}

template <class Type>
void encode_two(const float* x, int count, std::uint8_t* to) noexcept {
  Fit fit;
  fit_parts(x, count * kParts, Type::kMost, Type::kFirst, Type::kSteps, fit);
  const Shares scales = shares_of(fit.scale), minima = shares_of(splat(0.f) - fit.minimum);
  alignas(64) float inverse[kLanes], base[kLanes];
  store(inverse, fit.inverse);
  store(base, fit.base);
  const auto grid_of = [&](int p) TERSOR_LAMBDA {
    if (scales.factor[p] != 0) return PartGrid{splat(minima.factor[p]), splat(scales.factor[p]), true};
    return PartGrid{splat(base[p]), splat(inverse[p]), false};
  };
  for (int s = 0; s < count; ++s, to += Type::kBytes) {
    std::memcpy(to, &scales.stored[s], 2);
    std::memcpy(to + 2, &minima.stored[s], 2);
    put_shares(scales.code + s * kParts, minima.code + s * kParts, to + Type::kShares);
    for (int pair = 0; pair < kParts / 2; ++pair) {
      const int p = s * kParts + 2 * pair;
      put_pair<Type>(x + p * kPart, grid_of(p), grid_of(p + 1), pair, to);
    }
  }
}

// --- a super-block of 6 bits --------------------------------------------------------------------------------------------

constexpr int kSmallPart = 16;
constexpr float kLeastMagnitude = 1e-15f;  // less is nothing

struct SixFit {
  F32 scale, inverse;
};

[[gnu::noinline]] void fit_small_parts(const float* x, SixFit& found) noexcept {
  alignas(64) float spread[kSmallPart][kLanes], cubes[kSmallPart][kLanes], squares[kSmallPart][kLanes];
  spread_parts<kSmallPart>(x, kLanes, spread);
  const F32 zero = splat(0.f);
  F32 magnitude = zero, greatest = zero;
  for (int i = 0; i < kSmallPart; ++i) {
    const F32 of_row = load(spread[i]), square = of_row * of_row;
    store(squares[i], square);
    store(cubes[i], square * of_row);
    greatest = select(greater(absolute(of_row), magnitude), of_row, greatest);
    magnitude = max(absolute(of_row), magnitude);
  }
  F32 sum_xq, sum_q2;
  const auto sum = [&](F32 inverse) TERSOR_LAMBDA {
    sum_xq = sum_q2 = zero;
    for (int i = 0; i < kSmallPart; ++i) {
      const F32 code = code_of_six(inverse * load(spread[i]));
      sum_xq = sum_xq + load(cubes[i]) * code;
      sum_q2 = sum_q2 + load(squares[i]) * code * code;
    }
  };
  F32 best_inverse = splat(-32.f) / greatest;
  sum(best_inverse);
  F32 scale = select_or_zero(not_equal(sum_q2, zero), sum_xq / sum_q2), best = scale * sum_xq;
  for (int step = -9; step <= 9; ++step) {
    if (step == 0) continue;
    const F32 inverse = splat(-(32.f + 0.1f * static_cast<float>(step))) / greatest;
    sum(inverse);
    const auto is_better = greater(sum_q2, zero) & greater(sum_xq * sum_xq, best * sum_q2);
    scale = select(is_better, sum_xq / sum_q2, scale);
    best = select(is_better, scale * sum_xq, best);
    best_inverse = select(is_better, inverse, best_inverse);
  }
  const auto is_something = greater_equal(magnitude, splat(kLeastMagnitude));
  found = {select_or_zero(is_something, scale), select_or_zero(is_something, best_inverse)};
}

// The lower four bits of 128 codes to 64 bytes, the upper two to 32.
TERSOR_INLINE void put_six_bits(const std::uint8_t* codes, std::uint8_t* lower, std::uint8_t* upper) noexcept {
  for (int i = 0; i < 64; i += kLanes) store(lower + i, join_nibbles(load(codes + i), load(codes + 64 + i)));
  for (int i = 0; i < 32; i += kLanes) {
    const auto upper_of = [=](int quarter) TERSOR_LAMBDA { return shift_right<4>(load(codes + 32 * quarter + i)); };
    store(upper + i, upper_of(0) | move_up<2>(upper_of(1)) | move_up<4>(upper_of(2)) | move_up<6>(upper_of(3)));
  }
}

void encode_q6_k(const float* x, std::uint8_t* to) noexcept {
  SixFit fit;
  fit_small_parts(x, fit);
  alignas(64) float scales[kLanes], inverse[kLanes], factor[kLanes];
  store(scales, fit.scale);
  store(inverse, fit.inverse);
  float greatest = 0, magnitude = 0;
  for (const float scale : scales) {
    const float of_scale = scale < 0 ? -scale : scale;
    if (of_scale > magnitude) magnitude = of_scale, greatest = scale;
  }
  if (magnitude < kLeastMagnitude) {
    std::memset(to, 0, Q6_K::kBytes);
    return;
  }
  const float of_scales = -128.f / greatest;
  const std::uint16_t stored = half_of(1.f / of_scales);
  std::memcpy(to + Q6_K::kScale, &stored, 2);
  const F32 share = min(number(round_half_even(splat(of_scales) * fit.scale)), splat(127.f));
  const I8 share_codes = demote(to_int32(share));
  store(to + Q6_K::kShares, bit_cast<std::uint8_t>(share_codes));
  store(factor, splat(number_of_half(to + Q6_K::kScale)) * share);
  alignas(64) std::uint8_t codes[kSuperBlock];
  for (int p = 0; p < kLanes; ++p) {
    const F32 of_part = load(x + p * kSmallPart);
    const F32 place = factor[p] != 0 ? of_part / splat(factor[p]) : splat(inverse[p]) * of_part;
    const bool is_nothing = factor[p] == 0 && inverse[p] == 0;
    const F32 code = is_nothing ? splat(0.f) : code_of_six(place) + splat(32.f);
    store(codes + p * kSmallPart, bit_cast<std::uint8_t>(demote(to_int32(code))));
  }
  for (int half = 0; half < 2; ++half) put_six_bits(codes + 128 * half, to + 64 * half, to + Q6_K::kUpperBits + 32 * half);
}

// --- rows of super-blocks -----------------------------------------------------------------------------------------------

TERSOR_INLINE bool holds_numbers(const float* x) noexcept {
  I32 finite = splat<std::int32_t>(-1);
  for (int i = 0; i < kSuperBlock; i += kLanes) finite = finite & less(absolute(load(x + i)), splat(kInfinite));
  return all_of(finite);
}

// NaN or an infinity leaves but a scale of NaN.
template <class Type>
void put_nan(std::uint8_t* to) noexcept {
  std::memset(to, 0, Type::kBytes);
  std::memcpy(to + Type::kScale, &kHalfNan, 2);
}

constexpr int kTile = 2;  // super-blocks

template <class Type>
[[gnu::noinline]] void encode_tile(const float* x, int blocks, std::uint8_t* to) noexcept {
  if constexpr (Type::kScale == 0)
    encode_two<Type>(x, blocks, to);
  else
    for (int b = 0; b < blocks; ++b) encode_q6_k(x + b * kSuperBlock, to + b * Type::kBytes);
  for (int b = 0; b < blocks; ++b)
    if (!holds_numbers(x + b * kSuperBlock)) put_nan<Type>(to + b * Type::kBytes);
}

template <class Type, class Storage>
void encode(const std::byte* numbers, std::int64_t blocks, std::byte* to, Store) noexcept {
  const auto* from = reinterpret_cast<const typename Storage::Bits*>(numbers);
  auto* place = reinterpret_cast<std::uint8_t*>(to);
  alignas(64) float room[kTile * kSuperBlock];
  for (std::int64_t b = 0; b < blocks; b += kTile) {
    const int count = blocks - b < kTile ? 1 : kTile;
    encode_tile<Type>(as_float32<Storage>(from + b * kSuperBlock, count * kSuperBlock, room), count, place + b * Type::kBytes);
  }
}

// --- numbers ------------------------------------------------------------------------------------------------------------

// Of eight parts the scales, then the minima, as shares.
TERSOR_INLINE F32 shares_at(const std::uint8_t* from) noexcept {
  std::uint32_t word[3];
  std::memcpy(word, from, sizeof word);
  const auto lower = [](std::uint32_t bytes) TERSOR_LAMBDA { return bytes & 0x3f3f3f3fu; };
  const auto joined = [](std::uint32_t nibbles, std::uint32_t upper)
                          TERSOR_LAMBDA { return (nibbles & 0x0f0f0f0fu) | (upper >> 2 & 0x30303030u); };
  const Lanes<std::uint32_t, 4> shares{{{lower(word[0]), joined(word[2], word[0]), lower(word[1]), joined(word[2] >> 4, word[1])}}};
  return numbers_of(bit_cast<std::int8_t>(shares));
}

template <class Type, class Out, bool kNumbers>
TERSOR_INLINE void decode_parts(const std::uint8_t* block, const float (&factor)[kLanes], typename Out::Bits* to,
                                bool streams) noexcept {
  for (int pair = 0; pair < kParts / 2; ++pair) {
    const std::uint8_t* codes = block + Type::kCodes + pair * kPart;
    for (int part = 0; part < 2; ++part) {
      const int p = 2 * pair + part;
      const F32 scale = splat(factor[p]), minimum = splat(factor[kParts + p]);
      const auto numbers_at = [&](int i) TERSOR_LAMBDA {
        U8 code = part ? high_nibbles(load(codes + i)) : low_nibbles(load(codes + i));
        if constexpr (Type::kBits == 5) {
          const U8 own_bit = splat(static_cast<std::uint8_t>(1 << p));
          const U8 fifth = load(block + Type::kFifthBits + i) & own_bit;
          code = code | (bit_cast<std::uint8_t>(equal(fifth, own_bit)) & splat<std::uint8_t>(16));
        }
        return scale * numbers_of(bit_cast<std::int8_t>(code)) - minimum;
      };
      put_numbers<Out, kNumbers>(to + p * kPart, numbers_at(0), numbers_at(kLanes), streams);
    }
  }
}

// 16 codes of a quarter of 128, less the middle.
template <int kQuarter>
TERSOR_INLINE I8 six_bits_at(const std::uint8_t* lower, const std::uint8_t* upper) noexcept {
  const U8 bytes = load(lower + 32 * (kQuarter % 2)), low = kQuarter < 2 ? low_nibbles(bytes) : high_nibbles(bytes);
  const U8 high = shift_right<2 * kQuarter>(load(upper)) & splat<std::uint8_t>(3);
  return bit_cast<std::int8_t>(low | move_up<4>(high)) - splat<std::int8_t>(32);
}

template <class Out, bool kNumbers, int... kQuarter>
TERSOR_INLINE void decode_six_bits(const std::uint8_t* block, const float (&factor)[kLanes], typename Out::Bits* to, bool streams,
                                   std::integer_sequence<int, kQuarter...>) noexcept {
  for (int half = 0; half < 2; ++half) {
    const std::uint8_t *lower = block + 64 * half, *upper = block + Q6_K::kUpperBits + 32 * half;
    const float* scale = factor + 8 * half;
    (put_numbers<Out, kNumbers>(
         to + 128 * half + 32 * kQuarter, splat(scale[2 * kQuarter]) * numbers_of(six_bits_at<kQuarter>(lower, upper)),
         splat(scale[2 * kQuarter + 1]) * numbers_of(six_bits_at<kQuarter>(lower + kSmallPart, upper + kSmallPart)), streams),
     ...);
  }
}

template <class Type, class Out>
void decode(const std::byte* from, std::int64_t blocks, std::byte* numbers, Store mode) noexcept {
  const auto* block = reinterpret_cast<const std::uint8_t*>(from);
  auto* to = reinterpret_cast<typename Out::Bits*>(numbers);
  const bool streams = streams_to(to, mode);
  alignas(64) float factor[kLanes];
  for (std::int64_t b = 0; b < blocks; ++b, block += Type::kBytes, to += kSuperBlock) {
    const float of_block = number_of_half(block + Type::kScale);
    if constexpr (Type::kScale == 0) {
      const float minimum = number_of_half(block + 2);
      const F32 scales = concat(splat<float, kParts>(of_block), splat<float, kParts>(minimum));
      store(factor, scales * shares_at(block + Type::kShares));
      if (is_finite(of_block) && is_finite(minimum))
        decode_parts<Type, Out, true>(block, factor, to, streams);
      else
        decode_parts<Type, Out, false>(block, factor, to, streams);
    } else {
      store(factor, splat(of_block) * numbers_of(load(reinterpret_cast<const std::int8_t*>(block) + Q6_K::kShares)));
      constexpr auto kQuarters = std::make_integer_sequence<int, 4>();
      if (is_finite(of_block))
        decode_six_bits<Out, true>(block, factor, to, streams, kQuarters);
      else
        decode_six_bits<Out, false>(block, factor, to, streams, kQuarters);
    }
  }
}

template <class Type>
inline constexpr BlockKernels kKernels{
    .encode = {encode<Type, Float32>, encode<Type, Float16>, encode<Type, BFloat16>, encode<Type, Float64>},
    .decode = {decode<Type, Float32>, decode<Type, Float16>, decode<Type, BFloat16>, decode<Type, Float64>}};

}  // namespace

constinit const FormatsGgufKKernels formats_gguf_k_kernels{.q4_k = kKernels<Q4_K>, .q5_k = kKernels<Q5_K>, .q6_k = kKernels<Q6_K>};

}  // namespace tersor::cpu::TERSOR_LEVEL
