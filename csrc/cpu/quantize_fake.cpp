// fake_quantize: numbers that are rounded as if to codes, and gradients. Terms of these are taken in the type of w's arithmetic,
// products and sums in float64. Absent lanes have the gradient 0, which changes no sum.

#include "cpu/quantize_fake.h"
#include "cpu/map.h"
#include "cpu/quantize_codes.h"

namespace tersor::cpu::TERSOR_LEVEL {

namespace {

// --- numbers -------------------------------------------------------------------------------------------------------------

template <class Storage>
void fake_groups(const std::byte* w, std::int64_t cols, std::int64_t group_size, const std::byte* scales,
                 const std::byte* zero_points, const CodeRule& rule, std::byte* out, Store mode, const std::byte* next) noexcept {
  using Bits = typename Storage::Bits;
  using Math = typename Storage::Math;
  constexpr std::int64_t kBytes = sizeof(Bits);
  const auto *scale = reinterpret_cast<const Math*>(scales), *zero_point = reinterpret_cast<const Math*>(zero_points);
  auto* const to = reinterpret_cast<Bits*>(out);
  const auto least = splat(static_cast<Math>(rule.least)), most = splat(static_cast<Math>(rule.most));
  const Store of_groups = lines_hold_groups(to, group_size, cols) ? mode : Store::kCached;
  for (std::int64_t g = 0; g * group_size < cols; ++g) {
    const auto [begin, count] = group_at(g, cols, group_size);
    const Bits* const from = reinterpret_cast<const Bits*>(w) + begin;
    const std::byte* const ahead = next ? next + begin * kBytes : nullptr;
    const auto of_scale = splat(scale[g]), reciprocal = splat(Math{1} / scale[g]), zero = splat(zero_point[g]);
    map_codes<true>(to + begin, count, of_groups, [&](std::int64_t i, auto lanes) TERSOR_LAMBDA {
      if (ahead)
        for (std::int64_t byte = 0; byte < kLanes * kBytes; byte += 64) prefetch(ahead + i * kBytes + byte);
      const auto nearest = nearest_quotient(Storage::widen(load(from + i, lanes)), of_scale, reciprocal);
      return Storage::narrow((max(min(nearest + zero, most), least) - zero) * of_scale);
    });
  }
}

// --- gradients -----------------------------------------------------------------------------------------------------------

// What became of 16 numbers: whether their codes are not clamped, and what the gradient of the scale is multiplied with.
template <class Math>
struct Outcome {
  MaskOf<Math> passes;
  Lanes<Math> slope;
};

template <class Math, class Random>
TERSOR_INLINE Outcome<Math> outcome_of(Lanes<Math> x, Lanes<Math> scale, Lanes<Math> zero_point, const CodeRule& rule,
                                       Random random) noexcept {
  const auto least = splat(static_cast<Math>(rule.least)), most = splat(static_cast<Math>(rule.most));
  const auto quotient = quotient_by_rule(x, scale, rule);
  const auto place =
      rule.zero_point_first ? in_dtype(quotient + zero_point, rule.step) : rounded(quotient, rule.rounding, random) + zero_point;
  const auto clamped = max(min(place, most), least);
  const auto steps = (rule.zero_point_first ? rounded(clamped, rule.rounding, random) : clamped) - zero_point;
  const auto passes = equal(clamped, place);
  return {passes, steps - select_or_zero(passes, quotient)};
}

// Sums over a group, or over 16 of them side by side.
struct Sums {
  F64 of_scale, of_clamped;

  // Gives the gradient of w.
  template <class Math>
  TERSOR_INLINE Lanes<Math> include(Lanes<Math> gradient, const Outcome<Math>& outcome) noexcept {
    const auto passed = select_or_zero(outcome.passes, gradient);
    of_scale = of_scale + convert<double>(gradient) * convert<double>(outcome.slope);
    of_clamped = of_clamped + convert<double>(select(outcome.passes, splat(Math{0}), gradient));
    return passed;
  }
};

template <class Storage, class Present>
TERSOR_INLINE void backward_lanes(const typename Storage::Bits* grad, const typename Storage::Bits* w, Present lanes,
                                  Lanes<typename Storage::Math> scale, Lanes<typename Storage::Math> zero_point,
                                  const CodeRule& rule, const std::uint32_t* random, typename Storage::Bits* grad_w,
                                  Sums& sums) noexcept {
  const auto outcome =
      outcome_of(Storage::widen(load(w, lanes)), scale, zero_point, rule, [=]() TERSOR_LAMBDA { return load(random, lanes); });
  store(grad_w, Storage::narrow(sums.include(Storage::widen(load(grad, lanes)), outcome)), lanes);
}

template <class Storage>
void backward_groups(const std::byte* grad, const std::byte* w, std::int64_t cols, std::int64_t group_size, const std::byte* scales,
                     const std::byte* zero_points, const CodeRule& rule, const std::uint32_t* random, std::byte* grad_w,
                     double* tallies, std::int64_t stride) noexcept {
  using Bits = typename Storage::Bits;
  using Math = typename Storage::Math;
  const auto *of_grad = reinterpret_cast<const Bits*>(grad), *of_w = reinterpret_cast<const Bits*>(w);
  const auto *scale = reinterpret_cast<const Math*>(scales), *zero_point = reinterpret_cast<const Math*>(zero_points);
  auto* const to = reinterpret_cast<Bits*>(grad_w);
  for (std::int64_t g = 0; g * group_size < cols; ++g) {
    const auto [begin, count] = group_at(g, cols, group_size);
    const auto of_group = splat(scale[g]), zero = splat(zero_point[g]);
    Sums sums{splat(0.0), splat(0.0)};
    const std::int64_t end = begin + count;
    std::int64_t i = begin;
    for (; i + kLanes <= end; i += kLanes) {
      prefetch_ahead(of_grad + i);
      prefetch_ahead(of_w + i);
      backward_lanes<Storage>(of_grad + i, of_w + i, Full{}, of_group, zero, rule, random + i, to + i, sums);
    }
    if (i < end)
      backward_lanes<Storage>(of_grad + i, of_w + i, Partial{static_cast<int>(end - i)}, of_group, zero, rule, random + i, to + i,
                              sums);
    tallies[kScaleGradient * stride + g] += reduce_sum(sums.of_scale);
    tallies[kClampedGradient * stride + g] += reduce_sum(sums.of_clamped);
  }
}

template <class Storage>
void backward_columns(const std::byte* grad, const std::byte* w, std::int64_t cols, const std::byte* scales,
                      const std::byte* zero_points, const CodeRule& rule, const std::uint32_t* random, std::byte* grad_w,
                      double* tallies, std::int64_t stride) noexcept {
  using Bits = typename Storage::Bits;
  using Math = typename Storage::Math;
  const auto *of_grad = reinterpret_cast<const Bits*>(grad), *of_w = reinterpret_cast<const Bits*>(w);
  const auto *scale = reinterpret_cast<const Math*>(scales), *zero_point = reinterpret_cast<const Math*>(zero_points);
  auto* const to = reinterpret_cast<Bits*>(grad_w);
  const auto backward = [&](std::int64_t i, auto lanes) TERSOR_LAMBDA {
    double *const of_scale = tallies + kScaleGradient * stride + i, *const of_clamped = tallies + kClampedGradient * stride + i;
    Sums sums{load(of_scale), load(of_clamped)};
    backward_lanes<Storage>(of_grad + i, of_w + i, lanes, load(scale + i), load(zero_point + i), rule, random + i, to + i, sums);
    store(of_scale, sums.of_scale);
    store(of_clamped, sums.of_clamped);
  };
  std::int64_t i = 0;
  for (; i + kLanes <= cols; i += kLanes) backward(i, Full{});
  if (i < cols) backward(i, Partial{static_cast<int>(cols - i)});
}

}  // namespace

constinit const QuantizeFakeKernels quantize_fake_kernels{
    .fake_groups = TERSOR_BY_FLOAT(fake_groups),
    .backward_groups = TERSOR_BY_FLOAT(backward_groups),
    .backward_columns = TERSOR_BY_FLOAT(backward_columns),
};

}  // namespace tersor::cpu::TERSOR_LEVEL
