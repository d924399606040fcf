// quantize: ranges of groups of entries, the scales that come of them, and codes. The rules stand in python/tersor/reference/.

#include "cpu/quantize_groups.h"
#include "cpu/map.h"
#include "cpu/quantize_codes.h"
#include "cpu/storage.h"

namespace tersor::cpu::TERSOR_LEVEL {

namespace {

template <class Math>
TERSOR_INLINE Lanes<Math> without_infinities(Lanes<Math> x) noexcept {
  return select(less(absolute(x), splat(kEndless<Math>)), x, splat(static_cast<Math>(__builtin_nan(""))));
}

// --- ranges --------------------------------------------------------------------------------------------------------------

// min and max pass over NaN.
template <class Math>
struct Range {
  Lanes<Math> low = splat(kEndless<Math>), high = splat(-kEndless<Math>);
  TERSOR_INLINE void include(Lanes<Math> x) noexcept {
    low = min(x, low);
    high = max(x, high);
  }
};

template <class Math>
struct Bounds {
  Math low, high;
};

template <bool kFiltered, class Storage>
TERSOR_INLINE Bounds<typename Storage::Math> bounds_of(const typename Storage::Bits* from, std::int64_t count) noexcept {
  using Math = typename Storage::Math;
  constexpr int kRanges = 2;
  Range<Math> ranges[kRanges];
  const auto number = [=](std::int64_t i, auto lanes) TERSOR_LAMBDA {
    const auto x = Storage::widen(load(from + i, lanes));
    if constexpr (kFiltered)
      return without_infinities(x);
    else
      return x;
  };
  std::int64_t i = 0;
  for (; i + kRanges * kLanes <= count; i += kRanges * kLanes)
    for (int k = 0; k < kRanges; ++k) {
      // Of 32-bit items the processor itself fetches enough.
      if constexpr (sizeof(*from) == 2) prefetch_ahead(from + i + k * kLanes);
      ranges[k].include(number(i + k * kLanes, Full{}));
    }
  for (; i + kLanes <= count; i += kLanes) ranges[0].include(number(i, Full{}));
  if (i < count) {
    const Partial rest{static_cast<int>(count - i)};
    ranges[1].include(fill_absent(number(i, rest), rest, static_cast<Math>(__builtin_nan(""))));
  }
  const auto least = [](auto a, auto b) TERSOR_LAMBDA { return min(a, b); };
  return {reduce(min(ranges[0].low, ranges[1].low), least), reduce_max(max(ranges[0].high, ranges[1].high))};
}

template <class Storage>
void measure_groups(const std::byte* w, std::int64_t cols, std::int64_t group_size, std::byte* lows, std::byte* highs) noexcept {
  using Math = typename Storage::Math;
  const auto* from = reinterpret_cast<const typename Storage::Bits*>(w);
  auto *low = reinterpret_cast<Math*>(lows), *high = reinterpret_cast<Math*>(highs);
  std::int64_t begin = 0;
  do {  // a row without columns is one group
    const std::int64_t count = cols - begin < group_size ? cols - begin : group_size;
    Bounds<Math> bounds = bounds_of<false, Storage>(from + begin, count);
    if (bounds.low == -kEndless<Math> || bounds.high == kEndless<Math>) bounds = bounds_of<true, Storage>(from + begin, count);
    *low++ = bounds.low;
    *high++ = bounds.high;
    begin += group_size;
  } while (begin < cols);
}

// Several rows at a time: ranges are then read and written once for all of them.
template <class Storage, int kRows>
TERSOR_INLINE void measure_rows_of_columns(ConstRows w, std::int64_t row, std::int64_t cols, typename Storage::Math* low,
                                           typename Storage::Math* high) noexcept {
  using Bits = typename Storage::Bits;
  const auto include = [=](std::int64_t i, auto lanes) TERSOR_LAMBDA {
    Range<typename Storage::Math> range{load(low + i), load(high + i)};
    for (int r = 0; r < kRows; ++r) range.include(without_infinities(Storage::widen(load(w.row<Bits>(row + r) + i, lanes))));
    store(low + i, range.low);
    store(high + i, range.high);
  };
  std::int64_t i = 0;
  for (; i + kLanes <= cols; i += kLanes) include(i, Full{});
  if (i < cols) include(i, Partial{static_cast<int>(cols - i)});
}

template <class Storage>
void measure_columns(ConstRows w, Extent extent, std::byte* lows, std::byte* highs) noexcept {
  using Math = typename Storage::Math;
  auto *low = reinterpret_cast<Math*>(lows), *high = reinterpret_cast<Math*>(highs);
  std::int64_t r = 0;
  for (; r + kUnroll <= extent.rows; r += kUnroll) measure_rows_of_columns<Storage, kUnroll>(w, r, extent.cols, low, high);
  for (; r < extent.rows; ++r) measure_rows_of_columns<Storage, 1>(w, r, extent.cols, low, high);
}

// --- scales --------------------------------------------------------------------------------------------------------------

// The range that a scale is of, once it follows the rule.
template <class Math>
TERSOR_INLINE void widen_range(Lanes<Math>& low, Lanes<Math>& high, const ScaleRule& rule) noexcept {
  const auto zero = splat(Math{0}), one = splat(Math{1});
  const auto none = greater(low, high);
  low = select(none, zero, low);
  high = select(none, zero, high);
  if (rule.includes_zero) {
    low = min(low, zero);
    high = max(high, zero);
  }
  if (rule.keeps_sign) {
    high = select(greater(absolute(high), absolute(low)), high, low);
  } else if (rule.symmetric) {
    const auto magnitude = max(absolute(low), absolute(high));
    low = rule.one_sided ? select(less(low, zero), zero - magnitude, zero) : zero - magnitude;
    high = magnitude;
  }
  if (rule.widens_nothing) {
    const auto nothing = equal(low, high) & equal(high, zero);
    low = select(nothing, zero - one, low);
    high = select(nothing, one, high);
  }
}

template <class Math>
TERSOR_INLINE Lanes<Math> divided_range(Lanes<Math> low, Lanes<Math> high, const ScaleRule& rule) noexcept {
  const auto divisor = splat(static_cast<Math>(rule.divisor));
  if (rule.sides_apart) return high / divisor - low / divisor;
  if (rule.keeps_sign) return high / divisor;
  const auto range = rule.symmetric && !rule.one_sided ? high : in_dtype(high - low, rule.step);
  return in_dtype(max(range, in_dtype(splat(static_cast<Math>(rule.least_range)), rule.step)) / divisor, rule.step);
}

template <class Storage>
inline constexpr auto kGreatest = static_cast<typename Storage::Bits>(Storage::kInfinityBits - 1);

// 16 groups. Math is the type that scales are computed in.
template <class Math, class Stored>
struct Scales {
  Lanes<typename Stored::Bits> stored;
  Lanes<Math> scale, zero_point;
};

// No greater than the type of arithmetic on w can say.
template <class Math, class Stored>
TERSOR_INLINE Scales<Math, Stored> scales_of(Lanes<Math> low, Lanes<Math> high, const ScaleRule& rule, Math largest) noexcept {
  const auto zero = splat(Math{0});
  widen_range(low, high, rule);
  const auto exact = divided_range(low, high, rule);
  const auto greatest = min(convert<Math>(Stored::widen(splat(kGreatest<Stored>))), splat(largest));
  Scales<Math, Stored> scales;
  scales.stored = narrow_to<Stored>(max(min(exact, greatest), zero - greatest));
  const auto rounded = convert<Math>(Stored::widen(scales.stored));
  const bool keeps_zero = rule.instead == 0;
  const auto unusable =
      keeps_zero ? equal(exact, zero) : equal(rounded, zero) | less(absolute(exact), splat(static_cast<Math>(rule.least_scale)));
  const auto instead = narrow_to<Stored>(splat(static_cast<Math>(rule.instead)));
  scales.scale = keeps_zero ? rounded : select(unusable, convert<Math>(Stored::widen(instead)), rounded);
  scales.stored = narrow_to<Stored>(scales.scale);
  if (rule.symmetric) {
    scales.zero_point = splat(static_cast<Math>(rule.middle));
    return scales;
  }
  const auto divisor = rule.exact_zero_point ? exact : rule.zero_point_first ? rounded : scales.scale;
  const auto least = splat(static_cast<Math>(rule.least)), most = splat(static_cast<Math>(rule.most));
  const auto quotient = in_dtype(low / divisor, rule.step);
  const auto exact_place = in_dtype(least - quotient, rule.step);
  auto place = rule.rounds_quotient ? least - round_half_even(quotient) : round_half_even(exact_place);
  if (rule.half_up) place = place + select_or_zero(equal(exact_place - place, splat(static_cast<Math>(0.5))), splat(Math{1}));
  scales.zero_point = select_or_zero(equal(place, place), max(min(place, most), least));
  if (rule.exact_zero_point) scales.zero_point = select(unusable, zero, scales.zero_point);
  return scales;
}

// The bytes of codes: their places in int8, moved by `flip`.
TERSOR_INLINE U8 stored_codes(F32 place, int flip) noexcept {
  return bit_cast<std::uint8_t>(demote(to_int32(place))) ^ splat(static_cast<std::uint8_t>(flip));
}
TERSOR_INLINE U8 stored_codes(F64 place, int flip) noexcept { return stored_codes(demote_f32(place), flip); }

template <class Math, class Stored, class Work>
void make_scales_in(const Math* lows, const Math* highs, std::int64_t count, const ScaleRule& rule, typename Stored::Bits* stored,
                    std::uint8_t* stored_zero_points, Math* scales, Math* zero_points) noexcept {
  constexpr auto most = static_cast<Work>(sizeof(Math) == 4 ? 0x1.fffffep127 : 0x1.fffffffffffffp1023);
  const int flip = rule.least < 0 ? 0 : 128;
  for (std::int64_t i = 0; i < count; i += kLanes) {
    const auto made = scales_of<Work, Stored>(convert<Work>(load(lows + i)), convert<Work>(load(highs + i)), rule, most);
    store(scales + i, convert<Math>(made.scale));
    store(zero_points + i, convert<Math>(made.zero_point));
    const std::int64_t left = count - i < kLanes ? count - i : kLanes;
    alignas(64) typename Stored::Bits bits[kLanes];
    store(bits, made.stored);
    std::memcpy(stored + i, bits, static_cast<std::size_t>(left) * sizeof bits[0]);
    if (!stored_zero_points) continue;
    alignas(64) std::uint8_t codes[kLanes];
    store(codes, stored_codes(made.zero_point - splat(static_cast<Work>(flip)), flip));
    std::memcpy(stored_zero_points + i, codes, static_cast<std::size_t>(left));
  }
}

template <class Math, class Stored>
void make_scales(const std::byte* lows, const std::byte* highs, std::int64_t count, const ScaleRule& rule, std::byte* stored,
                 std::uint8_t* stored_zero_points, std::byte* scales, std::byte* zero_points) noexcept {
  const auto make = [&]<class Work>(Work) TERSOR_LAMBDA {
    make_scales_in<Math, Stored, Work>(reinterpret_cast<const Math*>(lows), reinterpret_cast<const Math*>(highs), count, rule,
                                       reinterpret_cast<typename Stored::Bits*>(stored), stored_zero_points,
                                       reinterpret_cast<Math*>(scales), reinterpret_cast<Math*>(zero_points));
  };
  if (rule.in_float64)
    make(double{});
  else
    make(Math{});
}

template <class Math, class Stored>
void load_scales(const std::byte* stored, const std::uint8_t* stored_zero_points, std::int64_t count, int flip, int middle,
                 std::byte* scales, std::byte* zero_points) noexcept {
  const auto* from = reinterpret_cast<const typename Stored::Bits*>(stored);
  auto *scale = reinterpret_cast<Math*>(scales), *zero_point = reinterpret_cast<Math*>(zero_points);
  const auto take = [=](std::int64_t i, auto lanes) TERSOR_LAMBDA {
    store(scale + i, convert<Math>(Stored::widen(load(from + i, lanes))));
    if (stored_zero_points)
      store(zero_point + i, places_of<Math>(load(stored_zero_points + i, lanes), flip) + splat(static_cast<Math>(flip)));
    else
      store(zero_point + i, splat(static_cast<Math>(middle)));
  };
  std::int64_t i = 0;
  for (; i + kLanes <= count; i += kLanes) take(i, Full{});
  if (i < count) take(i, Partial{static_cast<int>(count - i)});
}

// --- codes ---------------------------------------------------------------------------------------------------------------

// Codes as their places in int8, and the limits of these. Once for all columns: bytes that are stored might be those of a rule.
template <class Math>
struct Places {
  Lanes<Math> least, most, flip;
  int flip_bits;
  explicit TERSOR_INLINE Places(const CodeRule& rule) noexcept
      : least(splat(static_cast<Math>(rule.least - rule.flip))),
        most(splat(static_cast<Math>(rule.most - rule.flip))),
        flip(splat(static_cast<Math>(rule.flip))),
        flip_bits(rule.flip) {}
  TERSOR_INLINE Lanes<Math> clamp(Lanes<Math> place) const noexcept { return max(min(place, most), least); }
  TERSOR_INLINE U8 store(Lanes<Math> place) const noexcept { return stored_codes(place, flip_bits); }
};

template <class Math, class Random>
TERSOR_INLINE U8 encode_by_rule(Lanes<Math> x, Lanes<Math> scale, Lanes<Math> zero_point, const Places<Math>& places,
                                const CodeRule& rule, Random random) noexcept {
  const auto y = quotient_by_rule(x, scale, rule);
  if (!rule.zero_point_first) return places.store(places.clamp(rounded(y, rule.rounding, random) + (zero_point - places.flip)));
  const auto least = places.least + places.flip, most = places.most + places.flip;
  const auto clamped = max(min(in_dtype(y + zero_point, rule.step), most), least);
  return places.store(rounded(clamped, rule.rounding, random) - places.flip);
}

template <class Storage>
void encode_groups_plainly(const std::byte* w, std::int64_t cols, std::int64_t group_size, const std::byte* scales,
                           const std::byte* zero_points, const CodeRule& rule, std::uint8_t* q, Store mode,
                           const std::byte* next) noexcept {
  using Bits = typename Storage::Bits;
  using Math = typename Storage::Math;
  constexpr std::int64_t kBytes = sizeof(Bits);
  const auto *scale = reinterpret_cast<const Math*>(scales), *zero_point = reinterpret_cast<const Math*>(zero_points);
  const auto least = splat(static_cast<Math>(rule.least - rule.flip)), most = splat(static_cast<Math>(rule.most - rule.flip));
  const int flip = rule.flip;
  const Store of_groups = lines_hold_groups(q, group_size, cols) ? mode : Store::kCached;
  for (std::int64_t g = 0; g * group_size < cols; ++g) {
    const auto [begin, count] = group_at(g, cols, group_size);
    const Bits* const from = reinterpret_cast<const Bits*>(w) + begin;
    const std::byte* const ahead = next ? next + begin * kBytes : nullptr;
    const auto of_scale = splat(scale[g]), reciprocal = splat(Math{1} / scale[g]);
    const auto zero_place = splat(zero_point[g] - static_cast<Math>(flip));
    map_codes<true>(q + begin, count, of_groups, [&](std::int64_t i, auto lanes) TERSOR_LAMBDA {
      if (ahead)
        for (std::int64_t byte = 0; byte < kLanes * kBytes; byte += 64) prefetch(ahead + i * kBytes + byte);
      const auto nearest = nearest_quotient(Storage::widen(load(from + i, lanes)), of_scale, reciprocal);
      return stored_codes(max(min(nearest + zero_place, most), least), flip);
    });
  }
}

// As compressed-tensors does, and most weights are bfloat16.
template <class Storage>
void encode_groups_stepwise(const std::byte* w, std::int64_t cols, std::int64_t group_size, const std::byte* scales,
                            const std::byte* zero_points, const CodeRule& rule, std::uint8_t* q, Store mode) noexcept {
  const auto *scale = reinterpret_cast<const float*>(scales), *zero_point = reinterpret_cast<const float*>(zero_points);
  const auto least = splat(static_cast<float>(rule.least)), most = splat(static_cast<float>(rule.most));
  const auto flipped = splat(static_cast<float>(rule.flip));
  const int flip = rule.flip;
  const Store of_groups = lines_hold_groups(q, group_size, cols) ? mode : Store::kCached;
  for (std::int64_t g = 0; g * group_size < cols; ++g) {
    const auto [begin, count] = group_at(g, cols, group_size);
    const auto* const from = reinterpret_cast<const typename Storage::Bits*>(w) + begin;
    const auto of_scale = splat(scale[g]), of_zero_point = splat(zero_point[g]);
    map_codes<true>(q + begin, count, of_groups, [&](std::int64_t i, auto lanes) TERSOR_LAMBDA {
      const auto step = [](F32 x) TERSOR_LAMBDA { return Storage::widen(Storage::narrow_number(x)); };
      const F32 quotient = step(number(Storage::widen(load(from + i, lanes)) / of_scale));
      const F32 nearest = round_half_even(max(min(step(quotient + of_zero_point), most), least));
      return stored_codes(nearest - flipped, flip);
    });
  }
}

template <class Storage>
void encode_groups(const std::byte* w, std::int64_t cols, std::int64_t group_size, const std::byte* scales,
                   const std::byte* zero_points, const CodeRule& rule, const std::uint32_t* random, std::uint8_t* q, Store mode,
                   const std::byte* next) noexcept {
  using Bits = typename Storage::Bits;
  using Math = typename Storage::Math;
  if (rule.is_plain()) {
    encode_groups_plainly<Storage>(w, cols, group_size, scales, zero_points, rule, q, mode, next);
    return;
  }
  if constexpr (sizeof(Bits) == 2)
    if (rule.is_stepwise() && rule.step == Storage::kDType)
      return encode_groups_stepwise<Storage>(w, cols, group_size, scales, zero_points, rule, q, mode);
  const auto *scale = reinterpret_cast<const Math*>(scales), *zero_point = reinterpret_cast<const Math*>(zero_points);
  const Places<Math> places(rule);
  for (std::int64_t g = 0; g * group_size < cols; ++g) {
    const auto [begin, count] = group_at(g, cols, group_size);
    const Bits* const from = reinterpret_cast<const Bits*>(w) + begin;
    const std::uint32_t* const words = random + begin;
    const auto of_scale = splat(scale[g]), of_zero_point = splat(zero_point[g]);
    map_codes<false>(q + begin, count, mode, [&](std::int64_t i, auto lanes) TERSOR_LAMBDA {
      return encode_by_rule(Storage::widen(load(from + i, lanes)), of_scale, of_zero_point, places, rule,
                            [&]() TERSOR_LAMBDA { return load(words + i, lanes); });
    });
  }
}

template <class Storage>
void encode_columns(const std::byte* w, std::int64_t cols, const std::byte* scales, const std::byte* zero_points,
                    const CodeRule& rule, const std::uint32_t* random, std::uint8_t* q, Store mode) noexcept {
  using Math = typename Storage::Math;
  const auto* from = reinterpret_cast<const typename Storage::Bits*>(w);
  const auto *scale = reinterpret_cast<const Math*>(scales), *zero_point = reinterpret_cast<const Math*>(zero_points);
  const Places<Math> places(rule);
  if (rule.is_plain()) {
    map_codes<false>(q, cols, mode, [&](std::int64_t i, auto lanes) TERSOR_LAMBDA {
      const auto nearest = round_half_even(number(Storage::widen(load(from + i, lanes)) / load(scale + i)));
      return places.store(places.clamp(nearest + (load(zero_point + i) - places.flip)));
    });
  } else {
    map_codes<false>(q, cols, mode, [&](std::int64_t i, auto lanes) TERSOR_LAMBDA {
      return encode_by_rule(Storage::widen(load(from + i, lanes)), load(scale + i), load(zero_point + i), places, rule,
                            [&]() TERSOR_LAMBDA { return load(random + i, lanes); });
    });
  }
}

// --- numbers of codes ----------------------------------------------------------------------------------------------------

// Without the test for NaN.
template <class Out>
TERSOR_INLINE auto narrow_number_to(F32 value) noexcept {
  if constexpr (sizeof(typename Out::Math) == 8)
    return Out::narrow_number(promote_f64(value));
  else
    return Out::narrow_number(value);
}

template <class Math, class Out>
void decode_groups(const std::uint8_t* q, std::int64_t cols, std::int64_t group_size, int flip, const std::byte* scales,
                   const std::byte* zero_points, std::byte* out, Store mode) noexcept {
  const auto *scale = reinterpret_cast<const Math*>(scales), *zero_point = reinterpret_cast<const Math*>(zero_points);
  auto* const to = reinterpret_cast<typename Out::Bits*>(out);
  const Store of_groups = lines_hold_groups(to, group_size, cols) ? mode : Store::kCached;
  for (std::int64_t g = 0; g * group_size < cols; ++g) {
    const auto [begin, count] = group_at(g, cols, group_size);
    const std::uint8_t* const from = q + begin;
    const auto of_scale = splat(scale[g]), zero_place = splat(zero_point[g] - static_cast<Math>(flip));
    const auto product = [&](std::int64_t i, auto lanes)
                             TERSOR_LAMBDA { return (places_of<Math>(load(from + i, lanes), flip) - zero_place) * of_scale; };
    if constexpr (sizeof(Math) == 4)
      if (scale[g] - scale[g] == 0) {  // finite, and then so are products, or infinite
        map_codes<true>(to + begin, count, of_groups,
                        [&](std::int64_t i, auto lanes) TERSOR_LAMBDA { return narrow_number_to<Out>(product(i, lanes)); });
        continue;
      }
    map_codes<false>(to + begin, count, mode,
                     [&](std::int64_t i, auto lanes) TERSOR_LAMBDA { return narrow_to<Out>(product(i, lanes)); });
  }
}

template <class Math, class Out>
void decode_columns(const std::uint8_t* q, std::int64_t cols, int flip, const std::byte* scales, const std::byte* zero_points,
                    std::byte* out, Store mode) noexcept {
  const auto *scale = reinterpret_cast<const Math*>(scales), *zero_point = reinterpret_cast<const Math*>(zero_points);
  const auto flipped = splat(static_cast<Math>(flip));
  map_codes<false>(reinterpret_cast<typename Out::Bits*>(out), cols, mode, [=](std::int64_t i, auto lanes) TERSOR_LAMBDA {
    const auto steps = places_of<Math>(load(q + i, lanes), flip) - (load(zero_point + i) - flipped);
    return narrow_to<Out>(steps * load(scale + i));
  });
}

#define TERSOR_BY_STORED(kernel, Math) {kernel<Math, Float32>, kernel<Math, Float16>, kernel<Math, BFloat16>, kernel<Math, Float64>}
#define TERSOR_OF_MATH(Math)                               \
  {.make_scales = TERSOR_BY_STORED(make_scales, Math),     \
   .load_scales = TERSOR_BY_STORED(load_scales, Math),     \
   .decode_groups = TERSOR_BY_STORED(decode_groups, Math), \
   .decode_columns = TERSOR_BY_STORED(decode_columns, Math)}

}  // namespace

constinit const QuantizeGroupsKernels quantize_groups_kernels{
    .measure_groups = TERSOR_BY_FLOAT(measure_groups),
    .measure_columns = TERSOR_BY_FLOAT(measure_columns),
    .encode_groups = TERSOR_BY_FLOAT(encode_groups),
    .encode_columns = TERSOR_BY_FLOAT(encode_columns),
    .of_float32 = TERSOR_OF_MATH(float),
    .of_float64 = TERSOR_OF_MATH(double),
};

}  // namespace tersor::cpu::TERSOR_LEVEL
