// formats: 4-bit codes of numbers, and the float8 scales of their runs. The rules stand in python/tersor/reference/.

#include "cpu/formats_float.h"
#include "cpu/map.h"
#include "cpu/nibbles.h"
#include "cpu/storage.h"

namespace tersor::cpu::TERSOR_LEVEL {

namespace {

template <class Storage>
TERSOR_INLINE F32 as_float32(Lanes<typename Storage::Bits> bits) noexcept {
  if constexpr (sizeof(typename Storage::Math) == 8)
    return demote_f32(Storage::widen(bits));
  else
    return Storage::widen(bits);
}

template <class To, class From>
TERSOR_INLINE auto bits_as(From value) noexcept {
  To to;
  static_assert(sizeof to == sizeof value);
  std::memcpy(&to, &value, sizeof to);
  return to;
}

// --- the greatest magnitudes --------------------------------------------------------------------------------------------

// What is no number less than infinity in float32.
template <class Storage>
inline constexpr auto kEndlessBits = static_cast<SignedOf<typename Storage::Bits>>(
    sizeof(typename Storage::Bits) == 8 ? 0x47effffff0000000 : Storage::kInfinityBits);

template <bool kFiltered, class Storage>
TERSOR_INLINE auto greatest_magnitude(const typename Storage::Bits* from, std::int64_t count) noexcept {
  using Signed = SignedOf<typename Storage::Bits>;
  const auto finite = [=](std::int64_t i, auto lanes) TERSOR_LAMBDA {
    const auto bits = magnitude(load(from + i, lanes));
    if constexpr (kFiltered)
      return select_or_zero(less(bits, splat(kEndlessBits<Storage>)), bits);
    else
      return bits;
  };
  Lanes<Signed> greatest = splat(Signed{0});
  std::int64_t i = 0;
  for (; i + kLanes <= count; i += kLanes) greatest = max(greatest, finite(i, Full{}));
  if (i < count) greatest = max(greatest, finite(i, Partial{static_cast<int>(count - i)}));
  return reduce_max(greatest);
}

template <class Storage>
void measure(const std::byte* w, std::int64_t count, std::int64_t run, std::byte* magnitudes) noexcept {
  using Bits = typename Storage::Bits;
  const auto* from = reinterpret_cast<const Bits*>(w);
  auto* to = reinterpret_cast<SignedOf<Bits>*>(magnitudes);
  for (std::int64_t begin = 0; begin < count; begin += run) {
    const std::int64_t length = count - begin < run ? count - begin : run;
    auto greatest = greatest_magnitude<false, Storage>(from + begin, length);
    if (greatest >= kEndlessBits<Storage>) greatest = greatest_magnitude<true, Storage>(from + begin, length);
    *to++ = greatest;
  }
}

// --- scales -------------------------------------------------------------------------------------------------------------

// Adding a power of two whose last digit is a step rounds to steps, half to even. 24 beside it makes the sum of its digits and its
// exponent, in eighths, the code modulo 128.
TERSOR_INLINE U32 e4m3_codes(F32 x) noexcept {  // nonnegative
  x = min(x, splat(448.0f));
  const auto least_normal = bits_as<std::int32_t>(0x1p-6f);
  const I32 exponent = max(bit_cast<std::int32_t>(x) & splat(0x7f800000), splat(least_normal));
  const F32 rounder = bit_cast<float>(exponent + splat((20 << 23) + 24));
  const U32 sum = bit_cast<std::uint32_t>(x + rounder);
  return (sum + shift_right<20>(sum)) & splat<std::uint32_t>(0x7f);
}
TERSOR_INLINE F32 e4m3_values(U32 codes) noexcept {
  const U32 sized = codes & splat<std::uint32_t>(0x7f);
  const F32 normal = bit_cast<float>(shift_left<20>(sized) + splat<std::uint32_t>(120 << 23));
  const I32 places = bit_cast<std::int32_t>(sized);
  const F32 subnormal = to_float(places) * splat(0x1p-9f);
  const F32 size = select(less(places, splat(8)), subnormal, normal);
  const F32 number = select(equal(places, splat(0x7f)), splat(__builtin_nanf("")), size);
  return bit_cast<float>(bit_cast<std::uint32_t>(number) | shift_left<24>(codes & splat<std::uint32_t>(0x80)));
}

TERSOR_INLINE F32 e8m0_values(U32 codes) noexcept {
  const I32 places = bit_cast<std::int32_t>(codes);
  const F32 power = bit_cast<float>(shift_left<23>(codes));
  const F32 least = select(equal(places, splat(0)), splat(0x1p-127f), power);
  return select(equal(places, splat(255)), splat(__builtin_nanf("")), least);
}

TERSOR_INLINE U32 wide(U8 codes) noexcept {
  return bit_cast<std::uint32_t>(promote<std::int32_t>(bit_cast<std::int8_t>(codes))) & splat<std::uint32_t>(0xff);
}
TERSOR_INLINE U8 narrow(U32 codes) noexcept {  // to int8's places and back
  const I32 places = bit_cast<std::int32_t>(codes) - splat(128);
  return bit_cast<std::uint8_t>(demote(places)) ^ splat<std::uint8_t>(128);
}

template <class Storage>
TERSOR_INLINE F32 in_dtype_of(F32 x) noexcept {
  if constexpr (sizeof(typename Storage::Bits) == 2)
    return Storage::widen(Storage::narrow(x));
  else
    return x;
}

template <class Storage>
TERSOR_INLINE U32 scale_codes(F32 greatest, ScaleFormat format, float global) noexcept {
  const auto six = splat(6.0f), of_all = splat(global);
  switch (format) {
    case ScaleFormat::kE4m3Divisor: {
      const U32 codes = e4m3_codes(in_dtype_of<Storage>(greatest / six) * of_all);
      return select(equal(bit_cast<std::int32_t>(codes), splat(0)), splat<std::uint32_t>(0x20), codes);
    }
    case ScaleFormat::kE4m3Multiplier: {
      const F32 share = greatest / (six * of_all);
      return e4m3_codes(select(equal(share, splat(0.0f)), splat(1.0f), max(share, splat(0x1p-9f))));
    }
    default: break;
  }
  const std::uint32_t added = format == ScaleFormat::kE8m0Up ? 1u << 21 : 0;
  const auto exponents = bit_cast<std::int32_t>(shift_right<23>(bit_cast<std::uint32_t>(greatest) + splat(added)));
  I32 codes = max(exponents - splat(2), splat(0));
  // compressed-tensors drops the digits of subnormal float16 numbers: 2**-14 is left, or 0, for which it takes a scale of 1.
  if (Storage::kDType == DType::kFloat16 && format == ScaleFormat::kE8m0Up)
    codes = select(less(greatest, splat(0x1.8p-15f)), splat(127), max(codes, splat(111)));
  return bit_cast<std::uint32_t>(codes);
}

TERSOR_INLINE F32 scale_values(U32 codes, ScaleFormat format, float global) noexcept {
  if (format == ScaleFormat::kE4m3Divisor) return e4m3_values(codes) / splat(global);
  if (format == ScaleFormat::kE4m3Multiplier) return e4m3_values(codes) * splat(global);
  return e8m0_values(codes);
}

template <class Storage>
void make_scales(const std::byte* magnitudes, std::int64_t runs, ScaleFormat format, float global, std::byte* stored,
                 float* scales) noexcept {
  const auto* from = reinterpret_cast<const typename Storage::Bits*>(magnitudes);
  const bool divides = format == ScaleFormat::kE4m3Divisor || format == ScaleFormat::kE4m3Multiplier;
  const auto make = [&](std::int64_t i, auto lanes) TERSOR_LAMBDA {
    const F32 greatest = as_float32<Storage>(load(from + i));
    if (format == ScaleFormat::kFloat32) {
      store(reinterpret_cast<float*>(stored) + i, greatest, lanes);
      return store(scales + i, splat(1.0f) / max(greatest, splat(1e-38f)));
    }
    const U32 codes = scale_codes<Storage>(greatest, format, global);
    store(reinterpret_cast<std::uint8_t*>(stored) + i, narrow(codes), lanes);
    const F32 values = scale_values(codes, format, global);
    store(scales + i, divides ? values : splat(1.0f) / values);  // of a power of two: exact
  };
  std::int64_t i = 0;
  for (; i + kLanes <= runs; i += kLanes) make(i, Full{});
  if (i < runs) make(i, Partial{static_cast<int>(runs - i)});
}

void load_scales(const std::byte* stored, std::int64_t runs, ScaleFormat format, float global, float* scales) noexcept {
  const auto* from = reinterpret_cast<const std::uint8_t*>(stored);
  const auto values = [=](std::int64_t i, auto lanes)
                          TERSOR_LAMBDA { return scale_values(wide(load(from + i, lanes)), format, global); };
  map_few(scales, 0, runs, values);
}

// --- codes --------------------------------------------------------------------------------------------------------------

// As for float8: 6 beside the power of two makes the sum of digits and exponent, in halves, the code modulo 8.
TERSOR_INLINE I32 e2m1_codes(F32 x, float vanishing) noexcept {
  const F32 size = min(max(absolute(x), splat(0.0f)), splat(6.0f));  // 0 for NaN
  const I32 exponent = max(bit_cast<std::int32_t>(size) & splat(0x7f800000), splat(bits_as<std::int32_t>(1.0f)));
  const U32 sum = bit_cast<std::uint32_t>(size + bit_cast<float>(exponent + splat((22 << 23) + 6)));
  const I32 codes = bit_cast<std::int32_t>((sum + shift_right<22>(sum)) & splat<std::uint32_t>(7));
  return codes | (less(x, splat(-vanishing)) & splat(8));
}

TERSOR_INLINE I32 places_among(F32 x, const CodeTable& table) noexcept {
  x = select_or_zero(equal(x, x), x);
  const auto next = [&](I32 places, F32 bounds) TERSOR_LAMBDA { return places + places - greater(x, bounds); };
  const I32 is_upper = greater(x, splat(table.middle));
  I32 places = next(splat(0) - is_upper, select(is_upper, splat(table.halves[1]), splat(table.halves[0])));
  places = next(places, lookup8(table.quarters, bit_cast<std::uint32_t>(places)));
  return next(places, lookup8(table.eighths, bit_cast<std::uint32_t>(places)));
}

TERSOR_INLINE U8 codes_at(I32 places, const std::uint8_t (&codes)[kTableCodes]) noexcept {
  const U8 index = bit_cast<std::uint8_t>(demote(places)), table = load(codes);
  return {{__builtin_shuffle(table.reg[0], index.reg[0])}};
}

// encode(x, run) gives 16 codes.
template <class Storage, class EncodeLanes>
TERSOR_INLINE void encode_runs(const typename Storage::Bits* from, std::int64_t count, int run_bits, bool even_is_high,
                               std::uint8_t* packed, const std::byte* next, EncodeLanes encode) noexcept {
  constexpr int kBytes = sizeof(typename Storage::Bits);
  const auto part = [=](std::int64_t i, auto lanes)
                        TERSOR_LAMBDA { return encode(as_float32<Storage>(load(from + i, lanes)), i >> run_bits); };
  const auto joined = [=](U8x64 codes) TERSOR_LAMBDA {
    const U8x32 bytes = join_nibbles(codes);
    return even_is_high ? swap_nibbles(bytes) : bytes;
  };
  std::int64_t i = 0;
  for (; i + 64 <= count; i += 64) {
    if (next)
      for (int byte = 0; byte < 64 * kBytes; byte += 64) prefetch(next + i * kBytes + byte);
    const auto first = concat(part(i, Full{}), part(i + 16, Full{})), second = concat(part(i + 32, Full{}), part(i + 48, Full{}));
    store(packed + i / 2, joined(concat(first, second)));
  }
  if (i == count) return;
  alignas(64) std::uint8_t codes[64] = {}, bytes[32];
  for (std::int64_t k = i; k < count; k += kLanes)
    if (k + kLanes <= count)
      store(codes + (k - i), part(k, Full{}));
    else
      store(codes + (k - i), part(k, Partial{static_cast<int>(count - k)}));
  store(bytes, joined(load<64>(codes)));
  std::memcpy(packed + i / 2, bytes, static_cast<std::size_t>((count - i + 1) / 2));
}

template <class Storage>
inline constexpr float kVanishing = Storage::kDType == DType::kFloat16    ? 0x1p-25f
                                    : Storage::kDType == DType::kBFloat16 ? 0x1p-134f
                                                                          : 0;

template <class Storage>
void encode(const std::byte* w, std::int64_t count, std::int64_t run, const float* scales, const FloatCodeRule& rule,
            std::uint8_t* packed, const std::byte* next) noexcept {
  const auto* from = reinterpret_cast<const typename Storage::Bits*>(w);
  const int run_bits = __builtin_ctzll(static_cast<unsigned long long>(run));
  const CodeTable& table = rule.table;
  const float vanishing = rule.narrows ? kVanishing<Storage> : 0;
  const auto runs = [=](auto lanes)
                        TERSOR_LAMBDA { encode_runs<Storage>(from, count, run_bits, table.even_is_high, packed, next, lanes); };
  if (table.is_e2m1 && rule.divides)
    runs([=](F32 x, std::int64_t of)
             TERSOR_LAMBDA { return bit_cast<std::uint8_t>(demote(e2m1_codes(x / splat(scales[of]), vanishing))); });
  else if (table.is_e2m1)
    runs([=](F32 x, std::int64_t of)
             TERSOR_LAMBDA { return bit_cast<std::uint8_t>(demote(e2m1_codes(x * splat(scales[of]), vanishing))); });
  else if (rule.divides)
    runs([&](F32 x, std::int64_t of) TERSOR_LAMBDA { return codes_at(places_among(x / splat(scales[of]), table), table.codes); });
  else
    runs([&](F32 x, std::int64_t of) TERSOR_LAMBDA { return codes_at(places_among(x * splat(scales[of]), table), table.codes); });
}

// --- steps of integers --------------------------------------------------------------------------------------------------

template <class Storage>
void measure_ranges(const std::byte* w, std::int64_t count, std::int64_t run, float* lows, float* highs) noexcept {
  constexpr float kNone = -__builtin_huge_valf();
  const auto* from = reinterpret_cast<const typename Storage::Bits*>(w);
  for (std::int64_t begin = 0; begin < count; begin += run) {
    const std::int64_t end = count - begin < run ? count : begin + run;
    F32 above = splat(kNone), below = splat(kNone);  // the greatest number, and the greatest one negated
    const auto include = [&](const typename Storage::Bits* items) TERSOR_LAMBDA {
      const F32 x = as_float32<Storage>(load(items));
      const I32 is_finite = less(absolute(x), splat(__builtin_huge_valf()));
      above = max(above, select(is_finite, x, splat(kNone)));
      below = max(below, select(is_finite, splat(0.0f) - x, splat(kNone)));
    };
    std::int64_t i = begin;
    for (; i + kLanes <= end; i += kLanes) include(from + i);
    if (i < end) {  // the first of them again in the place of those that are not there
      alignas(64) typename Storage::Bits rest[kLanes];
      for (int k = 0; k < kLanes; ++k) rest[k] = from[i + k < end ? i + k : i];
      include(rest);
    }
    const float high = reduce_max(above), low = reduce_max(below);
    *lows++ = low == kNone ? 0 : 0 - low;
    *highs++ = high == kNone ? 0 : high;
  }
}

template <class Storage, bool kHasLow>
TERSOR_INLINE void encode_steps_of(const typename Storage::Bits* from, std::int64_t count, std::int64_t run, const float* lows,
                                   const float* scales, std::uint8_t* packed, const std::byte* next) noexcept {
  constexpr float kRounder = 0x1.8p23f;  // leaves the integer next to a number in the low bits of their sum
  const auto number = [](F32 x) TERSOR_LAMBDA { return select_or_zero(equal(x, x), x); };
  const int run_bits = __builtin_ctzll(static_cast<unsigned long long>(run));
  encode_runs<Storage>(from, count, run_bits, false, packed, next, [=](F32 x, std::int64_t of) TERSOR_LAMBDA {
    F32 steps = number(x);
    if constexpr (kHasLow) steps = steps - splat(lows[of]);
    steps = number(steps / splat(scales[of]));
    steps = min(max(steps, splat(kHasLow ? 0.0f : -8.0f)), splat(kHasLow ? 15.0f : 7.0f));
    const I32 codes = (bit_cast<std::int32_t>(steps + splat(kRounder)) & splat(15)) ^ splat(kHasLow ? 8 : 0);
    return bit_cast<std::uint8_t>(demote(codes));
  });
}

template <class Storage>
void encode_steps(const std::byte* w, std::int64_t count, std::int64_t run, const float* lows, const float* scales,
                  std::uint8_t* packed, const std::byte* next) noexcept {
  const auto* from = reinterpret_cast<const typename Storage::Bits*>(w);
  if (lows)
    encode_steps_of<Storage, true>(from, count, run, lows, scales, packed, next);
  else
    encode_steps_of<Storage, false>(from, count, run, nullptr, scales, packed, next);
}

// --- numbers ------------------------------------------------------------------------------------------------------------

// Those of one run; -0 is what changes no product.
struct Shift {
  float less = 0, plus = -0.0f;
};
TERSOR_INLINE Shift shift_at(const RunShifts& shifts, std::int64_t run) noexcept {
  Shift shift;
  if (shifts.less) shift.less = shifts.less[run];
  if (shifts.plus) shift.plus = shifts.plus[run];
  return shift;
}

// Numbers of 16 codes of a run: of 32 bits and more a product for each.
template <class Out, bool kIsShifted>
struct RunNumbers {
  const CodeTable& table;
  F32 less, scale, plus;
  bool is_finite;  // and then they are no NaN
  TERSOR_INLINE RunNumbers(const CodeTable& of, float by, Shift shift) noexcept
      : table(of),
        less(splat(shift.less)),
        scale(splat(by)),
        plus(splat(shift.plus)),
        is_finite(by - by == 0 && shift.plus - shift.plus == 0) {}
  TERSOR_INLINE auto of(U8 codes) const noexcept {
    const I32 places = promote<std::int32_t>(bit_cast<std::int8_t>(codes));
    const F32 low = lookup8(table.low, bit_cast<std::uint32_t>(places)),
              high = lookup8(table.high, bit_cast<std::uint32_t>(places));
    F32 number = select(greater(places, splat(7)), high, low);
    if constexpr (kIsShifted)
      number = (number - less) * scale + plus;
    else
      number = number * scale;
    if constexpr (Out::kDType == DType::kFloat32)
      if (is_finite) return Out::narrow_number(number);
    return narrow_to<Out>(number);
  }
};

// 16 numbers of 16 bits as their lower and upper bytes.
struct ByteTables {
  U8 lower, upper;
  explicit TERSOR_INLINE ByteTables(U16 numbers) noexcept {
    const U8x32 bytes = demote_u8(concat(numbers & splat<std::uint16_t>(0xff), shift_right<8>(numbers)));
    lower = half_from<0>(bytes);
    upper = half_from<16>(bytes);
  }
  // Those at these places, and what else shall be in their upper bytes.
  TERSOR_INLINE U16 at(U8 places, U8 above) const noexcept {
    const auto low = __builtin_shuffle(lower.reg[0], places.reg[0]);
    const auto high = __builtin_shuffle(upper.reg[0], places.reg[0]) | above.reg[0];
    const U8 first{{__builtin_shufflevector(low, high, 0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23)}};
    const U8 second{{__builtin_shufflevector(low, high, 8, 24, 9, 25, 10, 26, 11, 27, 12, 28, 13, 29, 14, 30, 15, 31)}};
    return bit_cast<std::uint16_t>(concat(first, second));
  }
};

// Of 16 bits: the 16 products of the run are made first.
template <class Out, bool kIsShifted>
  requires(sizeof(typename Out::Bits) == 2)
struct RunNumbers<Out, kIsShifted> {
  ByteTables numbers;
  TERSOR_INLINE RunNumbers(const CodeTable& table, float by, Shift shift) noexcept
      : numbers(narrow_to<Out>((concat(load<8>(table.low), load<8>(table.high)) - splat(shift.less)) * splat(by) +
                               splat(shift.plus))) {}
  TERSOR_INLINE U16 of(U8 codes) const noexcept { return numbers.at(codes, splat<std::uint8_t>(0)); }
};

// Two neighbouring runs of 16 whose scales are finite: the 8 products of each that have no sign. A product for each entry would
// take as long as all products of a run.
template <class Out>
struct PairNumbers {
  ByteTables numbers;
  TERSOR_INLINE PairNumbers(const CodeTable& table, const float* scales) noexcept
      : numbers(Out::narrow_number(
            concat(load<8>(table.low) * splat<float, 8>(scales[0]), load<8>(table.low) * splat<float, 8>(scales[1])))) {}
  TERSOR_INLINE U16 of(U8 codes, std::uint8_t run) const noexcept {
    const U8 sign = codes & splat<std::uint8_t>(8);
    const U8 above = bit_cast<std::uint8_t>(shift_left<4>(bit_cast<std::uint16_t>(sign)));
    return numbers.at((codes ^ sign) | splat(static_cast<std::uint8_t>(8 * run)), above);
  }
};

// 64 entries, past the caches where `out` is aligned for that.
template <class Bits>
TERSOR_INLINE void store_64(Bits* to, const Lanes<Bits> (&numbers)[4], bool streams) noexcept {
  const auto put = [=](Bits* place, auto line) TERSOR_LAMBDA {
    if (streams)
      stream(place, line);
    else
      store(place, line);
  };
  if constexpr (sizeof(Bits) == 2) {
    put(to, concat(numbers[0], numbers[1]));
    put(to + 2 * kLanes, concat(numbers[2], numbers[3]));
  } else {
    for (int k = 0; k < 4; ++k) put(to + kLanes * k, numbers[k]);
  }
}

// How the runs of 64 entries follow each other.
enum class Runs : std::uint8_t { kOf64, kOf32, kOf16, kPairsOf16 };

template <Runs kRuns, class Out, bool kIsShifted>
TERSOR_INLINE void decode_64(U8x64 codes, const float* scales, const RunShifts& shifts, std::int64_t first_run,
                             const CodeTable& table, typename Out::Bits* to, bool streams) noexcept {
  const auto first = half_from<0>(codes), second = half_from<32>(codes);
  const U8 parts[4] = {half_from<0>(first), half_from<16>(first), half_from<0>(second), half_from<16>(second)};
  Lanes<typename Out::Bits> numbers[4];
  if constexpr (kRuns == Runs::kPairsOf16) {
    for (int k = 0; k < 4; k += 2) {
      const PairNumbers<Out> pair(table, scales + first_run + k);
      numbers[k] = pair.of(parts[k], 0);
      numbers[k + 1] = pair.of(parts[k + 1], 1);
    }
  } else {
    constexpr int kCount = kRuns == Runs::kOf64 ? 1 : kRuns == Runs::kOf32 ? 2 : 4;
    for (int r = 0; r < kCount; ++r) {
      const RunNumbers<Out, kIsShifted> run(table, scales[first_run + r], kIsShifted ? shift_at(shifts, first_run + r) : Shift{});
      for (int k = 4 / kCount * r; k < 4 / kCount * (r + 1); ++k) numbers[k] = run.of(parts[k]);
    }
  }
  store_64(to, numbers, streams);
}

template <Runs kRuns, class Out, bool kIsShifted = false>
TERSOR_INLINE void decode_runs(const std::uint8_t* packed, std::int64_t count, int run_bits, const float* scales,
                               const RunShifts& shifts, const CodeTable& table, typename Out::Bits* to, bool streams) noexcept {
  const auto split = [&](const std::uint8_t* from) TERSOR_LAMBDA {
    const U8x32 bytes = load<32>(from);
    return split_nibbles(table.even_is_high ? swap_nibbles(bytes) : bytes, splat<std::uint8_t, 64>(0));
  };
  std::int64_t i = 0;
  for (; i + 64 <= count; i += 64)
    decode_64<kRuns, Out, kIsShifted>(split(packed + i / 2), scales, shifts, i >> run_bits, table, to + i, streams);
  if (i == count) return;
  alignas(64) std::uint8_t bytes[32] = {}, codes[64];
  std::memcpy(bytes, packed + i / 2, static_cast<std::size_t>((count - i + 1) / 2));
  store(codes, split(bytes));
  for (; i < count; i += kLanes) {
    const Partial rest{static_cast<int>(count - i < kLanes ? count - i : kLanes)};
    const std::int64_t run = i >> run_bits;
    const RunNumbers<Out, kIsShifted> numbers(table, scales[run], kIsShifted ? shift_at(shifts, run) : Shift{});
    store(to + i, numbers.of(load(codes + i % 64)), rest);
  }
}

TERSOR_INLINE bool are_finite(const float* numbers, std::int64_t count) noexcept {
  F32 rest = splat(0.0f);  // NaN once there is something else
  std::int64_t i = 0;
  const auto include = [&](F32 x) TERSOR_LAMBDA { rest = rest + (x - x); };
  for (; i + kLanes <= count; i += kLanes) include(load(numbers + i));
  if (i < count) include(load(numbers + i, Partial{static_cast<int>(count - i)}));
  return all_of(equal(rest, rest));
}

template <class Out>
void decode(const std::uint8_t* packed, std::int64_t count, std::int64_t run, const float* scales, const RunShifts& shifts,
            const CodeTable& table, std::byte* out, Store mode) noexcept {
  auto* const to = reinterpret_cast<typename Out::Bits*>(out);
  const int run_bits = __builtin_ctzll(static_cast<unsigned long long>(run));
  // What does not begin with a cache line is not streamed. By way of a piece in L1 it can be, in 1.2 to 1.6 times the time.
  const bool streams = mode == Store::kStreaming && items_to_line(to) == 0;
  const bool is_shifted = shifts.less || shifts.plus;
  if (is_shifted && run >= 64) {
    decode_runs<Runs::kOf64, Out, true>(packed, count, run_bits, scales, shifts, table, to, streams);
  } else if (is_shifted) {
    decode_runs<Runs::kOf32, Out, true>(packed, count, run_bits, scales, shifts, table, to, streams);
  } else if (run >= 64) {
    decode_runs<Runs::kOf64, Out>(packed, count, run_bits, scales, shifts, table, to, streams);
  } else if (run == 32) {
    decode_runs<Runs::kOf32, Out>(packed, count, run_bits, scales, shifts, table, to, streams);
  } else if (sizeof(typename Out::Bits) == 2 && are_finite(scales, count / 16)) {
    if constexpr (sizeof(typename Out::Bits) == 2)
      decode_runs<Runs::kPairsOf16, Out>(packed, count, run_bits, scales, shifts, table, to, streams);
  } else {
    decode_runs<Runs::kOf16, Out>(packed, count, run_bits, scales, shifts, table, to, streams);
  }
}

}  // namespace

constinit const FormatsFloatKernels formats_float_kernels{.measure = TERSOR_BY_FLOAT(measure),
                                                          .make_scales = TERSOR_BY_FLOAT(make_scales),
                                                          .encode = TERSOR_BY_FLOAT(encode),
                                                          .load_scales = load_scales,
                                                          .decode = TERSOR_BY_FLOAT(decode),
                                                          .measure_ranges = TERSOR_BY_FLOAT(measure_ranges),
                                                          .encode_steps = TERSOR_BY_FLOAT(encode_steps)};

}  // namespace tersor::cpu::TERSOR_LEVEL
