#pragma once
// Powers of two for softmax: 2**(x * rate) for a row's rate = log2(e) / T, scaled so that no intermediate overflows or is
// subnormal. The scheme and the polynomials are those of cpu/exp2.h.
//
// For results of float32 and float64 the argument is never rounded as a whole. With m the nearest integer to x * rate,
// x * rate - m is found by two fused steps with a split in two, to about 2**-26 (2**-55 in float64), and 2**(x * rate - m) by a
// polynomial; m goes straight into the exponent bits. A term costs 16 instructions, 18 where the row is shifted. Why not
// ex2.approx: its 2**-22.5 alone is 2.8 ULP, above the bound, and the rounded product before it is 100 times that.
// For results of 16 bits that is all that is needed, two instructions.

#include "cuda/host_device.h"

namespace tersor::cuda {

template <class Math>
struct Exp2Constants;

template <>
struct Exp2Constants<float> {
  static constexpr int kMantissaBits = 23;
  static constexpr float kRounder = 0x1.8p23f;   // adding it leaves the nearest integer in the low mantissa bits
  static constexpr float kHeadroom = 32;         // terms are multiplied by 2**kHeadroom: the smallest that matter stay normal
  static constexpr float kOne = 0x1p32f;         // the term of 1
  static constexpr float kLeastExponent = -152;  // smaller terms are below half of the least subnormal, once divided by the sum
  // Beyond it the row is shifted by its maximum instead: x - top is then exact (Sterbenz) for every term above kLeastExponent.
  static constexpr float kMostUnshifted = 1024;
  static constexpr double kPrescale = 0x1p64;
  static constexpr float kLeastFactor = -100;  // log2 below which a partial sum vanishes beside another
};

template <>
struct Exp2Constants<double> {
  static constexpr int kMantissaBits = 52;
  static constexpr double kRounder = 0x1.8p52;
  static constexpr double kHeadroom = 256;
  static constexpr double kOne = 0x1p256;
  static constexpr double kLeastExponent = -1256;
  static constexpr double kMostUnshifted = 8192;
  static constexpr double kPrescale = 0x1p512;
  static constexpr double kLeastFactor = -900;
};

template <class Math, int kCount>
TERSOR_HOST_DEVICE Math polynomial(const Math (&coefficient)[kCount], Math x) noexcept {
  Math value = coefficient[0];
#pragma unroll
  for (int i = 1; i < kCount; ++i) value = fused_multiply_add(value, x, coefficient[i]);
  return value;
}

// (2**fraction - 1) / fraction for |fraction| <= 1/2. 1 + fraction times it is minimax for the relative error, by the Remez
// exchange: 2**-29.0 and 2**-58.2.
TERSOR_HOST_DEVICE float slope_of_power(float fraction) noexcept {
  constexpr float kCoefficients[] = {0x1.41d348p-13f, 0x1.5f456cp-10f, 0x1.3b2dbcp-7f,
                                     0x1.c6aed4p-5f,  0x1.ebfbdap-3f,  0x1.62e430p-1f};
  return polynomial(kCoefficients, fraction);
}
TERSOR_HOST_DEVICE double slope_of_power(double fraction) noexcept {
  constexpr double kCoefficients[] = {0x1.e7aa329d24a1fp-32, 0x1.e620fc05a9e45p-28, 0x1.b5267871de546p-24, 0x1.62bfc3c16e794p-20,
                                      0x1.ffcbfba7c612fp-17, 0x1.43091310bf92dp-13, 0x1.5d87fe78cf23ap-10, 0x1.3b2ab6fb9f412p-7,
                                      0x1.c6b08d7049fd1p-5,  0x1.ebfbdff82c5adp-3,  0x1.62e42fefa39efp-1};
  return polynomial(kCoefficients, fraction);
}

// 2**x to 2**-22.5, by one instruction; what is below 2**-126 becomes 0.
TERSOR_HOST_DEVICE float quick_exp2(float x) noexcept {
#if defined(__CUDA_ARCH__)
  float power;
  asm("ex2.approx.ftz.f32 %0, %1;" : "=f"(power) : "f"(x));
  return power;
#else
  return std::exp2(x);
#endif
}

// value * 2**exponent, where `biased` is kRounder plus the exponent, an integer; neither side is subnormal.
template <class Math>
TERSOR_HOST_DEVICE Math scale_by_power(Math value, Math biased) noexcept {
  return from_bits(bits_of(value) + (bits_of(biased) << Exp2Constants<Math>::kMantissaBits));
}

// 2**(fraction + exponent), rounded, and what the last rounding lost: a quarter of the error remains in their sum.
template <class Math>
struct Power {
  Math value, rest;
};

template <class Math>
TERSOR_HOST_DEVICE Power<Math> power_of_two(Math fraction, Math biased) noexcept {
  const Math slope = slope_of_power(fraction);
  const Math value = fused_multiply_add(slope, fraction, Math{1});
  const Math rest = fused_multiply_add(slope, fraction, Math{1} - value);
  return {scale_by_power(value, biased), rest * scale_by_power(Math{1}, biased)};
}

// log2(e) / (T * prescale), split. prescale is 1 but for extreme temperatures, where x * prescale and the rate stay within range.
template <class Math>
struct Rate {
  Math high, low, prescale, inverse;  // inverse: of high
};

template <class Math>
TERSOR_HOST_DEVICE Rate<Math> rate_for(double temperature) noexcept {
  constexpr double kExtreme = Exp2Constants<Math>::kPrescale;
  double prescale = 1;
  if (temperature < 1 / kExtreme) prescale = kExtreme;
  if (temperature > kExtreme) prescale = 1 / kExtreme;
  const double divisor = temperature * prescale;
  constexpr double kLog2E = 0x1.71547652b82fep+0, kLog2ERest = 0x1.777d0ffda0d24p-56;
  const double rate = kLog2E / divisor;
  const auto high = static_cast<Math>(rate);
  Math low;
  if constexpr (sizeof(Math) == 4)
    low = static_cast<float>(rate - static_cast<double>(high));
  else  // the remainder of the division, exactly, divided in its turn
    low = (fused_multiply_add(-rate, divisor, kLog2E) + kLog2ERest) / divisor;
  return {high, low, static_cast<Math>(prescale), Math{1} / high};
}

// What the terms of some entries are relative to: a term is 2**((x - shift) * prescale * rate - exponent + kHeadroom).
template <class Math>
struct Frame {
  Math shift, exponent;
  bool is_plain;  // no shift and no prescale: two operations less
};

// For entries of which `top` is the highest: their terms are at most 2**(kHeadroom + 1/2).
template <class Math>
TERSOR_HOST_DEVICE Frame<Math> frame_for(Math top, const Rate<Math>& rate) noexcept {
  using Constants = Exp2Constants<Math>;
  const Math position = top * rate.prescale * rate.high;
  if (!(magnitude(position) <= Constants::kMostUnshifted)) return {top, 0, false};
  return {0, (position + Constants::kRounder) - Constants::kRounder, rate.prescale == 1};
}

// What terms relative to `from` are multiplied by to be relative to `to`; 0 where that is below 2**kLeastFactor. Between frames
// that are not shifted it is a power of two, and rounds nothing.
template <class Math>
TERSOR_HOST_DEVICE Math factor_between(const Frame<Math>& from, const Frame<Math>& to, const Rate<Math>& rate) noexcept {
  using Constants = Exp2Constants<Math>;
  const Math apart = from.shift == to.shift ? Math{0} : (from.shift - to.shift) * rate.prescale;
  const Math exponent = from.exponent - to.exponent;
  if (!(fused_multiply_add(apart, rate.high, exponent) > Constants::kLeastFactor)) return 0;
  const Math biased = fused_multiply_add(apart, rate.high, exponent + Constants::kRounder);
  const Math rest = exponent - (biased - Constants::kRounder);
  return power_of_two(fused_multiply_add(apart, rate.low, fused_multiply_add(apart, rate.high, rest)), biased).value;
}

template <class Math>
class Exp2 {
 public:
  using Constants = Exp2Constants<Math>;
  Exp2() = default;
  TERSOR_HOST_DEVICE Exp2(const Rate<Math>& rate, const Frame<Math>& frame) noexcept
      : high_(rate.high),
        low_(rate.low),
        shift_(frame.shift),
        prescale_(rate.prescale),
        bias_(Constants::kHeadroom - frame.exponent),
        rounder_(Constants::kRounder + bias_),
        least_((Constants::kLeastExponent + frame.exponent) * rate.inverse) {}

  // -inf gives a term that vanishes once divided by the sum. The entry is neither NaN nor above the frame's.
  template <bool kPlain>
  TERSOR_HOST_DEVICE Power<Math> exact_term(Math x) const noexcept {
    if constexpr (!kPlain) x = (x - shift_) * prescale_;
    x = max_number(x, least_);
    const Math biased = fused_multiply_add(x, high_, rounder_);
    const Math fraction = fused_multiply_add(x, low_, fused_multiply_add(x, high_, rounder_ - biased));
    return power_of_two(fraction, biased);
  }

  // For results of 16 bits. A term of 2**-d of the highest is off by 2**-18 from its rounded argument (2**-19 for d < 64) and by
  // d * 2**-25 from the rounded rate, which is the same for all terms: the rest of it cancels when they are divided by the sum.
  template <bool kPlain>
  TERSOR_HOST_DEVICE Power<Math> quick_term(Math x) const noexcept {
    if constexpr (!kPlain) x = (x - shift_) * prescale_;
    return {quick_exp2(fused_multiply_add(x, high_, bias_)), 0};
  }

  template <bool kPlain, bool kExact>
  TERSOR_HOST_DEVICE Power<Math> term(Math x) const noexcept {
    if constexpr (kExact)
      return exact_term<kPlain>(x);
    else
      return quick_term<kPlain>(x);
  }

 private:
  Math high_{}, low_{}, shift_{}, prescale_{}, bias_{}, rounder_{}, least_{};
};

}  // namespace tersor::cuda
