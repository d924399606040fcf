#pragma once
// The sum of a row, on its way across threads. float64 holds one of float32 terms with 29 bits to spare; one of float64 terms needs
// a second number for the low parts. Adding is commutative to the bit, so that threads that exchange their sums agree.
#include "cuda/host_device.h"

namespace tersor::cuda {

template <class Math>
struct Total;

template <>
struct Total<float> {
  double high;
  TERSOR_HOST_DEVICE Total operator+(Total other) const noexcept { return {high + other.high}; }
  TERSOR_HOST_DEVICE Total operator*(double factor) const noexcept { return {high * factor}; }
};

template <>
struct Total<double> {
  double high, low;
  TERSOR_HOST_DEVICE Total operator+(Total other) const noexcept {
    const double sum = high + other.high;  // TwoSum
    const double from_other = sum - high;
    const double lost = (high - (sum - from_other)) + (other.high - from_other);
    return {sum, (low + other.low) + lost};
  }
  TERSOR_HOST_DEVICE Total operator*(double factor) const noexcept { return {high * factor, low * factor}; }
};

}  // namespace tersor::cuda
