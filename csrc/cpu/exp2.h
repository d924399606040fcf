#pragma once
// Powers of two for softmax: 2**(x * a) for a row's rate a = log2(e) / T, scaled so that no intermediate overflows or is subnormal.
//
// The argument is never rounded as a whole. With m the multiple of 1/8 nearest to x * a, f = x * a - m is found by two fused steps
// with a split in two, to about 2**-29 (2**-58 in float64) whatever the size of m. 2**f is a polynomial, the fraction of m a table
// in two parts, and its integer part goes straight into exponent bits: one rounding in all, whose error is known and can be added
// back (Power below). Scales are relative to 2**(exponent - kHeadroom), so that the terms that matter stay normal numbers.
//
// Polynomials: minimax for the relative error on [-1/16, 1/16], by the Remez exchange, with the constant term set to 1; their
// errors are 2**-33 (degree 4) and 2**-58 (degree 7).

#include "cpu/simd.h"

namespace tersor::cpu::TERSOR_LEVEL {

template <class Math>
struct Exp2Constants;

template <>
struct Exp2Constants<float> {
  static constexpr int kMantissaBits = 23, kBias = 127;
  static constexpr float kRounder = 0x1.8p20f;  // adding it leaves the nearest multiple of 1/8 in the low mantissa bits
  static constexpr float kHeadroom = 32;
  static constexpr float kLeastExponent = -120;  // smaller terms are below half of the least subnormal, once divided by the sum
  static constexpr float kMostUnshifted = 512;   // twice what is left of the exponents, and room to spare
  static constexpr int kTerms = 4;
  static constexpr float kCoefficients[kTerms] = {0x1.3b2468p-7f, 0x1.c6be34p-5f, 0x1.ebfbe0p-3f, 0x1.62e430p-1f};
  alignas(64) static constexpr float kEighths[8] = {0x1p+0f,        0x1.172b84p+0f, 0x1.306fe0p+0f, 0x1.4bfdaep+0f,
                                                    0x1.6a09e6p+0f, 0x1.8ace54p+0f, 0x1.ae89fap+0f, 0x1.d5818ep+0f};
  alignas(64) static constexpr float kEighthsRest[8] = {
      0, -0x1.c15742p-27f, 0x1.4636e2p-25f, -0x1.593abcp-25f, 0x1.9fcef4p-26f, 0x1.15506ep-27f, -0x1.a94b14p-26f, -0x1.822dbcp-27f};
};

template <>
struct Exp2Constants<double> {
  static constexpr int kMantissaBits = 52, kBias = 1023;
  static constexpr double kRounder = 0x1.8p49;
  static constexpr double kHeadroom = 256;
  static constexpr double kLeastExponent = -1000;
  static constexpr double kMostUnshifted = 4096;
  static constexpr int kTerms = 7;
  static constexpr double kCoefficients[kTerms] = {0x1.ffc52b4bd4c9cp-17, 0x1.430e9dde75695p-13, 0x1.5d87fe9fde227p-10,
                                                   0x1.3b2ab6edca237p-7,  0x1.c6b08d70495abp-5,  0x1.ebfbdff82c854p-3,
                                                   0x1.62e42fefa39efp-1};
  alignas(64) static constexpr double kEighths[8] = {0x1p+0,
                                                     0x1.172b83c7d517bp+0,
                                                     0x1.306fe0a31b715p+0,
                                                     0x1.4bfdad5362a27p+0,
                                                     0x1.6a09e667f3bcdp+0,
                                                     0x1.8ace5422aa0dbp+0,
                                                     0x1.ae89f995ad3adp+0,
                                                     0x1.d5818dcfba487p+0};
  alignas(64) static constexpr double kEighthsRest[8] = {0,
                                                         -0x1.19041b9d78a76p-55,
                                                         0x1.6f46ad23182e4p-55,
                                                         0x1.d4397afec42e2p-56,
                                                         -0x1.bdd3413b26456p-54,
                                                         0x1.6e9f156864b27p-54,
                                                         0x1.7a1cd345dcc81p-54,
                                                         0x1.2ed02d75b3707p-55};
};

// a = log2(e) / T for a row, split, with what follows from it. prescale is 1 but for extreme temperatures, where x * prescale and
// a / prescale stay within range: 2**+-(2 * kPrescaleBits) leaves room for every T that is not a limit case.
template <class Math>
struct Rate {
  Math high, low, prescale, inverse;  // inverse: of high
};

template <class Math>
TERSOR_INLINE Rate<Math> rate_for(double temperature) noexcept {
  constexpr double kExtreme = sizeof(Math) == 4 ? 0x1p64 : 0x1p512;
  double prescale = 1;
  if (temperature < 1 / kExtreme) prescale = kExtreme;
  if (temperature > kExtreme) prescale = 1 / kExtreme;
  const double divisor = temperature * prescale;
  constexpr double kLog2E = 0x1.71547652b82fep+0, kLog2ERest = 0x1.777d0ffda0d24p-56;
  const double rate = kLog2E / divisor;
  // What the division left over, exactly: the remainder of log2(e) - rate * divisor.
  const double rest = (__builtin_fma(-rate, divisor, kLog2E) + kLog2ERest) / divisor;
  Rate<Math> result;
  result.high = static_cast<Math>(rate);
  result.low = sizeof(Math) == 4 ? static_cast<Math>(rate - static_cast<double>(result.high)) : static_cast<Math>(rest);
  result.prescale = static_cast<Math>(prescale);
  result.inverse = Math{1} / result.high;
  return result;
}

// How the terms of a block are taken: 2**((x - shift) * prescale * a - exponent + kHeadroom).
template <class Math>
struct Exp2Frame {
  Math shift, exponent;
  bool is_plain;  // no shift and no prescale: one operation less
};

// For a block whose maximum is `top`. Where top * a is large, x - top is exact for every term that matters (Sterbenz), and
// smaller terms are 0 either way; elsewhere an integer near top * a is exact in the exponent, and x is not shifted at all.
template <class Math>
TERSOR_INLINE Exp2Frame<Math> frame_for(Math top, Rate<Math> rate) noexcept {
  using Constants = Exp2Constants<Math>;
  constexpr Math kNone = -__builtin_huge_valf();
  if (top == kNone) return {0, 0, rate.prescale == 1};
  const Math position = top * rate.prescale * rate.high;
  if (!(position < Constants::kMostUnshifted && position > -Constants::kMostUnshifted)) return {top, 0, false};
  constexpr Math kToInteger = Constants::kRounder * 8;
  return {0, (position + kToInteger) - kToInteger, rate.prescale == 1};
}

// A power as it is before its last rounding: (head + tail) * scale, with |tail| < head / 16 and scale a power of two.
template <class Math>
struct Power {
  Lanes<Math> head, tail, scale;
};

template <class Math>
class Exp2 {
 public:
  using Constants = Exp2Constants<Math>;
  TERSOR_INLINE Exp2(Rate<Math> rate, Exp2Frame<Math> frame) noexcept
      : high_(splat(rate.high)),
        low_(splat(rate.low)),
        shift_(splat(frame.shift)),
        prescale_(splat(rate.prescale)),
        rounder_(splat(Constants::kRounder + (Constants::kHeadroom + Math{Constants::kBias} - frame.exponent))),
        least_(splat((Constants::kLeastExponent - Constants::kHeadroom + frame.exponent) * rate.inverse)) {}

  // NaN in, NaN out.
  template <bool kPlain>
  TERSOR_INLINE Power<Math> operator()(Lanes<Math> x) const noexcept {
    if constexpr (!kPlain) x = (x - shift_) * prescale_;
    x = max(least_, x);
    const Lanes<Math> biased = mul_add(x, high_, rounder_);
    const Lanes<Math> f = mul_add(x, low_, mul_add(x, high_, rounder_ - biased));
    Lanes<Math> q = splat(Constants::kCoefficients[0]);
    for (int i = 1; i < Constants::kTerms; ++i) q = mul_add(q, f, splat(Constants::kCoefficients[i]));
    using Bits = UnsignedOf<Math>;
    const Lanes<Bits> eighths = bit_cast<Bits>(biased);
    const Lanes<Math> head = lookup8(Constants::kEighths, eighths);
    const Lanes<Math> tail = mul_add(head, f * q, lookup8(Constants::kEighthsRest, eighths));
    const Lanes<Bits> integer = eighths & splat(static_cast<Bits>(~Bits{7}));
    return {head, tail, bit_cast<Math>(shift_left<Constants::kMantissaBits - 3>(integer))};
  }

 private:
  Lanes<Math> high_, low_, shift_, prescale_, rounder_, least_;
};

// Sums of up to 1,024 powers, to about 2**-5 of an ULP: each term is cut at a fixed place, above which all additions are exact, in
// the lanes and across them; what lies below, and what the term's own rounding lost, is added up apart.
template <class Math>
class PowerSum {
 public:
  // Adds the power and returns it rounded.
  TERSOR_INLINE Lanes<Math> add(Power<Math> power) noexcept {
    const Lanes<Math> rounded = power.head + power.tail;
    const Lanes<Math> term = rounded * power.scale;
    const auto cutter = splat(kCutter);
    const Lanes<Math> upper = (term + cutter) - cutter;
    upper_ = upper_ + upper;
    lower_ = mul_add(power.tail - (rounded - power.head), power.scale, lower_ + (term - upper));
    return term;
  }
  TERSOR_INLINE Lanes<Math> upper() const noexcept { return upper_; }
  TERSOR_INLINE Lanes<Math> lower() const noexcept { return lower_; }

 private:
  // Terms are below 1.5 * 2**kHeadroom; 1,024 of them, in steps of the last place of kCutter, fit the mantissa.
  static constexpr Math kCutter = sizeof(Math) == 4 ? static_cast<Math>(0x1.8p42) : static_cast<Math>(0x1.8p266);
  Lanes<Math> upper_ = splat(Math{0}), lower_ = splat(Math{0});
};

// --- for 16-bit results ----------------------------------------------------------------------------------------------------

// Half of the operations, for results of 8 or 11 bits: a polynomial alone, on [-1/2, 1/2], rounded where it falls. The relative
// error is 2**-18 (minimax, degree 4). The constant term is not 1: it need not be.
class CoarseExp2 {
 public:
  TERSOR_INLINE CoarseExp2(Rate<float> rate, Exp2Frame<float> frame) noexcept
      : high_(splat(rate.high)),
        low_(splat(rate.low)),
        shift_(splat(frame.shift)),
        prescale_(splat(rate.prescale)),
        rounder_(splat(0x1.8p23f + (Exp2Constants<float>::kHeadroom - frame.exponent))),
        least_(splat((Exp2Constants<float>::kLeastExponent - Exp2Constants<float>::kHeadroom + frame.exponent) * rate.inverse)) {}

  template <bool kPlain>
  TERSOR_INLINE F32 operator()(F32 x) const noexcept {
    if constexpr (!kPlain) x = (x - shift_) * prescale_;
    x = max(least_, x);
    const F32 biased = mul_add(x, high_, rounder_);
    const F32 f = mul_add(x, low_, mul_add(x, high_, rounder_ - biased));
    constexpr float kCoefficients[] = {0x1.3997dap-7f, 0x1.ca1442p-5f, 0x1.ec06dap-3f, 0x1.62e0dcp-1f, 0x1.ffffe8p-1f};
    F32 power = splat(kCoefficients[0]);
    for (int i = 1; i < 5; ++i) power = mul_add(power, f, splat(kCoefficients[i]));
    return bit_cast<float>(bit_cast<std::uint32_t>(power) + shift_left<23>(bit_cast<std::uint32_t>(biased)));
  }

 private:
  F32 high_, low_, shift_, prescale_, rounder_, least_;
};

class CoarseSum {
 public:
  TERSOR_INLINE F32 add(F32 term) noexcept {
    upper_ = upper_ + term;
    return term;
  }
  TERSOR_INLINE F32 upper() const noexcept { return upper_; }
  TERSOR_INLINE F32 lower() const noexcept { return splat(0.0f); }

 private:
  F32 upper_ = splat(0.0f);
};

}  // namespace tersor::cpu::TERSOR_LEVEL
