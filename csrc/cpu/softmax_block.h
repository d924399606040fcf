#pragma once
// The parts of softmax: a block's maximum, exponentials and sum; the blocks of a row joined; a block written as shares of its row.

#include "cpu/exp2.h"
#include "cpu/map.h"
#include "cpu/softmax.h"
#include "cpu/storage.h"

namespace tersor::cpu::TERSOR_LEVEL {

namespace {

constexpr double kInfinite = __builtin_huge_val();
constexpr double kAbsentExponent = -1e300;  // of a block that holds nothing above -inf

template <class Storage>
struct Row {
  using Bits = typename Storage::Bits;
  using Math = typename Storage::Math;
  const Bits* x;
  Bits* out;
  std::int64_t cols;

  // Absent lanes are -inf.
  template <class Present>
  TERSOR_INLINE Lanes<Math> at(std::int64_t i, Present lanes) const noexcept {
    return fill_absent(Storage::widen(load(x + i, lanes)), lanes, -static_cast<Math>(kInfinite));
  }
};

// How a storage type's exponentials are made and added up.
template <class Storage, bool kIs16Bit = sizeof(typename Storage::Bits) == 2>
struct Terms {
  using Maker = Exp2<typename Storage::Math>;
  using Adder = PowerSum<typename Storage::Math>;
};
template <class Storage>
struct Terms<Storage, true> {
  using Maker = CoarseExp2;
  using Adder = CoarseSum;
};

TERSOR_INLINE std::int64_t block_end(std::int64_t begin, std::int64_t cols) noexcept {
  return begin + kSoftmaxBlock < cols ? begin + kSoftmaxBlock : cols;
}

// --- a block -----------------------------------------------------------------------------------------------------------

// visit(k, i, lanes) for each 16 columns of [begin, end); k = 0 .. 3 in turn.
template <class Visit>
TERSOR_INLINE void each_lanes(std::int64_t begin, std::int64_t end, Visit visit) noexcept {
  std::int64_t i = begin;
  for (; i + kUnroll * kLanes <= end; i += kUnroll * kLanes) {
    visit(0, i, Full{});
    visit(1, i + kLanes, Full{});
    visit(2, i + 2 * kLanes, Full{});
    visit(3, i + 3 * kLanes, Full{});
  }
  // Written out, so that k is known when compiling and what it indexes stays in registers.
  const auto visit_rest = [&](int k) TERSOR_LAMBDA {
    const std::int64_t left = end - (i + k * kLanes);
    if (left > 0) visit(k, i + k * kLanes, Partial{static_cast<int>(left < kLanes ? left : kLanes)});
  };
  if (i == end) return;
  visit_rest(0);
  visit_rest(1);
  visit_rest(2);
  visit_rest(3);
}

// NaN is passed over here; it reaches the sum by itself.
template <class Storage>
TERSOR_INLINE auto top_of(Row<Storage> row, std::int64_t begin, std::int64_t end) noexcept {
  using Math = typename Storage::Math;
  const auto lowest = splat(-static_cast<Math>(kInfinite));
  Lanes<Math> top[kUnroll] = {lowest, lowest, lowest, lowest};
  each_lanes(begin, end, [&](int k, std::int64_t i, auto lanes) TERSOR_LAMBDA { top[k] = max(row.at(i, lanes), top[k]); });
  return reduce_max(max(max(top[0], top[1]), max(top[2], top[3])));
}

// A sum in two float64 parts.
struct Sum {
  double high, low;
};
TERSOR_INLINE Sum two_sum(double a, double b) noexcept {
  const double high = a + b;
  const double part = high - a;
  return {high, (a - (high - part)) + (b - part)};
}

template <class Adder>
TERSOR_INLINE Sum sum_of(const Adder (&sums)[kUnroll]) noexcept {
  const auto upper = reduce_sum((sums[0].upper() + sums[1].upper()) + (sums[2].upper() + sums[3].upper()));
  const auto lower = reduce_sum((sums[0].lower() + sums[1].lower()) + (sums[2].lower() + sums[3].lower()));
  return two_sum(static_cast<double>(upper), static_cast<double>(lower));
}

// Stores the exponentials of [begin, end) from kept[0] on, in whole lanes, and returns their sum. Absent lanes are exponentials of
// -inf: 2**-150 of a term that matters, or less.
template <bool kPlain, class Kind, class Storage>
TERSOR_INLINE Sum keep_terms(Row<Storage> row, std::int64_t begin, std::int64_t end, Rate<typename Storage::Math> rate,
                             Exp2Frame<typename Storage::Math> frame, typename Storage::Math* kept) noexcept {
  const typename Kind::Maker exp2(rate, frame);  // in registers: through a reference every store might change it
  typename Kind::Adder sums[kUnroll];
  each_lanes(begin, end, [&](int k, std::int64_t i, auto lanes) TERSOR_LAMBDA {
    store(kept + (i - begin), sums[k].add(exp2.template operator()<kPlain>(row.at(i, lanes))));
  });
  return sum_of(sums);
}

template <class Math>
TERSOR_INLINE SoftmaxBlock block_of(Math top, Exp2Frame<Math> frame, Sum sum) noexcept {
  const bool absent = top == -static_cast<Math>(kInfinite);
  return {static_cast<double>(frame.shift), absent ? kAbsentExponent : static_cast<double>(frame.exponent), sum.high, sum.low};
}

template <class Storage, class Kind = Terms<Storage>>
[[gnu::noinline]] SoftmaxBlock measure_block(Row<Storage> row, std::int64_t begin, std::int64_t end,
                                             Rate<typename Storage::Math> rate, typename Storage::Math* kept) noexcept {
  const auto top = top_of(row, begin, end);
  const auto frame = frame_for(top, rate);
  return block_of(top, frame,
                  frame.is_plain ? keep_terms<true, Kind>(row, begin, end, rate, frame, kept)
                                 : keep_terms<false, Kind>(row, begin, end, rate, frame, kept));
}

// --- blocks of a row ------------------------------------------------------------------------------------------------------

// What brings a block's terms to shares of the row: (high + low) * 2**-kFarScale where the block lies far below the row's maximum,
// high + low elsewhere.
struct Factor {
  double high, low;
  bool is_far;
};

// Below the first, a factor in the arithmetic type would leave the range of normal numbers with its low part. Below the second the
// block is 0.
template <class Math>
inline constexpr double kFarExponent = sizeof(Math) == 4 ? -30 : -600;
template <class Math>
inline constexpr double kZeroExponent = sizeof(Math) == 4 ? -400 : -1200;
template <class Math>
inline constexpr int kFarScale = sizeof(Math) == 4 ? 0 : 600;

// log2 of the ratio of block's scale to row's: that of the shifts, and a whole number.
template <class Math>
struct Distance {
  double apart, whole;
  Rate<Math> rate;
  TERSOR_INLINE Distance(SoftmaxBlock block, SoftmaxBlock row, Rate<Math> row_rate) noexcept
      : apart(block.shift == row.shift ? 0 : (block.shift - row.shift) * static_cast<double>(row_rate.prescale)),
        whole(block.exponent - row.exponent),
        rate(row_rate) {}
  TERSOR_INLINE double exponent() const noexcept { return apart * static_cast<double>(rate.high) + whole; }
};

// 2**(distance + up), as Exp2 does it, for one value, and what its last rounding lost.
template <class Math>
TERSOR_INLINE Sum power_of_two(Distance<Math> distance, int up) noexcept {
  using Constants = Exp2Constants<double>;
  const double high = static_cast<double>(distance.rate.high), low = static_cast<double>(distance.rate.low);
  const double rounder = Constants::kRounder + (Constants::kBias + up + distance.whole);
  const double biased = __builtin_fma(distance.apart, high, rounder);
  const double f = __builtin_fma(distance.apart, low, __builtin_fma(distance.apart, high, rounder - biased));
  double q = Constants::kCoefficients[0];
  for (int i = 1; i < Constants::kTerms; ++i) q = __builtin_fma(q, f, Constants::kCoefficients[i]);
  const auto eighths = __builtin_bit_cast(std::uint64_t, biased);
  const double head = Constants::kEighths[eighths % 8];
  const double tail = __builtin_fma(head, f * q, Constants::kEighthsRest[eighths % 8]);
  const double scale = __builtin_bit_cast(double, (eighths & ~std::uint64_t{7}) << 49);
  const double power = head + tail;
  return {power * scale, (tail - (power - head)) * scale};
}

// Rows of a single block, the block that a row is measured by, and blocks of -inf need no power.
template <class Math>
TERSOR_INLINE Factor factor_between(SoftmaxBlock block, SoftmaxBlock row, Rate<Math> rate) noexcept {
  if (block.shift == row.shift && block.exponent == row.exponent) return {1, 0, false};
  const Distance<Math> distance(block, row, rate);
  const double exponent = distance.exponent();
  if (!(exponent > kZeroExponent<Math>)) return {0, 0, false};
  const bool is_far = exponent < kFarExponent<Math>;
  const Sum power = power_of_two(distance, is_far ? kFarScale<Math> : 0);
  return {power.high, power.low, is_far};
}

// Divided by the row's sum, with what the division leaves over where that is within the reach of the arithmetic type.
template <class Math>
TERSOR_INLINE Factor share_of(Factor between, SoftmaxBlock row) noexcept {
  const double high = between.high / row.sum;
  if constexpr (sizeof(Math) == 4) return {high, 0, between.is_far};
  const double rest = (__builtin_fma(-high, row.sum, between.high) + between.low) - high * row.sum_low;
  return {high, rest / row.sum, between.is_far};
}

// The row's scale is that of its highest block.
template <class Blocks, class Math>
TERSOR_INLINE SoftmaxBlock join(Blocks blocks, std::int64_t count, Rate<Math> rate) noexcept {
  SoftmaxBlock row = blocks[0];
  for (std::int64_t b = 1; b < count; ++b)
    if (Distance<Math>(blocks[b], row, rate).exponent() > 0) row = blocks[b];
  Sum total{0, 0};
  for (std::int64_t b = 0; b < count; ++b) {
    const Factor factor = factor_between(blocks[b], row, rate);
    if (factor.is_far && kFarScale<Math>) continue;  // 2**-600 of the sum
    const double term = blocks[b].sum * factor.high;
    const double rest =
        __builtin_fma(blocks[b].sum, factor.high, -term) + blocks[b].sum * factor.low + blocks[b].sum_low * factor.high;
    const Sum next = two_sum(total.high, term);
    total = {next.high, total.low + (next.low + rest)};
  }
  total = two_sum(total.high, total.low);
  row.sum = row.exponent == kAbsentExponent ? __builtin_nan("") : total.high;
  row.sum_low = total.low;
  return row;
}

// A block's terms to shares of the row: multiplied by a factor in two parts, so that only the last product rounds.
template <class Math>
class Share {
 public:
  TERSOR_INLINE explicit Share(Factor factor) noexcept : factor_(splat(factor.high)), high_(splat(static_cast<Math>(factor.high))) {
    const double rest = (factor.high - static_cast<double>(static_cast<Math>(factor.high))) + factor.low;
    low_ = splat(static_cast<Math>(rest));
  }
  TERSOR_INLINE Lanes<Math> near(Lanes<Math> terms) const noexcept { return mul_add(terms, high_, terms * low_); }
  TERSOR_INLINE F32 far(F32 terms) const noexcept { return demote_f32(promote_f64(terms) * factor_); }
  TERSOR_INLINE F64 far(F64 terms) const noexcept { return near(terms) * splat(0x1p-600); }

 private:
  F64 factor_;
  Lanes<Math> high_, low_;
};
static_assert(kFarScale<double> == 600);

template <class Storage>
TERSOR_INLINE void write_near(Row<Storage> row, std::int64_t begin, std::int64_t end, Factor factor, Store mode,
                              const typename Storage::Math* kept) noexcept {
  const Share<typename Storage::Math> share(factor);
  map_row(row.out + begin, end - begin, mode,
          [=](std::int64_t i, auto) TERSOR_LAMBDA { return Storage::narrow_number(share.near(load(kept + i))); });
}

template <class Storage>
[[gnu::noinline]] void write_block(Row<Storage> row, std::int64_t begin, std::int64_t end, Factor factor, Store mode,
                                   const typename Storage::Math* kept) noexcept {
  const Share<typename Storage::Math> share(factor);
  auto* out = row.out + begin;
  if (factor.is_far)
    map_few(out, 0, end - begin, [=](std::int64_t i, auto) TERSOR_LAMBDA { return Storage::narrow(share.far(load(kept + i))); });
  else if (factor.high != factor.high)
    map_few(out, 0, end - begin, [=](std::int64_t i, auto) TERSOR_LAMBDA { return Storage::narrow(share.near(load(kept + i))); });
  else
    write_near(row, begin, end, factor, mode, kept);
}

}  // namespace

}  // namespace tersor::cpu::TERSOR_LEVEL
