// quantize: sums of the errors that codes make, all in float64.

#include "cpu/quantize_error.h"

#include "cpu/quantize_codes.h"

namespace tersor::cpu::TERSOR_LEVEL {

namespace {

// A register of numbers.
using Part = Lanes<double, kVectorBytes / 8>;
TERSOR_INLINE Part part_of(F64 lanes, int index) noexcept { return {{lanes.reg[index]}}; }

// Eight lanes, the first and the second half of 16 in turn: more would not find room in the registers of AVX2.
struct Sum {
  static constexpr int kParts = kLanes / 2 / Part::kCount;
  Lanes<double, kLanes / 2> lanes = splat<double, kLanes / 2>(0);
  TERSOR_INLINE Part part(int index) const noexcept { return {{lanes.reg[index % kParts]}}; }
  TERSOR_INLINE void set(int index, Part part) noexcept { lanes.reg[index % kParts] = part.reg[0]; }
};

// What float32 numbers multiply to is exact in float64, so that it may be fused: no bit changes.
template <bool kExact>
TERSOR_INLINE void add_product(Sum& sum, int index, Part a, Part b) noexcept {
#if defined(TERSOR_LEVEL_IS_avx2)
  if constexpr (kExact) return sum.set(index, mul_add(a, b, sum.part(index)));
#endif
  sum.set(index, sum.part(index) + a * b);
}

template <class Storage, class Math>
inline constexpr bool kExactProducts = sizeof(typename Storage::Math) == 4 && sizeof(Math) == 4;

template <class Storage, class Present>
TERSOR_INLINE F64 original(const std::byte* w, std::int64_t i, Present lanes) noexcept {
  return convert<double>(Storage::widen(load(reinterpret_cast<const typename Storage::Bits*>(w) + i, lanes)));
}
template <class Math, class Present>
TERSOR_INLINE F64 decoded(const std::uint8_t* q, Present lanes, int flip, Lanes<Math> scale, Lanes<Math> zero_place) noexcept {
  return convert<double>((places_of<Math>(load(q, lanes), flip) - zero_place) * scale);
}

struct ErrorSums {
  Sum errors, squares, numbers, products, largest;

  // Register by register, so that few are in use at a time.
  template <bool kExact>
  TERSOR_INLINE void include(F64 xs, F64 ys) noexcept {
    for (int r = 0; r < F64::kRegisters; ++r) {
      const Part x = part_of(xs, r), y = part_of(ys, r), error = x - y;
      add_product<false>(errors, r, error, error);
      add_product<kExact>(squares, r, x, x);
      add_product<kExact>(numbers, r, y, y);
      add_product<kExact>(products, r, x, y);
      const Part magnitude = bit_cast<double>(bit_cast<std::uint64_t>(error) & splat<std::uint64_t, Part::kCount>(~0ull >> 1));
      largest.set(r, max(magnitude, largest.part(r)));
    }
  }

  TERSOR_INLINE void add_to(double* tallies, std::int64_t stride) const noexcept {
    tallies[kSquaredErrors * stride] += reduce_sum(errors.lanes);
    tallies[kSquares * stride] += reduce_sum(squares.lanes);
    tallies[kSquaredNumbers * stride] += reduce_sum(numbers.lanes);
    tallies[kProducts * stride] += reduce_sum(products.lanes);
    double& most = tallies[kLargestError * stride];
    const double found = reduce_max(largest.lanes);
    most = found > most ? found : most;
  }
};

// The inner loop is written out: sums that a lambda holds would pass through memory. Absent lanes are made 0: their codes are not.
template <class Storage, class Math>
void compare_groups(const std::byte* w, const std::uint8_t* q, std::int64_t cols, std::int64_t group_size, int flip,
                    const std::byte* scales, const std::byte* zero_points, double* tallies, std::int64_t stride) noexcept {
  constexpr bool kExact = kExactProducts<Storage, Math>;
  const auto *scale = reinterpret_cast<const Math*>(scales), *zero_point = reinterpret_cast<const Math*>(zero_points);
  for (std::int64_t g = 0; g * group_size < cols; ++g) {
    const auto [begin, count] = group_at(g, cols, group_size);
    const auto of_scale = splat(scale[g]), zero_place = splat(zero_point[g] - static_cast<Math>(flip));
    ErrorSums sums;
    const std::int64_t end = begin + count;
    std::int64_t i = begin;
    for (; i + kLanes <= end; i += kLanes) {
      prefetch_ahead(reinterpret_cast<const typename Storage::Bits*>(w) + i);
      sums.include<kExact>(original<Storage>(w, i, Full{}), decoded(q + i, Full{}, flip, of_scale, zero_place));
    }
    if (i < end) {
      const Partial rest{static_cast<int>(end - i)};
      sums.include<kExact>(original<Storage>(w, i, rest), fill_absent(decoded(q + i, rest, flip, of_scale, zero_place), rest, 0.0));
    }
    sums.add_to(tallies + g, stride);
  }
}

template <class Storage, class Math>
void compare_columns(const std::byte* w, const std::uint8_t* q, std::int64_t cols, int flip, const std::byte* scales,
                     const std::byte* zero_points, double* tallies, std::int64_t stride) noexcept {
  const auto *scale = reinterpret_cast<const Math*>(scales), *zero_point = reinterpret_cast<const Math*>(zero_points);
  const auto flipped = splat(static_cast<Math>(flip));
  const auto compare = [&](std::int64_t i, auto lanes) TERSOR_LAMBDA {
    const F64 x = original<Storage>(w, i, lanes);
    const F64 y = decoded(q + i, lanes, flip, load(scale + i), load(zero_point + i) - flipped), error = x - y;
    const auto add = [&](ErrorTally tally, F64 a, F64 b) TERSOR_LAMBDA {
      double* const sum = tallies + tally * stride + i;
      store(sum, load(sum) + a * b);
    };
    add(kSquaredErrors, error, error);
    add(kSquares, x, x);
    add(kSquaredNumbers, y, y);
    add(kProducts, x, y);
    double* const largest = tallies + kLargestError * stride + i;
    store(largest, max(absolute(error), load(largest)));
  };
  std::int64_t i = 0;
  for (; i + kLanes <= cols; i += kLanes) compare(i, Full{});
  if (i < cols) compare(i, Partial{static_cast<int>(cols - i)});
}

#define TERSOR_BY_W(kernel, Math) {kernel<Float32, Math>, kernel<Float16, Math>, kernel<BFloat16, Math>, kernel<Float64, Math>}

}  // namespace

constinit const QuantizeErrorKernels quantize_error_kernels{
    .of_float32 = {.compare_groups = TERSOR_BY_W(compare_groups, float), .compare_columns = TERSOR_BY_W(compare_columns, float)},
    .of_float64 = {.compare_groups = TERSOR_BY_W(compare_groups, double), .compare_columns = TERSOR_BY_W(compare_columns, double)},
};

}  // namespace tersor::cpu::TERSOR_LEVEL
