// structured: what the entries of units add up to. Terms and sums are float64: the product of two narrower floats is exact in it.
// Absent lanes hold 0, which changes no sum and no largest magnitude.

#include "cpu/structured.h"
#include "cpu/map.h"
#include "cpu/storage.h"

namespace tersor::cpu::TERSOR_LEVEL {

namespace {

template <class Storage>
TERSOR_INLINE F64 wide(Lanes<typename Storage::Bits> bits) noexcept {
  if constexpr (sizeof(typename Storage::Math) == 8)
    return Storage::widen(bits);
  else
    return promote_f64(Storage::widen(bits));
}

// A criterion is a term of an entry (and its gradient), and how terms join. join takes any number of lanes.
struct Added {
  static constexpr bool kWithGradient = false;
  template <int N>
  static TERSOR_INLINE Lanes<double, N> join(Lanes<double, N> a, Lanes<double, N> b) noexcept {
    return a + b;
  }
};

struct Value : Added {
  static TERSOR_INLINE F64 term(F64 w, F64) noexcept { return w; }
};

struct Magnitude : Added {
  static TERSOR_INLINE F64 term(F64 w, F64) noexcept { return absolute(w); }
};

struct Square : Added {
  static TERSOR_INLINE F64 term(F64 w, F64) noexcept { return w * w; }
};

struct Product : Added {
  static constexpr bool kWithGradient = true;
  static TERSOR_INLINE F64 term(F64 w, F64 gradient) noexcept { return w * gradient; }
};

// Magnitudes are ordered like their bits, and NaN lies above all of them.
struct Largest {
  static constexpr bool kWithGradient = false;
  static TERSOR_INLINE F64 term(F64 w, F64) noexcept { return absolute(w); }
  template <int N>
  static TERSOR_INLINE Lanes<double, N> join(Lanes<double, N> a, Lanes<double, N> b) noexcept {
    return bit_cast<double>(max(bit_cast<std::int64_t>(a), bit_cast<std::int64_t>(b)));
  }
};

template <class Criterion, class Storage, class Present>
TERSOR_INLINE F64 terms(const typename Storage::Bits* w, const typename Storage::Bits* gradient, Present lanes) noexcept {
  const F64 value = wide<Storage>(load(w, lanes));
  if constexpr (Criterion::kWithGradient)
    return Criterion::term(value, wide<Storage>(load(gradient, lanes)));
  else
    return Criterion::term(value, value);
}

template <class Criterion>
struct Over {
  // One sum a row: column i goes to lane i % 64. The lanes are four groups of 16, for additions to overlap, and meet by halves.
  template <class Storage>
  static void sum_rows(ConstRows w, ConstRows gradient, Extent extent, double* sums) noexcept {
    using Bits = typename Storage::Bits;
    for (std::int64_t r = 0; r < extent.rows; ++r) {
      const Bits *from = w.row<Bits>(r), *with = Criterion::kWithGradient ? gradient.row<Bits>(r) : from;
      const F64 zero = splat(0.0);
      F64 lanes[kUnroll] = {zero, zero, zero, zero};
      std::int64_t i = 0;
      for (; i + kUnroll * kLanes <= extent.cols; i += kUnroll * kLanes)
        for (int k = 0; k < kUnroll; ++k)
          lanes[k] = Criterion::join(lanes[k], terms<Criterion, Storage>(from + i + k * kLanes, with + i + k * kLanes, Full{}));
      for (int k = 0; i < extent.cols; ++k, i += kLanes)
        lanes[k] = Criterion::join(lanes[k],
                                   extent.cols - i >= kLanes
                                       ? terms<Criterion, Storage>(from + i, with + i, Full{})
                                       : terms<Criterion, Storage>(from + i, with + i, Partial{static_cast<int>(extent.cols - i)}));
      const F64 halves[] = {Criterion::join(lanes[0], lanes[2]), Criterion::join(lanes[1], lanes[3])};
      sums[r] = reduce(Criterion::join(halves[0], halves[1]), [](auto a, auto b) TERSOR_LAMBDA { return Criterion::join(a, b); });
    }
  }

  template <class Storage, int kRows, class Present>
  static TERSOR_INLINE void add_lanes(ConstRows w, ConstRows gradient, std::int64_t row, std::int64_t col, double* sums,
                                      Present lanes) noexcept {
    using Bits = typename Storage::Bits;
    F64 total = load(sums + col, lanes);
    for (int k = 0; k < kRows; ++k) {
      const Bits *from = w.row<Bits>(row + k) + col, *with = Criterion::kWithGradient ? gradient.row<Bits>(row + k) + col : from;
      // Of eight rows: columns of 4096 x 11008 float32 took 1.6 times as long as one read, with this 1.3 times (Zen 4).
      prefetch(from + kPrefetchBytes / sizeof(Bits));
      total = Criterion::join(total, terms<Criterion, Storage>(from, with, lanes));
    }
    store(sums + col, total, lanes);
  }

  template <class Storage, int kRows>
  static TERSOR_INLINE void add_few(ConstRows w, ConstRows gradient, std::int64_t row, std::int64_t cols, double* sums) noexcept {
    std::int64_t i = 0;
    for (; i + kLanes <= cols; i += kLanes) add_lanes<Storage, kRows>(w, gradient, row, i, sums, Full{});
    if (i < cols) add_lanes<Storage, kRows>(w, gradient, row, i, sums, Partial{static_cast<int>(cols - i)});
  }

  // One sum a column, row after row. Eight rows at a time, so that the sums are fetched once for eight entries.
  template <class Storage>
  static void add_rows(ConstRows w, ConstRows gradient, Extent extent, double* sums) noexcept {
    std::int64_t r = 0;
    for (; r + 8 <= extent.rows; r += 8) add_few<Storage, 8>(w, gradient, r, extent.cols, sums);
    for (; r < extent.rows; ++r) add_few<Storage, 1>(w, gradient, r, extent.cols, sums);
  }
};

}  // namespace

constinit const StructuredKernels structured_kernels{
    .l1 = {TERSOR_BY_FLOAT(Over<Magnitude>::sum_rows), TERSOR_BY_FLOAT(Over<Magnitude>::add_rows), Over<Value>::sum_rows<Float64>},
    .l2 = {TERSOR_BY_FLOAT(Over<Square>::sum_rows), TERSOR_BY_FLOAT(Over<Square>::add_rows), Over<Value>::sum_rows<Float64>},
    .max = {TERSOR_BY_FLOAT(Over<Largest>::sum_rows), TERSOR_BY_FLOAT(Over<Largest>::add_rows), Over<Largest>::sum_rows<Float64>},
    .taylor = {TERSOR_BY_FLOAT(Over<Product>::sum_rows), TERSOR_BY_FLOAT(Over<Product>::add_rows), Over<Value>::sum_rows<Float64>},
};

}  // namespace tersor::cpu::TERSOR_LEVEL
