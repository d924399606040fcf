// softmax: gradients. All in float64, where products of float32 numbers are exact; rounded at the end, to 16 bits by way of
// float32: narrow_to, which rounds once, takes 1.8 times as long.

#include "cpu/softmax_backward.h"

#include "cpu/softmax_block.h"
#include "cpu/softmax_double.h"

namespace tersor::cpu::TERSOR_LEVEL {

namespace {

template <class Term>
TERSOR_INLINE void sum_blocks(std::int64_t cols, double* sums, Term term) noexcept {
  for (std::int64_t begin = 0; begin < cols; begin += kSoftmaxBlock) {
    const std::int64_t end = block_end(begin, cols);
    F64 sum = splat(0.0);
    std::int64_t i = begin;
    for (; i + kLanes <= end; i += kLanes) sum = sum + term(i, Full{});
    if (i < end) sum = sum + term(i, Partial{static_cast<int>(end - i)});
    *sums++ = reduce_sum(sum);
  }
}

template <class Storage>
TERSOR_INLINE F64 wide(const std::byte* items, std::int64_t i, auto lanes) noexcept {
  return convert<double>(Storage::widen(load(reinterpret_cast<const typename Storage::Bits*>(items) + i, lanes)));
}

template <class Storage>
void measure_softmax(const std::byte* gradient, const std::byte* y, std::int64_t cols, double* sums) noexcept {
  sum_blocks(cols, sums, [=](std::int64_t i, auto lanes) TERSOR_LAMBDA {
    return wide<Storage>(gradient, i, lanes) * wide<Storage>(y, i, lanes);
  });
}

template <class Storage>
void measure_log_softmax(const std::byte* gradient, const std::byte*, std::int64_t cols, double* sums) noexcept {
  sum_blocks(cols, sums, [=](std::int64_t i, auto lanes) TERSOR_LAMBDA { return wide<Storage>(gradient, i, lanes); });
}

template <class Storage, class Value>
TERSOR_INLINE void write_row(std::byte* out, std::int64_t cols, Store mode, Value value) noexcept {
  map_row(reinterpret_cast<typename Storage::Bits*>(out), cols, mode, [=](std::int64_t i, auto lanes) TERSOR_LAMBDA {
    return Storage::narrow(convert<typename Storage::Math>(value(i, lanes)));
  });
}

template <class Storage>
void write_softmax(const std::byte* gradient, const std::byte* y, double sum, double inverse, std::byte* out, std::int64_t cols,
                   Store mode) noexcept {
  const F64 mean = splat(sum), factor = splat(inverse);
  write_row<Storage>(out, cols, mode, [=](std::int64_t i, auto lanes) TERSOR_LAMBDA {
    return wide<Storage>(y, i, lanes) * (wide<Storage>(gradient, i, lanes) - mean) * factor;
  });
}

template <class Storage>
void write_log_softmax(const std::byte* gradient, const std::byte* y, double sum, double inverse, std::byte* out, std::int64_t cols,
                       Store mode) noexcept {
  const F64 total = splat(sum), factor = splat(inverse), zero = splat(0.0);
  const ExpOfDouble<typename Storage::Math> exp;
  write_row<Storage>(out, cols, mode, [=](std::int64_t i, auto lanes) TERSOR_LAMBDA {
    const F64 logs = wide<Storage>(y, i, lanes);
    return (wide<Storage>(gradient, i, lanes) - exp(select(greater(logs, zero), zero, logs)) * total) * factor;
  });
}

}  // namespace

constinit const SoftmaxBackwardKernels softmax_backward_kernels{
    .measure_softmax = TERSOR_BY_FLOAT(measure_softmax),
    .measure_log_softmax = TERSOR_BY_FLOAT(measure_log_softmax),
    .write_softmax = TERSOR_BY_FLOAT(write_softmax),
    .write_log_softmax = TERSOR_BY_FLOAT(write_log_softmax),
};

}  // namespace tersor::cpu::TERSOR_LEVEL
