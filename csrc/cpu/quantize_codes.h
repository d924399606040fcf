#pragma once
// What turns numbers into codes by a rule, for the kernels that make codes and those that ask what became of a number.

#include "cpu/map.h"
#include "cpu/quantize_groups.h"
#include "cpu/storage.h"

namespace tersor::cpu::TERSOR_LEVEL {

namespace {

template <class Math>
inline constexpr Math kEndless = static_cast<Math>(__builtin_huge_val());

// Called, not inlined: scales are few, and where every step is rounded nobody waits for the conversions.
[[gnu::noinline]] F32 in_half_dtype(F32 x, DType dtype) noexcept {
  if (dtype == DType::kFloat16) return Float16::widen(Float16::narrow(x));
  return BFloat16::widen(BFloat16::narrow(x));
}
TERSOR_INLINE F32 in_dtype(F32 x, DType dtype) noexcept {
  return dtype == DType::kFloat16 || dtype == DType::kBFloat16 ? in_half_dtype(x, dtype) : x;
}
TERSOR_INLINE F64 in_dtype(F64 x, DType) noexcept { return x; }

// Bytes of codes as their places in int8.
template <class Math>
TERSOR_INLINE Lanes<Math> places_of(U8 codes, int flip) noexcept {
  const I8 places = bit_cast<std::int8_t>(codes ^ splat(static_cast<std::uint8_t>(flip)));
  return convert<Math>(to_float(promote<std::int32_t>(places)));
}

template <class Math>
TERSOR_INLINE Lanes<Math> number(Lanes<Math> x) noexcept {  // 0 for NaN
  return select_or_zero(equal(x, x), x);
}

template <class Math>
TERSOR_INLINE Lanes<Math> reciprocal_or_zero(Lanes<Math> scale, double numerator) noexcept {
  const auto zero = splat(Math{0}), over = splat(static_cast<Math>(numerator)), reciprocal = over / (scale * over);
  return select(equal(scale, zero), zero, reciprocal);
}

// What is rounded to an integer.
template <class Math>
TERSOR_INLINE Lanes<Math> quotient_by_rule(Lanes<Math> x, Lanes<Math> scale, const CodeRule& rule) noexcept {
  const auto quotient = rule.numerator != 0 ? x * reciprocal_or_zero(scale, rule.numerator) : x / scale;
  return number(in_dtype(quotient, rule.step));
}

// round_half_even(number(x / scale)), most often without the division, which takes as long as all the rest: x times the reciprocal
// is within 3 roundings of the quotient, which for up to 256 is 2**-14, and beyond there are no codes. So where no lane is that
// near to a tie, nor infinite or NaN, the nearest integers are the same; that is all but one time in two hundred.
template <class Math>
TERSOR_INLINE Lanes<Math> nearest_quotient(Lanes<Math> x, Lanes<Math> scale, Lanes<Math> reciprocal) noexcept {
  const auto quotient = x * reciprocal;
  auto nearest = round_half_even(quotient);
  const auto sure = less(absolute(quotient - nearest), splat(static_cast<Math>(0.5 - 0x1p-13)));
  if (__builtin_expect(!all_of(sure), 0)) {
    const auto exact = round_half_even(number(x / scale));
    for (int r = 0; r < Lanes<Math>::kRegisters; ++r) nearest.reg[r] = exact.reg[r];  // as a whole it would pass through memory
  }
  return nearest;
}

// `random`: a word for each lane, for stochastic rounding.
template <class Math, class Random>
TERSOR_INLINE Lanes<Math> rounded(Lanes<Math> x, Rounding rounding, Random random) noexcept {
  const auto nearest = round_half_even(x), rest = x - nearest;
  const auto zero = splat(Math{0}), half = splat(static_cast<Math>(0.5)), one = splat(Math{1});
  switch (rounding) {
    case Rounding::kHalfAway:
      return nearest + select_or_zero(equal(rest, half) & greater(x, zero), one) -
             select_or_zero(equal(rest, zero - half) & less(x, zero), one);
    case Rounding::kHalfUp: return nearest + select_or_zero(equal(rest, half), one);
    case Rounding::kTruncate:
      return nearest - select_or_zero(greater(absolute(nearest), absolute(x)), select(less(x, zero), zero - one, one));
    case Rounding::kStochastic: {
      const auto below = nearest - select_or_zero(greater(nearest, x), one);
      const auto share = to_float(bit_cast<std::int32_t>(shift_right<8>(random()))) * splat(0x1p-24f);
      return below + select_or_zero(greater(x - below, convert<Math>(share)), one);
    }
    default: return nearest;
  }
}

// map_row inlines what it computes a dozen times, which would take minutes to compile for all that stands here: those alone that
// most calls come to stream.
template <bool kStreams, class T, class Compute>
TERSOR_INLINE void map_codes(T* out, std::int64_t cols, Store mode, Compute compute) noexcept {
  if constexpr (kStreams)
    map_row(out, cols, mode, compute);
  else
    map_few(out, 0, cols, compute);
}

// Whether each group is whole lines: others share some, which streaming stores would send out in parts, at four times the cost.
template <class T>
TERSOR_INLINE bool lines_hold_groups(const T* to, std::int64_t group_size, std::int64_t cols) noexcept {
  return group_size >= cols || (items_to_line(to) == 0 && group_size * static_cast<std::int64_t>(sizeof(T)) % 64 == 0);
}

// Where a group of a row lies. Loops over groups are written out: what a lambda of several vectors holds is copied through memory.
struct Group {
  std::int64_t begin, count;
};
TERSOR_INLINE Group group_at(std::int64_t group, std::int64_t cols, std::int64_t group_size) noexcept {
  const std::int64_t begin = group * group_size;
  return {begin, cols - begin < group_size ? cols - begin : group_size};
}

}  // namespace

}  // namespace tersor::cpu::TERSOR_LEVEL
