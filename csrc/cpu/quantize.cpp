// quantize: fixed point, and int8 with a scale a row. The formulas stand in python/tersor/reference/.

#include "cpu/kernels.h"
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
  finish(mode);
}

// --- int8 ------------------------------------------------------------------------------------------------------------

template <class Storage>
inline constexpr auto kInfinity = static_cast<SignedOf<typename Storage::Bits>>(Storage::kInfinityBits);

// Magnitudes are compared as integers, as in prune. A row with NaN or infinities is read once more, without them.
template <class Storage>
TERSOR_INLINE RowMagnitude measure_row(const std::byte* w, std::int64_t cols) noexcept {
  using Bits = typename Storage::Bits;
  const auto* from = reinterpret_cast<const Bits*>(w);
  const auto largest = [=](auto admit) TERSOR_LAMBDA {
    using Magnitude = MaskOf<Bits>;
    const auto zero = splat<SignedOf<Bits>>(0);
    Magnitude most[kUnroll] = {zero, zero, zero, zero};
    std::int64_t i = 0;
    for (; i + kUnroll * kLanes <= cols; i += kUnroll * kLanes)
      for (int k = 0; k < kUnroll; ++k) most[k] = max(admit(magnitude(load(from + i + k * kLanes))), most[k]);
    for (; i + kLanes <= cols; i += kLanes) most[0] = max(admit(magnitude(load(from + i))), most[0]);
    if (i < cols) most[1] = max(admit(magnitude(load(from + i, Partial{static_cast<int>(cols - i)}))), most[1]);
    return reduce_max(max(max(most[0], most[1]), max(most[2], most[3])));
  };
  const auto all = largest([](auto value) TERSOR_LAMBDA { return value; });
  if (all < kInfinity<Storage>) return {static_cast<std::uint64_t>(all), true};
  const auto infinity = splat(kInfinity<Storage>);
  const auto finite = largest([=](auto value) TERSOR_LAMBDA { return select_or_zero(less(value, infinity), value); });
  return {static_cast<std::uint64_t>(finite), false};
}

template <class Storage>
TERSOR_INLINE typename Storage::Math scale_of(RowMagnitude magnitude) noexcept {
  using Math = typename Storage::Math;
  const Math absmax = Storage::widen(splat(static_cast<typename Storage::Bits>(magnitude.absmax_bits))).reg[0][0];
  const Math scale = absmax / Math{127};
  return scale == 0 ? Math{1} : scale;
}

template <class Math>
TERSOR_INLINE I8 nearest_code(Lanes<Math> scaled) noexcept {
  const auto most = splat<Math>(127);
  const Lanes<Math> clamped = max(min(scaled, most), splat<Math>(-127));
  if constexpr (sizeof(Math) == 4)
    return demote(to_int32(clamped));
  else
    return demote(to_int32(demote_f32(round_half_even(clamped))));
}

template <class Storage>
TERSOR_INLINE void encode_row(const std::byte* w, std::int8_t* q, std::int64_t cols, RowMagnitude row, Store mode) noexcept {
  using Bits = typename Storage::Bits;
  const auto* from = reinterpret_cast<const Bits*>(w);
  const auto scale = splat(scale_of<Storage>(row));
  const auto scaled = [=](std::int64_t i, auto lanes) TERSOR_LAMBDA { return Storage::widen(load(from + i, lanes)) / scale; };
  if (row.finite) {
    map_row(q, cols, mode, [=](std::int64_t i, auto lanes) TERSOR_LAMBDA { return nearest_code(scaled(i, lanes)); });
  } else {
    map_row(q, cols, mode, [=](std::int64_t i, auto lanes) TERSOR_LAMBDA {
      const auto value = scaled(i, lanes);
      return nearest_code(select_or_zero(equal(value, value), value));
    });
  }
}

template <class Storage>
TERSOR_INLINE void write_scale(RowMagnitude row, std::byte* scale) noexcept {
  const auto value = scale_of<Storage>(row);
  std::memcpy(scale, &value, sizeof value);  // an array may lie at any address
}

template <class Storage>
void quantize_int8(ConstRows w, Rows q, Rows scale, Extent extent, Store mode) noexcept {
  for (std::int64_t r = 0; r < extent.rows; ++r) {
    const RowMagnitude row = measure_row<Storage>(w.row<std::byte>(r), extent.cols);
    write_scale<Storage>(row, scale.row<std::byte>(r));
    encode_row<Storage>(w.row<std::byte>(r), q.row<std::int8_t>(r), extent.cols, row, mode);
  }
  finish(mode);
}

template <class Storage>
RowMagnitude measure_one_row(const std::byte* w, std::int64_t cols) noexcept {
  return measure_row<Storage>(w, cols);
}
template <class Storage>
void write_one_scale(RowMagnitude row, std::byte* scale) noexcept {
  write_scale<Storage>(row, scale);
}
template <class Storage>
void encode_one_row(const std::byte* w, std::int8_t* q, std::int64_t cols, RowMagnitude row, Store mode) noexcept {
  encode_row<Storage>(w, q, cols, row, mode);
  finish(mode);
}

template <class Scale, class Storage>
void dequantize_int8(ConstRows q, ConstRows scale, Rows out, Extent extent, Store mode) noexcept {
  using Bits = typename Storage::Bits;
  for (std::int64_t r = 0; r < extent.rows; ++r) {
    const std::int8_t* from = q.row<std::int8_t>(r);
    Scale row_scale;
    std::memcpy(&row_scale, scale.row<std::byte>(r), sizeof row_scale);
    map_row(out.row<Bits>(r), extent.cols, mode, [=](std::int64_t i, auto lanes) TERSOR_LAMBDA {
      const F32 code = to_float(promote<std::int32_t>(load(from + i, lanes)));
      if constexpr (sizeof(Scale) == 4)
        return narrow_to<Storage>(code * splat(row_scale));
      else
        return narrow_to<Storage>(promote_f64(code) * splat(row_scale));
    });
  }
  finish(mode);
}

}  // namespace

constinit const QuantizeKernels quantize_kernels{
    .round_fixed = TERSOR_BY_FLOAT(round_fixed),
    .quantize_int8 = TERSOR_BY_FLOAT(quantize_int8),
    .measure_row = TERSOR_BY_FLOAT(measure_one_row),
    .write_scale = TERSOR_BY_FLOAT(write_one_scale),
    .encode_row = TERSOR_BY_FLOAT(encode_one_row),
    .dequantize_int8 = {dequantize_int8<float, Float32>, dequantize_int8<float, Float16>, dequantize_int8<float, BFloat16>,
                        dequantize_int8<float, Float64>},
    .dequantize_int8_float64 = {dequantize_int8<double, Float32>, dequantize_int8<double, Float16>,
                                dequantize_int8<double, BFloat16>, dequantize_int8<double, Float64>},
};

}  // namespace tersor::cpu::TERSOR_LEVEL
