#include "ops/quantize.h"

#include <atomic>
#include <string>

#include "core/check.h"
#include "core/memory.h"
#include "cpu/kernels.h"
#include "ops/check_views.h"
#include "ops/cuda_launch.h"
#include "ops/loop.h"

namespace tersor {

void round_fixed(const View& w, int bits, const View& out) {
  require_floating(w);
  require_same_dtype(w, out);
  require_same_shape(w, out);
  require_same_device(w, out);
  require_cpu("round_fixed", w);
  require_no_overlap(w, out, InPlace::kAllowed);
  if (bits < 0 || bits > kMostFixedBits)
    throw ValueError("bits must lie in [0, " + std::to_string(kMostFixedBits) + "], got " + std::to_string(bits));
  auto& kernel = cpu::quantize_kernels().round_fixed[w.dtype];
  const Store store = store_for(w, out);
  for_each_block(plan_elements({{w}, {out, Columns::kEach, Access::kWrite}}), Split::kColumns,
                 [&](const Block& block) { kernel(block.operands[0], block.operands[1], block.extent, bits, store); });
}

namespace {

void require_scale_shape(const View& w, int axis, const View& scale) {
  View wanted = w;
  wanted.shape[axis] = 1;
  if (!same_shape(wanted, scale))
    throw ValueError(std::string(scale.name) + " has shape " + shape_text(scale) + "; it must be " + shape_text(wanted) +
                     ", one entry a row of " + w.name);
}

// Few long rows would leave threads idle: their magnitudes and their codes are found in pieces. A maximum does not depend on
// the order, so both ways give the same bits.
constexpr std::int64_t kFewRows = 16;
constexpr std::int64_t kLongRow = 1 << 16;

struct SharedMagnitude {
  std::atomic<std::uint64_t> absmax_bits{0};
  std::atomic<bool> finite{true};

  void include(cpu::RowMagnitude part) noexcept {
    if (!part.finite) finite.store(false, std::memory_order_relaxed);
    std::uint64_t known = absmax_bits.load(std::memory_order_relaxed);
    while (known < part.absmax_bits && !absmax_bits.compare_exchange_weak(known, part.absmax_bits, std::memory_order_relaxed)) {
    }
  }
  cpu::RowMagnitude whole() const noexcept { return {absmax_bits.load(), finite.load()}; }
};

void quantize_long_rows(const LoopPlan& plan, DType dtype, Store store) {
  const cpu::QuantizeKernels& kernels = cpu::quantize_kernels();
  SharedMagnitude magnitudes[kFewRows];
  for_each_block(plan, Split::kColumns, [&](const Block& block) {
    for (std::int64_t r = 0; r < block.extent.rows; ++r)
      magnitudes[block.first_row + r].include(kernels.measure_row[dtype](block.operands[0].row<std::byte>(r), block.extent.cols));
  });
  for_each_block(plan, Split::kColumns, [&](const Block& block) {
    for (std::int64_t r = 0; r < block.extent.rows; ++r) {
      const cpu::RowMagnitude magnitude = magnitudes[block.first_row + r].whole();
      kernels.encode_row[dtype](block.operands[0].row<std::byte>(r), block.operands[1].row<std::int8_t>(r), block.extent.cols,
                                magnitude, store);
      if (block.first_col == 0) kernels.write_scale[dtype](magnitude, block.operands[2].row<std::byte>(r));
    }
  });
}

}  // namespace

void quantize_int8(const View& w, int axis, const View& q, const View& scale) {
  require_floating(w);
  require_dtype(q, {DType::kInt8});
  require_dtype(scale, {arithmetic_dtype(w.dtype)});
  require_same_shape(w, q);
  require_scale_shape(w, axis, scale);
  require_same_device(w, q);
  require_same_device(w, scale);
  require_no_overlap(w, q);
  require_no_overlap(w, scale);
  require_no_overlap(q, scale);
  const LoopPlan plan = plan_rows({{w}, {q, Columns::kEach, Access::kWrite}, {scale, Columns::kNone, Access::kWrite}}, axis);
  if (w.device.type == DeviceType::kCuda) return launch_quantize_int8(plan, w);
  if (plan.rows < kFewRows && plan.cols >= kLongRow) return quantize_long_rows(plan, w.dtype, store_for(w, q));
  auto& kernel = cpu::quantize_kernels().quantize_int8[w.dtype];
  const Store store = store_for(w, q);
  for_each_block(plan, Split::kRows,
                 [&](const Block& block) { kernel(block.operands[0], block.operands[1], block.operands[2], block.extent, store); });
}

namespace {

// The axis that a row of codes with one scale runs along: the last one where the scale is constant. -1: q has no axes.
int constant_axis(const View& q, const View& scale) {
  for (int axis = q.ndim - 1; axis >= 0; --axis)
    if (scale.stride_bytes[axis] == 0) return axis;
  if (q.ndim == 0) return -1;
  throw ValueError("scale has an entry for each entry of q; it must have length 1 along at least one axis of q");
}

}  // namespace

void dequantize_int8(const View& q, const View& scale, const View& out) {
  require_dtype(q, {DType::kInt8});
  require_dtype(scale, {DType::kFloat32, DType::kFloat64});
  require_floating(out);
  require_same_shape(q, out);
  require_same_device(q, scale);
  require_same_device(q, out);
  require_cpu("dequantize_int8", q);
  require_no_overlap(q, out);
  require_no_overlap(scale, out);
  const View spread = broadcast(scale, q);
  const cpu::QuantizeKernels& kernels = cpu::quantize_kernels();
  auto& kernel = (scale.dtype == DType::kFloat64 ? kernels.dequantize_int8_float64 : kernels.dequantize_int8)[out.dtype];
  const Store store = store_for(q, out);
  const LoopPlan plan = plan_rows({{q}, {spread, Columns::kNone}, {out, Columns::kEach, Access::kWrite}}, constant_axis(q, spread));
  for_each_block(plan, Split::kColumns,
                 [&](const Block& block) { kernel(block.operands[0], block.operands[1], block.operands[2], block.extent, store); });
}

}  // namespace tersor
