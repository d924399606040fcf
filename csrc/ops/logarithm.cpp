#include "ops/logarithm.h"

#include <bit>
#include <cstdint>

namespace tersor {

namespace {

// ln 2 in two parts. The first has 21 trailing zero bits, so that its product with an exponent is exact.
constexpr double kLn2High = 0x1.62e42fee00000p-1, kLn2Low = 0x1.a39ef35793c76p-33;
constexpr double kSqrt2 = 0x1.6a09e667f3bcdp+0;
constexpr int kMantissaBits = 52, kBias = 1023;

// 2 / 3 + 2 z / 5 + ... + 2 z**9 / 21, what 2 atanh(s) has beyond 2 s, over s**3, for z = s**2. Within sqrt(1/2) and sqrt(2) z is
// at most 0.0295, and the terms left out are below 2**-60 of the logarithm.
double atanh_tail(double z) noexcept {
  double sum = 0;
  for (int n = 10; n >= 1; --n) sum = sum * z + 2.0 / (2 * n + 1);
  return sum;
}

}  // namespace

// x = 2**k m with m in [sqrt(1/2), sqrt(2)). For f = m - 1, which is exact, and s = f / (2 + f), ln m = 2 atanh(s); and
// 2 s = f - s f, so that the rounding of s touches small terms only.
double natural_logarithm(double x) noexcept {
  int k = 0;
  if (x < 0x1p-1022) {
    x *= 0x1p54;
    k = -54;
  }
  const auto bits = std::bit_cast<std::uint64_t>(x);
  constexpr std::uint64_t kMantissa = (std::uint64_t{1} << kMantissaBits) - 1;
  double m = std::bit_cast<double>((bits & kMantissa) | static_cast<std::uint64_t>(kBias) << kMantissaBits);
  k += static_cast<int>(bits >> kMantissaBits) - kBias;
  if (m >= kSqrt2) {
    m *= 0.5;
    ++k;
  }
  const double f = m - 1, s = f / (2 + f), z = s * s;
  const double correction = s * (f - z * atanh_tail(z));
  return k * kLn2High - ((correction - k * kLn2Low) - f);
}

}  // namespace tersor
