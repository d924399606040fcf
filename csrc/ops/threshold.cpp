#include "ops/threshold.h"

#include <bit>
#include <string>

#include "core/check.h"
#include "ops/float_format.h"

namespace tersor {

namespace {

constexpr std::uint64_t shift_right_half_even(std::uint64_t value, int bits) noexcept {
  if (bits <= 0) return value << -bits;
  if (bits > 63) return 0;
  const std::uint64_t half = std::uint64_t{1} << (bits - 1);
  const std::uint64_t kept = value >> bits, lost = value & (2 * half - 1);
  return kept + (lost > half || (lost == half && (kept & 1)));
}

}  // namespace

std::uint64_t threshold_bits(double eps, DType dtype) {
  if (!(eps >= 0)) throw ValueError("eps must be a number >= 0, got " + std::to_string(eps));
  // By integers, so that a host's flush-to-zero mode cannot turn a subnormal threshold into 0.
  const auto bits = std::bit_cast<std::uint64_t>(eps) & ~(std::uint64_t{1} << 63);
  if (dtype == DType::kFloat64) return bits;
  const FloatFormat format = float_format(dtype);
  const int exponent = static_cast<int>(bits >> 52) - 1023;
  if (exponent == -1023) return 0;  // a subnormal float64 is far below half of any narrower subnormal
  if (exponent > format.most_exponent) return static_cast<std::uint64_t>(format.infinity_bits());
  const std::uint64_t significand = (bits & ((std::uint64_t{1} << 52) - 1)) | std::uint64_t{1} << 52;
  const int subnormal_shift = exponent < format.least_exponent ? format.least_exponent - exponent : 0;
  const std::uint64_t rounded = shift_right_half_even(significand, 52 - format.mantissa_bits + subnormal_shift);
  if (subnormal_shift) return rounded;  // one that rounds up to the least normal number carries into the exponent by itself
  return rounded + (static_cast<std::uint64_t>(exponent - format.least_exponent) << format.mantissa_bits);
}

}  // namespace tersor
