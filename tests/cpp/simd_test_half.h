#pragma once
// Scalar conversions to and from 16-bit floats, written for the test alone: by the value, in double, not by bit tricks.

#include <cmath>
#include <cstdint>
#include <cstring>
#include <limits>

inline float float_of_half(std::uint16_t half) {
  const int exponent = half >> 10 & 31;
  const double mantissa = half & 1023;
  const double sign = half >> 15 ? -1.0 : 1.0;
  if (exponent == 31) return static_cast<float>(mantissa == 0 ? sign * HUGE_VAL : std::numeric_limits<double>::quiet_NaN());
  return static_cast<float>(sign * (exponent == 0 ? std::ldexp(mantissa, -24) : std::ldexp(mantissa + 1024, exponent - 25)));
}

// The nearest value, half to even, of a format with this many mantissa bits, as sign, exponent and mantissa bits.
inline std::uint16_t rounded_to_16_bits(float value, int mantissa_bits, int least_exponent, int most_exponent) {
  const std::uint16_t sign = std::signbit(value) ? 0x8000 : 0;
  const int exponent_all_ones = (most_exponent - least_exponent + 2) << mantissa_bits;
  if (value != value) return static_cast<std::uint16_t>(exponent_all_ones | 1 << (mantissa_bits - 1));
  const double magnitude = std::fabs(static_cast<double>(value));
  if (magnitude == 0) return sign;
  int exponent = std::isinf(magnitude) ? most_exponent + 1 : std::ilogb(magnitude);
  if (exponent < least_exponent) exponent = least_exponent;
  const double steps = std::nearbyint(std::ldexp(magnitude, mantissa_bits - exponent));  // in units of the last place
  // Steps of a subnormal are its bits; a normal number has the implicit bit, which carries into the exponent.
  const double bits = exponent > most_exponent ? exponent_all_ones : std::ldexp(exponent - least_exponent, mantissa_bits) + steps;
  return static_cast<std::uint16_t>(sign | static_cast<int>(bits > exponent_all_ones ? exponent_all_ones : bits));
}

inline std::uint16_t half_of_float(float value) { return rounded_to_16_bits(value, 10, -14, 15); }
inline std::uint16_t bfloat16_of_float(float value) { return rounded_to_16_bits(value, 7, -126, 127); }
