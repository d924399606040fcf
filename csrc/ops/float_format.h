#pragma once
// How the bits of a floating dtype are divided.

#include "core/dtype.h"

namespace tersor {

struct FloatFormat {
  int mantissa_bits, least_exponent, most_exponent;  // exponents of normal numbers
  // The bits of infinity; those of NaN are greater.
  constexpr std::int64_t infinity_bits() const noexcept {
    return static_cast<std::int64_t>(most_exponent - least_exponent + 2) << mantissa_bits;
  }
};

constexpr FloatFormat float_format(DType dtype) noexcept {
  switch (dtype) {
    case DType::kFloat16: return {10, -14, 15};
    case DType::kBFloat16: return {7, -126, 127};
    case DType::kFloat64: return {52, -1022, 1023};
    default: return {23, -126, 127};
  }
}

}  // namespace tersor
