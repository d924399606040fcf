#include "ops/distribution.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstring>
#include <limits>
#include <string>
#include <vector>

#include "core/check.h"
#include "core/float_environment.h"
#include "core/parallel.h"
#include "ops/check_views.h"
#include "ops/float_format.h"
#include "ops/logarithm.h"
#include "ops/select.h"

namespace tersor {

namespace {

// Elements whose sums are taken by themselves, then joined in order.
constexpr std::int64_t kStretch = 4096;

double number_at(const std::byte* item, DType dtype) noexcept {
  if (dtype == DType::kFloat64) {
    double number;
    std::memcpy(&number, item, sizeof number);
    return number;
  }
  if (dtype == DType::kFloat32) {
    float number;
    std::memcpy(&number, item, sizeof number);
    return number;
  }
  std::uint16_t bits;
  std::memcpy(&bits, item, sizeof bits);
  const double magnitude = value_of_key(std::min<std::int64_t>(bits & 0x7fff, nan_key(dtype)), dtype, KeyOrder::kMagnitude);
  return bits & 0x8000 ? -magnitude : magnitude;
}

// Elements `first` and following, in C order.
void copy_numbers(const View& view, std::int64_t first, std::int64_t count, double* to) noexcept {
  std::int64_t index[kMaxDims];
  std::int64_t rest = first;
  for (int axis = view.ndim - 1; axis >= 0; --axis) {
    index[axis] = rest % view.shape[axis];
    rest /= view.shape[axis];
  }
  for (std::int64_t i = 0; i < count; ++i) {
    const std::byte* item = view.data;
    for (int axis = 0; axis < view.ndim; ++axis) item += index[axis] * view.stride_bytes[axis];
    to[i] = number_at(item, view.dtype);
    for (int axis = view.ndim - 1; axis >= 0 && ++index[axis] == view.shape[axis]; --axis) index[axis] = 0;
  }
}

// What one stretch of a distribution adds up to.
struct Mass {
  CompensatedSum sum;
  bool negative = false, finite = true;

  void add(double p) noexcept {
    negative |= p < 0;
    finite &= std::isfinite(p);
    sum.add(p);
  }
  void add(const Mass& other) noexcept {
    negative |= other.negative;
    finite &= other.finite;
    sum.add(other.sum);
  }
};

void require_distribution(const View& p, const Mass& mass) {
  const std::string name = p.name;
  if (!mass.finite) throw ValueError(name + " holds NaN or an infinity; a distribution is finite");
  if (mass.negative) throw ValueError(name + " holds a negative number; probabilities are at least 0");
  const double sum = mass.sum.value(), tolerance = sum_tolerance(p.dtype);
  if (!(std::fabs(sum - 1) <= tolerance))
    throw ValueError(name + " sums to " + std::to_string(sum) + ", which is off 1 by more than " + std::to_string(tolerance) +
                     "; divide it by its sum");
}

// p ln(p / q); infinite where q is 0. Logarithms apart where the quotient leaves the normal numbers.
double divergence_term(double p, double q) noexcept {
  if (!(p > 0)) return 0;
  if (q == 0) return std::numeric_limits<double>::infinity();
  const double ratio = p / q;
  if (ratio >= std::numeric_limits<double>::min() && ratio <= std::numeric_limits<double>::max())
    return p * natural_logarithm(ratio);
  return p * (natural_logarithm(p) - natural_logarithm(q));
}

struct Terms {
  Mass p, q;
  CompensatedSum sum;
  bool infinite = false;

  void add(double p_here, double q_here) noexcept {
    p.add(p_here);
    q.add(q_here);
    if (!std::isfinite(p_here) || !(q_here >= 0 && std::isfinite(q_here))) return;  // refused afterwards
    const double term = divergence_term(p_here, q_here);
    infinite |= std::isinf(term);
    if (!std::isinf(term)) sum.add(term);
  }
  void add(const Terms& other) noexcept {
    p.add(other.p);
    q.add(other.q);
    sum.add(other.sum);
    infinite |= other.infinite;
  }
};

// fill(terms, first, count) for every stretch, by any thread; all of them in order are the result.
template <class Fill>
Terms sum_in_stretches(std::int64_t size, Fill fill) {
  const std::int64_t stretches = (size + kStretch - 1) / kStretch;
  std::vector<Terms> terms(static_cast<std::size_t>(stretches));
  parallel_for(stretches, [&](std::int64_t i) {
    fill(terms[static_cast<std::size_t>(i)], i * kStretch, std::min(kStretch, size - i * kStretch));
  });
  Terms all;
  for (const Terms& part : terms) all.add(part);
  return all;
}

void require_probabilities(const View& p) {
  require_floating(p);
  require_cpu("a divergence", p);
}

}  // namespace

double sum_tolerance(DType dtype) noexcept { return std::max(1e-6, std::ldexp(4.0, -float_format(dtype).mantissa_bits)); }

double divergence(const View& p, const View& q) {
  require_probabilities(p);
  require_probabilities(q);
  require_same_shape(p, q);
  const DefaultFloatEnvironment environment;
  const Terms all = sum_in_stretches(p.size(), [&](Terms& terms, std::int64_t first, std::int64_t count) {
    double p_numbers[kStretch], q_numbers[kStretch];
    copy_numbers(p, first, count, p_numbers);
    copy_numbers(q, first, count, q_numbers);
    for (std::int64_t i = 0; i < count; ++i) terms.add(p_numbers[i], q_numbers[i]);
  });
  require_distribution(p, all.p);
  require_distribution(q, all.q);
  return all.infinite ? std::numeric_limits<double>::infinity() : std::max(0.0, all.sum.value());
}

double distribution_entropy(const View& p) {
  require_probabilities(p);
  const DefaultFloatEnvironment environment;
  const Terms all = sum_in_stretches(p.size(), [&](Terms& terms, std::int64_t first, std::int64_t count) {
    double numbers[kStretch];
    copy_numbers(p, first, count, numbers);
    for (std::int64_t i = 0; i < count; ++i) {
      terms.p.add(numbers[i]);
      if (numbers[i] > 0 && std::isfinite(numbers[i])) terms.sum.add(-numbers[i] * natural_logarithm(numbers[i]));
    }
  });
  require_distribution(p, all.p);
  return std::max(0.0, all.sum.value());
}

double entropy_of_counts(std::span<const std::int64_t> counts) noexcept {
  const DefaultFloatEnvironment environment;
  std::int64_t total = 0;
  for (const std::int64_t count : counts) total += count;
  const double all = static_cast<double>(total);
  CompensatedSum sum;
  for (const std::int64_t count : counts)
    if (count > 0) sum.add(static_cast<double>(count) / all * natural_logarithm(all / static_cast<double>(count)));
  return sum.value();
}

// With integers below 2**53 the products of an independent pair are equal, and so are they rounded: its term is exactly 0.
double mutual_information_of_counts(std::span<const std::int64_t> table, std::int64_t cols, std::span<std::int64_t> sums) noexcept {
  const DefaultFloatEnvironment environment;
  const auto width = static_cast<std::size_t>(cols);
  const auto of_cols = sums.first(width), of_rows = sums.subspan(width);
  std::fill(sums.begin(), sums.end(), 0);
  std::int64_t total = 0;
  for (std::size_t i = 0; i < table.size(); ++i) {
    of_cols[i % width] += table[i];
    of_rows[i / width] += table[i];
    total += table[i];
  }
  const double all = static_cast<double>(total);
  CompensatedSum sum;
  for (std::size_t i = 0; i < table.size(); ++i) {
    if (table[i] == 0) continue;
    const double here = static_cast<double>(table[i]);
    const double independent = static_cast<double>(of_rows[i / width]) * static_cast<double>(of_cols[i % width]);
    sum.add(here / all * natural_logarithm(here * all / independent));
  }
  return std::max(0.0, sum.value());
}

}  // namespace tersor
