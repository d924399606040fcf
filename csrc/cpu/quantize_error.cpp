// quantize: sums of the errors that codes make, all in float64. Absent lanes hold 0, which changes none of them.

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

template <class Storage, class Number>
struct Comparison {
  static constexpr bool kExact = sizeof(typename Storage::Math) == 4 && sizeof(typename Number::Math) == 4;
  const typename Storage::Bits* w;
  const typename Number::Bits* numbers;

  template <class Present>
  TERSOR_INLINE F64 original(std::int64_t i, Present lanes) const noexcept {
    return convert<double>(Storage::widen(load(w + i, lanes)));
  }
  template <class Present>
  TERSOR_INLINE F64 decoded(std::int64_t i, Present lanes) const noexcept {
    return convert<double>(Number::widen(load(numbers + i, lanes)));
  }
};

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

// The loop is written out: sums that a lambda holds would pass through memory.
template <class Storage, class Number>
TERSOR_INLINE void compare_group(Comparison<Storage, Number> of, Group group, double* tallies, std::int64_t stride) noexcept {
  constexpr bool kExact = Comparison<Storage, Number>::kExact;
  ErrorSums sums;
  const std::int64_t end = group.begin + group.count;
  std::int64_t i = group.begin;
  for (; i + kLanes <= end; i += kLanes) sums.include<kExact>(of.original(i, Full{}), of.decoded(i, Full{}));
  if (i < end) {
    const Partial rest{static_cast<int>(end - i)};
    sums.include<kExact>(of.original(i, rest), of.decoded(i, rest));
  }
  sums.add_to(tallies, stride);
}

template <class Storage, class Number>
void compare_groups(const std::byte* w, const std::byte* numbers, std::int64_t cols, std::int64_t group_size, double* tallies,
                    std::int64_t stride) noexcept {
  const Comparison<Storage, Number> of{reinterpret_cast<const typename Storage::Bits*>(w),
                                       reinterpret_cast<const typename Number::Bits*>(numbers)};
  for (std::int64_t g = 0; g * group_size < cols; ++g) compare_group(of, group_at(g, cols, group_size), tallies + g, stride);
}

template <class Storage, class Number>
void compare_columns(ConstRows w, ConstRows numbers, Extent extent, double* tallies, std::int64_t stride) noexcept {
  for (std::int64_t r = 0; r < extent.rows; ++r) {
    const Comparison<Storage, Number> of{w.row<typename Storage::Bits>(r), numbers.row<typename Number::Bits>(r)};
    const auto compare = [&](std::int64_t i, auto lanes) TERSOR_LAMBDA {
      const F64 x = of.original(i, lanes), y = of.decoded(i, lanes), error = x - y;
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
    for (; i + kLanes <= extent.cols; i += kLanes) compare(i, Full{});
    if (i < extent.cols) compare(i, Partial{static_cast<int>(extent.cols - i)});
  }
}

#define TERSOR_BY_W(kernel, Number) \
  {kernel<Float32, Number>, kernel<Float16, Number>, kernel<BFloat16, Number>, kernel<Float64, Number>}

}  // namespace

constinit const QuantizeErrorKernels quantize_error_kernels{
    .of_float32 = {.compare_groups = TERSOR_BY_W(compare_groups, Float32),
                   .compare_columns = TERSOR_BY_W(compare_columns, Float32)},
    .of_float64 = {.compare_groups = TERSOR_BY_W(compare_groups, Float64),
                   .compare_columns = TERSOR_BY_W(compare_columns, Float64)},
};

}  // namespace tersor::cpu::TERSOR_LEVEL
