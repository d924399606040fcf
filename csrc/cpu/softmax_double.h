#pragma once
// Exponentials of float64 numbers, as precise as the arithmetic type.

#include "cpu/exp2.h"
#include "cpu/storage.h"

namespace tersor::cpu::TERSOR_LEVEL {

namespace {

// exp(z) for z <= 0. An argument rounded to float32 would be wrong by up to 2**-18, so what rounding took from it is made good by a
// factor.
template <class Math>
class ExpOfDouble {
 public:
  TERSOR_INLINE ExpOfDouble() noexcept : exp2_(rate_for<Math>(1), {0, 0, true}) {}
  TERSOR_INLINE F64 operator()(F64 z) const noexcept {
    const Lanes<Math> rounded = convert<Math>(z);
    const Power<Math> power = exp2_.template operator()<true>(rounded);
    F64 value = convert<double>((power.head + power.tail) * power.scale) * splat(kScale);
    if constexpr (sizeof(Math) == 4) value = mul_add(value, z - convert<double>(rounded), value);
    return select(less(z, splat(kLeast)), splat(0.0), value);
  }

 private:
  static constexpr double kScale = sizeof(Math) == 4 ? 0x1p-32 : 0x1p-256;  // without the headroom
  static constexpr double kLeast = sizeof(Math) == 4 ? -104 : -745.2;       // below half of the least subnormal
  static_assert(Exp2Constants<Math>::kHeadroom == (sizeof(Math) == 4 ? 32 : 256));
  Exp2<Math> exp2_;
};

}  // namespace

}  // namespace tersor::cpu::TERSOR_LEVEL
