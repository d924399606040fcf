// The arithmetic of softmax that CUDA kernels share with the host, against long double: terms, frames, sums in one and two reads,
// shares. Device code runs the same IEEE operations in the same order, so the errors found here are those of the GPU.
//
// Largest errors seen, with 30 as argument (33 million entries a type, of rows chosen to be hard): float32 terms 0.82 epsilon,
// shares 2.02 ULP; float64 0.86 epsilon, 2.11 ULP.

#include <cmath>
#include <cstdint>
#include <cstdlib>
#include <limits>
#include <vector>

#include "cuda/softmax_row.h"
#include "cuda_check.h"

using namespace tersor::cuda;

namespace {

using Exact = long double;  // 64 bits of significand on x86, 11 more than float64; 113 on aarch64

double uniform(double low, double high) { return low + (high - low) * static_cast<double>(generator() >> 11) * 0x1p-53; }

template <class Math>
Exact ulp(Exact value) {
  constexpr int kBits = std::numeric_limits<Math>::digits, kLeast = std::numeric_limits<Math>::min_exponent - 1;
  int exponent;
  std::frexp(value, &exponent);
  return std::ldexp(Exact{1}, std::max(exponent - 1, kLeast) - (kBits - 1));
}

template <class Math>
Exact error_in_ulp(Math got, Exact wanted) {
  return std::fabs(static_cast<Exact>(got) - wanted) / ulp<Math>(wanted);
}

// x * log2(e) / t + exponent, to about 2**-60 even where the product is in the thousands.
Exact exact_exponent(Exact x, double t, double exponent) {
  constexpr Exact kLog2E = 1.442695040888963407359924681001892137L;
  // What 64 bits leave of it; 113 hold all digits above.
  constexpr Exact kLog2ERest = std::numeric_limits<Exact>::digits == 64 ? -2.772710179645130978454392e-20L : 0.0L;
  const Exact rate = kLog2E / static_cast<Exact>(t);
  const Exact rest = (std::fma(-rate, static_cast<Exact>(t), kLog2E) + kLog2ERest) / static_cast<Exact>(t);
  return std::fma(x, rate, static_cast<Exact>(exponent)) + x * rest;
}

template <class Math>
Exact unscaled(Math term) {
  return static_cast<Exact>(term) / static_cast<Exact>(Exp2Constants<Math>::kOne);
}

// --- temperatures and terms ----------------------------------------------------------------------------------------------------

template <class Math>
void test_rates() {
  Check check("rate: log2(e) / (T * prescale), split");
  constexpr int kRange = sizeof(Math) == 4 ? 179 : 1000;
  for (int round = 0; round < 20000; ++round) {
    const double t = std::ldexp(uniform(1, 2), static_cast<int>(random_below(2 * kRange)) - kRange);
    const Temperature<Math> temperature = temperature_from<Math>(t);
    const Rate<Math> rate = temperature.rate;
    const Exact wanted = 1.442695040888963407359924681001892137L / static_cast<Exact>(t);
    const Exact got = (static_cast<Exact>(rate.high) + static_cast<Exact>(rate.low)) * static_cast<Exact>(rate.prescale);
    // float32: 2 * 24 bits and the sign of the low part; less where the low part is subnormal.
    const Exact bound = std::fabs(wanted) * (sizeof(Math) == 4 ? (t > 0x1p100 ? 0x1p-32L : 0x1p-48L) : 0x1p-62L);
    check.that(temperature.limit == Limit::kNone && std::fabs(got - wanted) <= bound, "T = %a: off by %Lg", t,
               std::fabs(got - wanted) / wanted);
  }
  const double inf = std::numeric_limits<double>::infinity();
  const struct {
    double t;
    Limit limit;
  } limits[] = {{0, Limit::kZero},
                {-0.0, Limit::kZero},
                {inf, Limit::kUniform},
                {-1, Limit::kInvalid},
                {-inf, Limit::kInvalid},
                {std::nan(""), Limit::kInvalid},
                {5e-324, sizeof(Math) == 4 ? Limit::kSharp : Limit::kNone},
                {1e308, sizeof(Math) == 4 ? Limit::kUniform : Limit::kNone}};
  for (const auto& [t, limit] : limits) check.that(temperature_from<Math>(t).limit == limit, "T = %g", t);
}

// Terms of entries below a maximum, in every kind of frame.
template <class Math>
Exact worst_term(int rounds) {
  Check check("terms within an ULP and a bit, whatever the maximum and the temperature");
  constexpr double kReach = sizeof(Math) == 4 ? 100 : 700;  // in units of T: beyond, the result is subnormal
  Exact worst = 0;
  for (int round = 0; round < rounds; ++round) {
    const double t =
        std::ldexp(uniform(1, 2), round % 4 ? static_cast<int>(random_below(16)) - 8 : static_cast<int>(random_below(140)) - 70);
    const double scale = std::ldexp(t, static_cast<int>(random_below(20)) - 4);
    const Math top = static_cast<Math>(uniform(-1, 1) * scale);
    if (!std::isfinite(top)) continue;
    const Temperature<Math> temperature = temperature_from<Math>(t);
    const Frame<Math> frame = frame_for(top, temperature.rate);
    const Exp2<Math> exp2(temperature.rate, frame);
    for (int k = 0; k < 64; ++k) {
      const Math x = k == 0 ? top : static_cast<Math>(static_cast<double>(top) - uniform(0, k % 2 ? kReach : 2.0) * t);
      const Math term = exp2.template term<false, true>(x).value;
      if (frame.is_plain)
        check.that(exp2.template term<true, true>(x).value == term, "a plain term differs: x = %a, T = %a", double(x), t);
      const Exact wanted =
          std::exp2(exact_exponent(static_cast<Exact>(x) - static_cast<Exact>(frame.shift), t, -double(frame.exponent)));
      const Exact error = std::fabs(unscaled(term) - wanted) / wanted / static_cast<Exact>(std::numeric_limits<Math>::epsilon());
      worst = std::max(worst, error);
      check.that(error < 1, "x = %a, top = %a, T = %a: %Lg epsilon", double(x), double(top), t, error);
    }
    check.that(unscaled(exp2.template term<false, true>(-kInfinity<Math>).value) < (sizeof(Math) == 4 ? 0x1p-151L : 0x1p-1200L),
               "-inf");
  }
  return worst;
}

template <class Math>
void test_factors() {
  Check check("factor_between frames");
  for (int round = 0; round < 100000; ++round) {
    const double t = std::ldexp(uniform(1, 2), static_cast<int>(random_below(12)) - 6);
    const Rate<Math> rate = rate_for<Math>(t);
    const double spread = std::ldexp(t, static_cast<int>(random_below(16)) - 2);
    const Math a = static_cast<Math>(uniform(-1, 1) * spread), b = static_cast<Math>(static_cast<double>(a) + uniform(0, 60) * t);
    const Frame<Math> from = frame_for(a, rate), to = frame_for(b, rate);
    const Exact exponent =
        exact_exponent(static_cast<Exact>(from.shift) - static_cast<Exact>(to.shift), t, double(from.exponent - to.exponent));
    const Exact got = static_cast<Exact>(factor_between(from, to, rate)), wanted = std::exp2(exponent);
    const bool vanishes = exponent < static_cast<Exact>(Exp2Constants<Math>::kLeastFactor) + 1 && got == 0;
    check.that(vanishes || std::fabs(got - wanted) <= wanted * static_cast<Exact>(std::numeric_limits<Math>::epsilon()),
               "%a to %a, T = %a: %Lg, wanted %Lg", double(a), double(b), t, got, wanted);
    if (from.is_plain && to.is_plain) check.that(vanishes || std::frexp(got, new int) == 0.5L, "a power of two");
  }
}

// --- rows ------------------------------------------------------------------------------------------------------------------------

struct RowCase {
  const char* name;
  double (*entry)(int i, int count);
};
const RowCase kRows[] = {
    {"normal", [](int, int) { return (uniform(-1, 1) + uniform(-1, 1) + uniform(-1, 1)) * 3; }},
    {"constant", [](int, int) { return 0.7; }},
    {"two values", [](int i, int) { return i % 2 ? 0.3 : 1.9; }},
    {"period of three", [](int i, int) { return i % 3 * 0.37; }},
    {"rising", [](int i, int count) { return 90.0 * i / count; }},
    {"falling", [](int i, int count) { return -90.0 * i / count; }},
    {"rising far from zero", [](int i, int count) { return 5000 + 90.0 * i / count; }},
    {"rising far below zero", [](int i, int count) { return -5000 + 90.0 * i / count; }},
    {"across zero", [](int i, int count) { return -3000 + 6000.0 * i / count; }},
    {"one high entry at the end", [](int i, int count) { return i == count - 1 ? 40.0 : uniform(0, 1); }},
    {"mostly -inf", [](int i, int) { return i % 7 ? -std::numeric_limits<double>::infinity() : uniform(-4, 4); }},
    {"starts with -inf",
     [](int i, int count) { return 2 * i < count ? -std::numeric_limits<double>::infinity() : uniform(-4, 4); }},
};

// A row as a kernel takes it: `threads` threads, `kItems` entries at a time, sums combined in float64.
template <class Math, int kItems, bool kExact>
Exact worst_share(const RowCase& row, int cols, int threads, double t, bool online) {
  std::vector<Math> x(static_cast<std::size_t>(cols));
  for (int i = 0; i < cols; ++i) x[static_cast<std::size_t>(i)] = static_cast<Math>(row.entry(i, cols));
  const Temperature<Math> temperature = temperature_from<Math>(t);
  Math top = -kInfinity<Math>;
  for (const Math value : x) top = max_or_nan(top, value);
  const RowTerms<Math, kExact, true> terms(temperature, top);
  const Frame<Math> frame = frame_for(top, temperature.rate);
  std::vector<Math> term(x.size());
  Total<Math> total{};
  for (int thread = 0; thread < threads; ++thread) {
    OnlineSum<Math> online_sum(temperature.rate);
    TermSum<Math> sum;
    for (int first = thread * kItems; first < cols; first += threads * kItems) {
      Math value[kItems], some[kItems] = {};
      for (int i = 0; i < kItems; ++i) value[i] = first + i < cols ? x[static_cast<std::size_t>(first + i)] : -kInfinity<Math>;
      online_sum.template add<kExact>(value);
      terms.visit([&](auto term_of) { add_terms<kExact>(value, some, sum, term_of); });
      for (int i = 0; i < kItems && first + i < cols; ++i) term[static_cast<std::size_t>(first + i)] = some[i];
    }
    total = total + (online ? online_sum.total_in(frame) : sum.total());
  }
  Exact exact_sum = 0, lost = 0;
  for (const Math value : x) {
    const Exact exact = std::exp((static_cast<Exact>(value) - static_cast<Exact>(top)) / static_cast<Exact>(t)) - lost;
    const Exact next = exact_sum + exact;
    lost = (next - exact_sum) - exact;
    exact_sum = next;
  }
  const Share<Math> share(total);
  Exact worst = 0;
  for (std::size_t i = 0; i < x.size(); ++i) {
    const Exact wanted = std::exp((static_cast<Exact>(x[i]) - static_cast<Exact>(top)) / static_cast<Exact>(t)) / exact_sum;
    worst = std::max(worst, error_in_ulp(share(term[i]), wanted));
  }
  return worst;
}

template <class Math, int kItems, bool kExact>
Exact test_rows(const char* name, int rounds) {
  Check check("shares within 2.8 ULP, or 2**-17 for 16 bits, in one read and in two");
  Exact worst = 0;
  for (int round = 0; round < rounds; ++round)
    for (const RowCase& row : kRows)
      for (const int cols : {1, 7, 300, 5000, 40000})
        for (const bool online : {false, true}) {
          const int threads = cols < 1000 ? 1 << random_below(6) : 64 << random_below(4);
          const double t = round % 3 == 0 ? 1 : std::exp(uniform(-3, 3));
          const Exact error = worst_share<Math, kItems, kExact>(row, cols, threads, t, online);
          worst = std::max(worst, error);
          // 140: 2**-17 of the result and a little, in float32's ULP.
          check.that(error <= (kExact ? 2.8L : 140.0L), "%s, %s: %d columns, %d threads, T = %g, %s: %.3Lf ULP", name, row.name,
                     cols, threads, t, online ? "two reads" : "one read", error);
        }
  return worst;
}

template <class Math>
void test_kinds() {
  Check check("kinds of rows at the limits of the temperature");
  constexpr Math kInf = kInfinity<Math>;
  const Math nan = std::numeric_limits<Math>::quiet_NaN();
  const double inf = std::numeric_limits<double>::infinity();
  const auto is_nan = [](double t, Math top) { return RowTerms<Math, true, true>(temperature_from<Math>(t), top).is_nan(); };
  for (const double t : {0.0, 1e-300, 0.5, 1e300, inf}) {
    check.that(is_nan(t, nan) && is_nan(t, -kInf), "T = %g: NaN and -inf", t);
    check.that(is_nan(t, kInf) == (t != 0), "T = %g: +inf", t);
    check.that(!is_nan(t, Math{3}), "T = %g: 3", t);
  }
  for (const double t : {-1.0, -inf, std::nan("")}) check.that(is_nan(t, Math{3}), "T = %g", t);
  const auto term = [](double t, Math top, Math x) {
    Exact result = -1;
    RowTerms<Math, true, true>(temperature_from<Math>(t), top).visit([&](auto term_of) { result = unscaled(term_of(x).value); });
    return result;
  };
  check.that(term(0, 2, 2) == 1 && term(0, 2, 1) == 0 && term(0, kInf, kInf) == 1 && term(0, kInf, 1) == 0, "T = 0");
  check.that(term(inf, 2, -kInf) == 0 && term(inf, 2, -5) == 1 && term(inf, 2, kLowestFinite<Math>) == 1, "T = inf");
  if (sizeof(Math) == 4) check.that(term(1e-60, 2, 2) == 1 && term(1e-60, 2, std::nextafter(Math{2}, Math{0})) == 0, "T = 1e-60");
}

void test_shares_of_few() {
  Check check("even shares are 1 / count, rounded once");
  for (int count = 1; count <= 300000; count += count < 1000 ? 1 : 991) {
    TermSum<float> sum;
    TermSum<double> wide;
    for (int i = 0; i < count; ++i) {
      sum.add(Exp2Constants<float>::kOne);
      wide.add(Exp2Constants<double>::kOne);
    }
    const float got = Share<float>(sum.total())(Exp2Constants<float>::kOne);
    check.that(got == static_cast<float>(1.0 / count), "float32: 1 / %d", count);
    check.that(Share<double>(wide.total())(Exp2Constants<double>::kOne) == 1.0 / count, "float64: 1 / %d", count);
  }
}

}  // namespace

// A number as argument multiplies the random rounds.
int main(int argc, char** argv) {
  const int times = argc > 1 ? std::atoi(argv[1]) : 1;
  test_rates<float>();
  test_rates<double>();
  const Exact term = worst_term<float>(20000 * times), wide_term = worst_term<double>(20000 * times);
  test_factors<float>();
  test_factors<double>();
  const Exact row = test_rows<float, 4, true>("float32", times), coarse = test_rows<float, 8, false>("for 16 bits", times);
  const Exact wide_row = test_rows<double, 2, true>("float64", times);
  test_kinds<float>();
  test_kinds<double>();
  test_shares_of_few();
  std::printf(
      "largest errors: float32 terms %.3Lf epsilon, rows %.3Lf ULP, for 16 bits %.1Lf ULP; float64 terms %.3Lf, rows %.3Lf\n", term,
      row, coarse, wide_term, wide_row);
  return finish();
}
