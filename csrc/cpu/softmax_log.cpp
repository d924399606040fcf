// softmax in logarithms. Sums are those of softmax for float32 and float64 (exp2.h), for the narrower dtypes too: near a share of 1
// the logarithm is as small as what a coarse sum is wrong by. What follows from a sum is float64 arithmetic, which is exact enough
// for the differences of large numbers that logarithms of shares are, and hidden behind memory.

#include "cpu/softmax_log.h"

#include "cpu/softmax_block.h"
#include "cpu/softmax_double.h"

namespace tersor::cpu::TERSOR_LEVEL {

namespace {

// --- blocks --------------------------------------------------------------------------------------------------------------------

// Of [begin, end): how many `counts` says yes to. NaN where one of them is.
template <class Storage, class Counts>
TERSOR_INLINE double count_of(Row<Storage> row, std::int64_t begin, std::int64_t end, Counts counts) noexcept {
  using Math = typename Storage::Math;
  const auto zero = splat(Math{0}), one = splat(Math{1}), nan = splat(static_cast<Math>(__builtin_nan("")));
  Lanes<Math> found = zero;
  each_lanes(begin, end, [&](int, std::int64_t i, auto lanes) TERSOR_LAMBDA {
    const Lanes<Math> value = row.at(i, lanes);
    found = found + fill_absent(select(equal(value, value), select_or_zero(counts(value), one), nan), lanes, Math{0});
  });
  return static_cast<double>(reduce_sum(found));
}

template <class Storage>
[[gnu::noinline]] LogBlock limit_block(Row<Storage> row, std::int64_t begin, std::int64_t end, SoftmaxLimit limit) noexcept {
  using Math = typename Storage::Math;
  const Math top = top_of(row, begin, end);
  const auto largest = splat(top), lowest = splat(-static_cast<Math>(kInfinite));
  const double count =
      limit == SoftmaxLimit::kOneHot
          ? count_of(row, begin, end, [=](auto value) TERSOR_LAMBDA { return equal(value, largest) & greater(value, lowest); })
          : count_of(row, begin, end, [=](auto value) TERSOR_LAMBDA { return greater(value, lowest); });
  return {{static_cast<double>(top), 0, count, 0}, static_cast<double>(top)};
}

template <class Storage>
[[gnu::noinline]] LogBlock log_block(Row<Storage> row, std::int64_t begin, std::int64_t end,
                                     Rate<typename Storage::Math> rate) noexcept {
  using Math = typename Storage::Math;
  const Math top = top_of(row, begin, end);
  if (top == static_cast<Math>(kInfinite)) {
    const double numbers = count_of(row, begin, end, [](auto value) TERSOR_LAMBDA { return equal(value, value); });
    return {{0, 0, numbers != numbers ? numbers : kInfinite, 0}, kInfinite};
  }
  alignas(64) Math kept[kSoftmaxBlock];
  return {measure_block<Storage, Terms<Storage, false>>(row, begin, end, rate, kept), static_cast<double>(top)};
}

template <class Storage>
void measure_logs(const std::byte* x, double temperature, std::int64_t cols, LogBlock* blocks) noexcept {
  const Row<Storage> row{reinterpret_cast<const typename Storage::Bits*>(x), nullptr, cols};
  const SoftmaxLimit limit = softmax_limit(Storage::kDType, temperature);
  const auto rate = rate_for<typename Storage::Math>(limit == SoftmaxLimit::kNone ? temperature : 1);
  for (std::int64_t begin = 0; begin < cols; begin += kSoftmaxBlock, ++blocks)
    *blocks = limit == SoftmaxLimit::kNone ? log_block(row, begin, block_end(begin, cols), rate)
                                           : limit_block(row, begin, block_end(begin, cols), limit);
}

// --- rows ----------------------------------------------------------------------------------------------------------------------

struct TermsOfBlocks {
  const LogBlock* blocks;
  TERSOR_INLINE SoftmaxBlock operator[](std::int64_t b) const noexcept { return blocks[b].terms; }
};

// Counts of blocks that reach the row's largest entry, or at the other limit of all.
TERSOR_INLINE double joined_count(const LogBlock* blocks, std::int64_t count, SoftmaxLimit limit, double top) noexcept {
  double total = 0;
  for (std::int64_t b = 0; b < count; ++b) {
    const double of_block = blocks[b].terms.sum;
    if (limit == SoftmaxLimit::kUniform || blocks[b].top == top || of_block != of_block) total += of_block;
  }
  return total;
}

// The term of one number as it is in the sum of a row.
template <class Math>
TERSOR_INLINE Sum term_of(Math x, Rate<Math> rate, const SoftmaxBlock& row) noexcept {
  const Exp2<Math> exp2(rate, {static_cast<Math>(row.shift), static_cast<Math>(row.exponent), false});
  PowerSum<Math> sum;
  sum.add(exp2.template operator()<false>(fill_absent(splat(x), Partial{1}, -static_cast<Math>(kInfinite))));
  return two_sum(static_cast<double>(reduce_sum(sum.upper())), static_cast<double>(reduce_sum(sum.lower())));
}

// Relative to the term of the largest entry: what errors they share goes, and a row of one entry adds up to 1 exactly.
template <class Storage>
LogBlock join_logs(const LogBlock* blocks, std::int64_t count, double temperature) noexcept {
  using Math = typename Storage::Math;
  double top = blocks[0].top, plain_sum = 0;
  for (std::int64_t b = 0; b < count; ++b) {
    top = blocks[b].top > top ? blocks[b].top : top;
    plain_sum += blocks[b].terms.sum;
  }
  const SoftmaxLimit limit = softmax_limit(Storage::kDType, temperature);
  if (limit != SoftmaxLimit::kNone) return {{top, 0, joined_count(blocks, count, limit, top), 0}, top};
  if (plain_sum != plain_sum || top == kInfinite) return {{0, 0, plain_sum, 0}, top};
  if (top == -kInfinite) return {{0, 0, 0, 0}, top};
  const auto rate = rate_for<Math>(temperature);
  SoftmaxBlock row = join(TermsOfBlocks{blocks}, count, rate);
  const Sum largest = term_of(static_cast<Math>(top), rate, row);
  const double high = row.sum / largest.high;
  row.sum_low = (__builtin_fma(-high, largest.high, row.sum) + row.sum_low - high * largest.low) / largest.high;
  row.sum = high;
  return {row, top};
}

// --- what is written -------------------------------------------------------------------------------------------------------------

// (x - top) / T + offset. In float32 T is at least 2**-180, and the reciprocal as good as the division; in float64 numbers are
// halved where T is large, so that their difference does not overflow.
template <class Storage>
class LogsOf {
 public:
  TERSOR_INLINE explicit LogsOf(const LogRow& row) noexcept {
    const double half = !kMultiplies && row.temperature > 1 ? 0.5 : 1;
    half_ = splat(half);
    top_ = splat(row.top * half);
    divisor_ = splat(kMultiplies ? 1 / row.temperature : row.temperature * half);
    offset_ = splat(row.offset);
  }
  TERSOR_INLINE F64 operator()(Lanes<typename Storage::Math> x) const noexcept {
    if constexpr (kMultiplies)
      return mul_add(convert<double>(x) - top_, divisor_, offset_);
    else
      return (x * half_ - top_) / divisor_ + offset_;
  }

 private:
  static constexpr bool kMultiplies = sizeof(typename Storage::Math) == 4;
  F64 half_, top_, divisor_, offset_;
};

template <class Storage>
TERSOR_INLINE auto has_share(Lanes<typename Storage::Math> x, const LogRow& row) noexcept {
  using Math = typename Storage::Math;
  if (row.limit == SoftmaxLimit::kOneHot) return equal(x, splat(static_cast<Math>(row.top)));
  return greater(x, splat(-static_cast<Math>(kInfinite)));
}

template <class Storage>
void write_logs(const std::byte* x, const LogRow& row, std::byte* out, std::int64_t cols, Store mode) noexcept {
  using Math = typename Storage::Math;
  const auto* from = reinterpret_cast<const typename Storage::Bits*>(x);
  auto* to = reinterpret_cast<typename Storage::Bits*>(out);
  if (row.offset != row.offset) {
    const auto nan = Storage::narrow(splat(static_cast<Math>(__builtin_nan(""))));
    map_row(to, cols, mode, [=](std::int64_t, auto) TERSOR_LAMBDA { return nan; });
  } else if (row.limit != SoftmaxLimit::kNone) {
    const auto share = splat(static_cast<Math>(row.offset)), none = splat(-static_cast<Math>(kInfinite));
    map_few(to, 0, cols, [=, &row](std::int64_t i, auto lanes) TERSOR_LAMBDA {
      return Storage::narrow(select(has_share<Storage>(Storage::widen(load(from + i, lanes)), row), share, none));
    });
  } else {
    const LogsOf<Storage> logs(row);
    map_row(to, cols, mode, [=](std::int64_t i, auto lanes) TERSOR_LAMBDA {
      prefetch_ahead(from + i);
      return Storage::narrow_number(convert<Math>(logs(Storage::widen(load(from + i, lanes)))));
    });
  }
}

template <class Storage>
void write_shares(const std::byte* x, const LogRow& row, double gradient, std::byte* out, std::int64_t cols, Store mode) noexcept {
  using Math = typename Storage::Math;
  const auto* from = reinterpret_cast<const typename Storage::Bits*>(x);
  auto* to = reinterpret_cast<typename Storage::Bits*>(out);
  if (row.offset == row.offset && row.limit != SoftmaxLimit::kNone) {
    map_few(to, 0, cols, [](std::int64_t, auto) TERSOR_LAMBDA { return Storage::narrow(splat(Math{0})); });
    return;
  }
  const LogsOf<Storage> logs(row);
  const ExpOfDouble<Math> exp;
  const F64 of_row = splat(gradient);
  map_row(to, cols, mode, [=](std::int64_t i, auto lanes) TERSOR_LAMBDA {
    return Storage::narrow(convert<Math>(exp(logs(Storage::widen(load(from + i, lanes)))) * of_row));
  });
}

template <class Storage>
double read_number(const std::byte* number) noexcept {
  const auto bits = load(reinterpret_cast<const typename Storage::Bits*>(number), Partial{1});
  alignas(64) double lanes[kLanes];
  store(lanes, convert<double>(Storage::widen(bits)));
  return lanes[0];
}

template <class Storage>
void write_number(double value, std::byte* out) noexcept {
  const auto bits = Storage::narrow(convert<typename Storage::Math>(splat(value)));
  store(reinterpret_cast<typename Storage::Bits*>(out), bits, Partial{1});
}

}  // namespace

constinit const SoftmaxLogKernels softmax_log_kernels{
    .measure_logs = TERSOR_BY_FLOAT(measure_logs),
    .join_logs = TERSOR_BY_FLOAT(join_logs),
    .write_logs = TERSOR_BY_FLOAT(write_logs),
    .write_shares = TERSOR_BY_FLOAT(write_shares),
    .read_number = TERSOR_BY_FLOAT(read_number),
    .write_number = TERSOR_BY_FLOAT(write_number),
};

}  // namespace tersor::cpu::TERSOR_LEVEL
