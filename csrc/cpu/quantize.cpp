// quantize: fixed point. The formula stands in python/tersor/reference/.

#include "cpu/quantize.h"
#include "cpu/map.h"
#include "cpu/storage.h"

namespace tersor::cpu::TERSOR_LEVEL {

namespace {

template <class Math>
TERSOR_INLINE Math power_of_two(int exponent) noexcept {
  if constexpr (sizeof(Math) == 4)
    return __builtin_bit_cast(float, static_cast<std::uint32_t>(exponent + 127) << 23);
  else
    return __builtin_bit_cast(double, static_cast<std::uint64_t>(exponent + 1023) << 52);
}

// Scaling by a power of two is exact; from 2**(mantissa bits - bits) on every value is a multiple already, and is kept as it is,
// with infinities and NaN.
template <class Storage>
void round_fixed(ConstRows w, Rows out, Extent extent, int bits, Store mode) noexcept {
  using Bits = typename Storage::Bits;
  using Math = typename Storage::Math;
  const auto up = splat(power_of_two<Math>(bits)), down = splat(power_of_two<Math>(-bits));
  const auto fine = splat(power_of_two<Math>((sizeof(Math) == 4 ? 23 : 52) - bits));
  for (std::int64_t r = 0; r < extent.rows; ++r) {
    const Bits* from = w.row<Bits>(r);
    map_row(out.row<Bits>(r), extent.cols, mode, [=](std::int64_t i, auto lanes) TERSOR_LAMBDA {
      const Lanes<Math> value = Storage::widen(load(from + i, lanes));
      const Lanes<Math> rounded = round_half_even(value * up) * down;
      return Storage::narrow(select(less(absolute(value), fine), rounded, value));
    });
  }
}

}  // namespace

constinit const QuantizeKernels quantize_kernels{.round_fixed = TERSOR_BY_FLOAT(round_fixed)};

}  // namespace tersor::cpu::TERSOR_LEVEL
