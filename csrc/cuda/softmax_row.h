#pragma once
// The arithmetic of one row of softmax, whichever threads share it: which limit its temperature is, its terms, their sum, the
// shares.
//
// Error of a float32 result, in units of 2**-24 of it; float64 alike with 2**-53. Its own term: 1.65 at most (the last step of the
// polynomial rounds by 1, the two of the fraction by 0.35 together, the steps before by 0.3). The sum: 0.65, since it includes what
// the last steps lost. The last product: half an ULP. In ULP, which are 1 to 2 such units: 2.8 at most. The largest seen in
// tests/cpp/cuda_softmax_test.cpp, over rows chosen to make it large, stands there. Results of 16 bits: 2**-17 of them in all,
// which is 0.016 ULP of float16 and 0.002 of bfloat16 beyond the half of the rounding.

#include "cuda/exp2.h"
#include "cuda/total.h"

namespace tersor::cuda {

enum class Limit : std::uint8_t {
  kNone,
  kZero,     // T = 0: the highest entries share the row evenly
  kSharp,    // so small that any difference decides; unlike at 0 an infinite entry has no share
  kUniform,  // so large that no difference matters
  kInvalid,  // negative or NaN
};

template <class Math>
struct Temperature {
  Limit limit;
  Rate<Math> rate;  // where limit is kNone
};

template <class Math>
TERSOR_HOST_DEVICE Temperature<Math> temperature_from(double value) noexcept {
  // float32 entries differ by 2**-149 at the least and 2**129 at the most; float64's range of T leaves no such room.
  constexpr double kLeast = sizeof(Math) == 4 ? 0x1p-180 : 0, kMost = sizeof(Math) == 4 ? 0x1p180 : kInfinity<double>;
  Temperature<Math> temperature{};
  if (!(value >= 0))
    temperature.limit = Limit::kInvalid;
  else if (value == 0)
    temperature.limit = Limit::kZero;
  else if (value <= kLeast)
    temperature.limit = Limit::kSharp;
  else if (value >= kMost)
    temperature.limit = Limit::kUniform;
  else
    temperature.rate = rate_for<Math>(value);
  return temperature;
}

enum class RowKind : std::uint8_t {
  kPlain,
  kShifted,
  kEven,  // entries from some value up share the row evenly
  kNan,
};

template <class Math>
TERSOR_HOST_DEVICE RowKind row_kind(Limit limit, Math top, bool is_plain) noexcept {
  if (limit == Limit::kInvalid || top != top || top == -kInfinity<Math>) return RowKind::kNan;
  if (top == kInfinity<Math> && limit != Limit::kZero) return RowKind::kNan;
  if (limit != Limit::kNone) return RowKind::kEven;
  return is_plain ? RowKind::kPlain : RowKind::kShifted;
}

// How the terms of a row are found, once its maximum is known. kHasPlain: whether plain rows get code of their own, which is two
// instructions a term faster and takes longer to compile; kExact: see Exp2.
template <class Math, bool kExact, bool kHasPlain>
class RowTerms {
 public:
  TERSOR_HOST_DEVICE RowTerms(const Temperature<Math>& temperature, Math top) noexcept {
    Frame<Math> frame{};
    if (temperature.limit == Limit::kNone) {
      frame = frame_for(top, temperature.rate);
      exp2_ = Exp2<Math>(temperature.rate, frame);
    }
    least_sharer_ = temperature.limit == Limit::kUniform ? kLowestFinite<Math> : top;
    kind_ = row_kind(temperature.limit, top, frame.is_plain && kHasPlain);
  }
  TERSOR_HOST_DEVICE bool is_nan() const noexcept { return kind_ == RowKind::kNan; }

  // visit(term_of) with the function that gives the terms of this row; not called for a row of NaN.
  template <class Visit>
  TERSOR_HOST_DEVICE void visit(Visit visit) const noexcept {
    const Math least_sharer = least_sharer_;
    const Exp2<Math> exp2 = exp2_;
    if constexpr (kHasPlain) {
      if (kind_ == RowKind::kPlain) return visit([=](Math x) { return exp2.template term<true, kExact>(x); });
    }
    if (kind_ == RowKind::kShifted)
      visit([=](Math x) { return exp2.template term<false, kExact>(x); });
    else if (kind_ == RowKind::kEven)
      visit([=](Math x) { return Power<Math>{x >= least_sharer ? Exp2Constants<Math>::kOne : Math{0}, 0}; });
  }

 private:
  Exp2<Math> exp2_;
  Math least_sharer_;
  RowKind kind_;
};

// A sum of terms with the low parts that additions lose. It starts from a number above any term, which makes the lost part exact
// without a comparison (Fast2Sum); that is taken off at the end.
template <class Math>
class TermSum {
 public:
  TERSOR_HOST_DEVICE void add(Math term) noexcept {
    const Math high = high_ + term;
    low_ += term - (high - high_);
    high_ = high;
  }
  TERSOR_HOST_DEVICE void add(const Power<Math>& term) noexcept {
    add(term.value);
    low_ += term.rest;
  }
  TERSOR_HOST_DEVICE void scale(Math factor) noexcept {
    const Math sum = (high_ - kBase) * factor;
    high_ = kBase;
    low_ *= factor;
    add(sum);
  }
  TERSOR_HOST_DEVICE Total<Math> total() const noexcept {
    if constexpr (sizeof(Math) == 4)
      return {static_cast<double>(high_ - kBase) + static_cast<double>(low_)};
    else
      return {high_ - kBase, low_};
  }

 private:
  // Four terms of an OnlineSum, whose frame may lag by 2**kSlack, are at most 2**(1/2 + 4 + 2) of kOne.
  static constexpr Math kBase = 128 * Exp2Constants<Math>::kOne;
  Math high_ = kBase, low_ = 0;
};

// The terms of some entries, which are added to a sum too. For 16-bit results terms are added in fours and without their
// rests: 1.75 instructions an entry instead of 9.
template <bool kExact, class Math, int kCount, class TermOf>
TERSOR_HOST_DEVICE void add_terms(const Math (&x)[kCount], Math (&value)[kCount], TermSum<Math>& sum, TermOf term_of) noexcept {
#pragma unroll
  for (int i = 0; i < kCount; ++i) {
    const Power<Math> term = term_of(x[i]);
    value[i] = term.value;
    if constexpr (kExact) sum.add(term);
  }
  if constexpr (!kExact) {
#pragma unroll
    for (int i = 0; i < kCount; i += 4) sum.add((value[i] + value[i + 1]) + (value[i + 2] + value[i + 3]));
  }
}

// Terms and maximum in one read. The frame follows the maximum, by steps of at least kSlack powers of two.
template <class Math>
class OnlineSum {
 public:
  static constexpr Math kSlack = 4;

  TERSOR_HOST_DEVICE explicit OnlineSum(const Rate<Math>& rate) noexcept : rate_(rate) {}

  template <bool kExact, int kCount>
  TERSOR_HOST_DEVICE void add(const Math (&x)[kCount]) noexcept {
    Math highest = x[0];
#pragma unroll
    for (int i = 1; i < kCount; ++i) highest = max_or_nan(highest, x[i]);
    top_ = max_or_nan(top_, highest);
    if (highest > limit_) follow(highest);
    if (limit_ == -kInfinity<Math>) return;  // nothing but -inf so far
    Math value[kCount];
    add_terms<kExact>(x, value, sum_, [this](Math entry) { return exp2_.template term<false, kExact>(entry); });
  }
  TERSOR_HOST_DEVICE Math top() const noexcept { return top_; }
  TERSOR_HOST_DEVICE Total<Math> total_in(const Frame<Math>& frame) const noexcept {
    if (limit_ == -kInfinity<Math>) return {};
    return sum_.total() * static_cast<double>(factor_between(frame_, frame, rate_));
  }

 private:
  TERSOR_HOST_DEVICE void follow(Math highest) noexcept {
    const Frame<Math> next = frame_for(highest, rate_);
    if (limit_ != -kInfinity<Math>) sum_.scale(factor_between(frame_, next, rate_));
    frame_ = next;
    exp2_ = Exp2<Math>(rate_, next);
    limit_ = highest + kSlack * rate_.inverse / rate_.prescale;
  }

  Rate<Math> rate_;
  Math top_ = -kInfinity<Math>, limit_ = -kInfinity<Math>;
  Frame<Math> frame_{};
  Exp2<Math> exp2_{};
  TermSum<Math> sum_;
};

// Terms to shares: multiplied by 1 / sum in two parts, so that only the last step rounds.
template <class Math>
class Share {
 public:
  TERSOR_HOST_DEVICE explicit Share(Total<Math> sum) noexcept {
    const auto high = static_cast<Math>(sum.high);
    Math low;
    if constexpr (sizeof(Math) == 4)
      low = static_cast<Math>(sum.high - static_cast<double>(high));
    else
      low = sum.low;
    high_ = Math{1} / high;
    low_ = high_ * fused_multiply_add(-high_, low, fused_multiply_add(-high_, high, Math{1}));
  }
  TERSOR_HOST_DEVICE Math operator()(Math term) const noexcept { return fused_multiply_add(term, high_, term * low_); }

 private:
  Math high_, low_;
};

}  // namespace tersor::cuda
