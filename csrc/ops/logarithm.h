#pragma once
// Logarithms and sums whose bits do not depend on the CPU: neither libm nor NumPy promises that. Compiled without instruction-set
// flags, from operations that IEEE 754 rounds correctly.

#include <cmath>

namespace tersor {

// The natural logarithm of a positive finite number, within 1 ULP (tests/test_nats.py measures 0.8).
double natural_logarithm(double x) noexcept;

// Neumaier's sum (1974): what each addition rounds away is added up beside it. The error is that of the last rounding, and some
// n**2 * 2**-106 of the terms' magnitudes.
class CompensatedSum {
 public:
  void add(double term) noexcept {
    const double next = sum_ + term;
    rounded_away_ += std::fabs(sum_) >= std::fabs(term) ? (sum_ - next) + term : (term - next) + sum_;
    sum_ = next;
  }
  // The parts of another sum, which must come in a fixed order.
  void add(const CompensatedSum& other) noexcept {
    add(other.sum_);
    add(other.rounded_away_);
  }
  double value() const noexcept { return sum_ + rounded_away_; }

 private:
  double sum_ = 0, rounded_away_ = 0;
};

}  // namespace tersor
