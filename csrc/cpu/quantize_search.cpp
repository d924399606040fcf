// quantize: the errors that ranges would make, for a search. Specified by tersor.reference.quantize_search.

#include "cpu/quantize_search.h"

#include "cpu/map.h"
#include "cpu/storage.h"

namespace tersor::cpu::TERSOR_LEVEL {

namespace {

template <class Storage>
void widen_finite(const std::byte* w, std::int64_t cols, std::byte* x) noexcept {
  using Math = typename Storage::Math;
  const auto* from = reinterpret_cast<const typename Storage::Bits*>(w);
  const auto endless = splat(static_cast<Math>(__builtin_huge_val())), absent = splat(static_cast<Math>(__builtin_nan("")));
  map_few(reinterpret_cast<Math*>(x), 0, cols, [=](std::int64_t i, auto lanes) TERSOR_LAMBDA {
    const auto number = Storage::widen(load(from + i, lanes));
    return select(less(absolute(number), endless), number, absent);
  });
}

template <class Math>
inline constexpr Math kLargest = static_cast<Math>(sizeof(Math) == 4 ? 0x1.fffffep127 : 0x1.fffffffffffffp1023);

// Finite, so that 0 times it is 0.
template <class Math>
TERSOR_INLINE Lanes<Math> finite_reciprocal(Lanes<Math> scale) noexcept {
  const auto largest = splat(kLargest<Math>);
  return max(min(splat(Math{1}) / scale, largest), splat(Math{0}) - largest);
}

// The square of what x differs by from the nearest number of a group: codes are least to most once the zero point is taken off.
template <class Math>
TERSOR_INLINE Lanes<Math> squared_error(Lanes<Math> x, Lanes<Math> scale, Lanes<Math> reciprocal, Lanes<Math> least,
                                        Lanes<Math> most) noexcept {
  const auto steps = max(min(round_half_even(x * reciprocal), most), least);
  const auto error = x - steps * scale;
  return select_or_zero(equal(x, x), error * error);
}

template <bool kWeighted, class Math>
void measure_errors_of(const Math* x, const Math* importance, std::int64_t cols, std::int64_t group_size, const Math* scales,
                       const Math* zero_points, CodeRange codes, Math* errors) noexcept {
  for (std::int64_t g = 0; g * group_size < cols; ++g) {
    const std::int64_t begin = g * group_size, end = cols - begin < group_size ? cols : begin + group_size;
    const auto scale = splat(scales[g]), reciprocal = finite_reciprocal(scale);
    const auto least = splat(static_cast<Math>(codes.least) - zero_points[g]);
    const auto most = splat(static_cast<Math>(codes.most) - zero_points[g]);
    auto total = splat(Math{0});
    std::int64_t i = begin;
    for (; i + kLanes <= end; i += kLanes) {
      auto square = squared_error(load(x + i), scale, reciprocal, least, most);
      if constexpr (kWeighted) square = square * load(importance + i);
      total = total + square;
    }
    if (i < end) {
      const Partial rest{static_cast<int>(end - i)};
      const auto numbers = fill_absent(load(x + i, rest), rest, static_cast<Math>(__builtin_nan("")));
      auto square = squared_error(numbers, scale, reciprocal, least, most);
      if constexpr (kWeighted) square = square * fill_absent(load(importance + i, rest), rest, Math{0});
      total = total + square;
    }
    errors[g] = reduce_sum(total);
  }
}

template <class Math>
void measure_errors(const std::byte* x, const std::byte* importance, std::int64_t cols, std::int64_t group_size,
                    const std::byte* scales, const std::byte* zero_points, CodeRange codes, std::byte* errors) noexcept {
  const auto numbers = [](const std::byte* bytes) TERSOR_LAMBDA { return reinterpret_cast<const Math*>(bytes); };
  const auto measure = importance ? measure_errors_of<true, Math> : measure_errors_of<false, Math>;
  measure(numbers(x), numbers(importance), cols, group_size, numbers(scales), numbers(zero_points), codes,
          reinterpret_cast<Math*>(errors));
}

template <class Math>
void add_errors(const std::byte* x, const std::byte* importance, std::int64_t cols, const std::byte* scales,
                const std::byte* zero_points, CodeRange codes, std::byte* errors) noexcept {
  const auto *from = reinterpret_cast<const Math*>(x), *weights = reinterpret_cast<const Math*>(importance);
  const auto *scale = reinterpret_cast<const Math*>(scales), *zero_point = reinterpret_cast<const Math*>(zero_points);
  auto* const to = reinterpret_cast<Math*>(errors);
  const auto least = splat(static_cast<Math>(codes.least)), most = splat(static_cast<Math>(codes.most));
  map_few(to, 0, cols, [&](std::int64_t i, auto lanes) TERSOR_LAMBDA {
    const auto of_scale = load(scale + i, lanes), of_zero_point = load(zero_point + i, lanes);
    auto square =
        squared_error(load(from + i, lanes), of_scale, finite_reciprocal(of_scale), least - of_zero_point, most - of_zero_point);
    if (weights) square = square * load(weights + i, lanes);
    return load(to + i, lanes) + square;
  });
}

}  // namespace

constinit const QuantizeSearchKernels quantize_search_kernels{
    .widen_finite = TERSOR_BY_FLOAT(widen_finite),
    .of_float32 = {.measure_errors = measure_errors<float>, .add_errors = add_errors<float>},
    .of_float64 = {.measure_errors = measure_errors<double>, .add_errors = add_errors<double>},
};

}  // namespace tersor::cpu::TERSOR_LEVEL
