#include "ops/quantize.h"

#include <algorithm>
#include <atomic>
#include <cstring>
#include <limits>
#include <string>

#include "core/check.h"
#include "core/memory.h"
#include "cpu/quantize.h"
#include "cpu/quantize_groups.h"
#include "ops/check_views.h"
#include "ops/cuda_launch.h"
#include "ops/loop.h"
#include "ops/quantize_convention.h"

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

// Rows are groups of int8 codes that reach as far to either side.
constexpr CodeFormat kInt8{8, true, true};

// Scales of rows, in the arithmetic type of w and as they are stored, which is the same.
struct RowScales {
  static constexpr int kMost = 64;
  alignas(64) std::byte lows[kMost * 8], highs[kMost * 8], scales[kMost * 8], zero_points[kMost * 8], stored[kMost * 8];

  // Of rows whose lows and highs are there; row r's goes to its own place.
  void make(DType w, std::int64_t count, const cpu::Rows& out) {
    const DType math = arithmetic_dtype(w);
    const auto bytes = static_cast<std::size_t>(item_size(math));
    cpu::quantize_groups_kernels().of(math).make_scales[math](lows, highs, count, scale_rule(Convention::kTersor, kInt8, w, math),
                                                              stored, nullptr, scales, zero_points);
    for (std::int64_t r = 0; r < count; ++r)
      std::memcpy(out.row<std::byte>(r), stored + static_cast<std::size_t>(r) * bytes, bytes);
  }
};

class Int8Rows {
 public:
  explicit Int8Rows(const View& w, const View& q)
      : kernels_(cpu::quantize_groups_kernels()),
        dtype_(w.dtype),
        math_bytes_(item_size(arithmetic_dtype(w.dtype))),
        rule_(code_rule(Convention::kTersor, kInt8, cpu::Rounding::kHalfEven, w.dtype)),
        store_(store_for(w, q)) {}

  std::int64_t math_bytes() const noexcept { return math_bytes_; }
  // Rows of `cols` columns end to end, `length` entries in all.
  void measure(const std::byte* w, std::int64_t length, std::int64_t cols, std::byte* low, std::byte* high) const noexcept {
    kernels_.measure_groups[dtype_](w, length, cols, low, high);
  }
  void encode(const std::byte* w, std::int64_t length, std::int64_t cols, const RowScales& scales, std::int64_t row,
              std::uint8_t* q, const std::byte* next) const noexcept {
    kernels_.encode_groups[dtype_](w, length, cols, scales.scales + row * math_bytes_, scales.zero_points + row * math_bytes_,
                                   rule_, nullptr, q, store_, next);
  }

 private:
  const cpu::QuantizeGroupsKernels& kernels_;
  DType dtype_;
  std::int64_t math_bytes_;
  cpu::CodeRule rule_;
  Store store_;
};

// A few rows at a time, so that they are read a second time from the cache; meanwhile those behind them are fetched.
constexpr std::int64_t kRowsBytes = 32 << 10;
constexpr std::int64_t kMostFetched = 256 << 10;

void quantize_rows(const LoopPlan& plan, const View& w, const View& q) {
  const Int8Rows rows(w, q);
  const std::int64_t at_once =
      std::clamp<std::int64_t>(kRowsBytes / std::max<std::int64_t>(1, plan.cols * item_size(w.dtype)), 1, RowScales::kMost);
  const bool fetches = plan.operands[0].has_dense_rows() && plan.cols * item_size(w.dtype) <= kMostFetched;
  for_each_block(plan, Split::kRows, [&](const Block& block) {
    const cpu::Rows w_rows = block.operands[0], q_rows = block.operands[1], scale_rows = block.operands[2];
    const std::int64_t cols = block.extent.cols;
    const bool end_to_end = cols > 0 && w_rows.stride_bytes == cols * item_size(w.dtype) && q_rows.stride_bytes == cols;
    RowScales scales;
    for (std::int64_t first = 0; first < block.extent.rows; first += at_once) {
      const std::int64_t count = std::min(at_once, block.extent.rows - first);
      const std::int64_t rows_each = end_to_end ? count : 1;  // of a call
      for (std::int64_t r = 0; r < count; r += rows_each)
        rows.measure(w_rows.row<std::byte>(first + r), rows_each * cols, cols, scales.lows + r * rows.math_bytes(),
                     scales.highs + r * rows.math_bytes());
      scales.make(w.dtype, count, {scale_rows.row<std::byte>(first), scale_rows.stride_bytes});
      for (std::int64_t r = 0; r < count; r += rows_each) {
        const std::int64_t row = first + r;
        const std::byte* const next = fetches ? w_rows.row<std::byte>(row + count) : nullptr;
        rows.encode(w_rows.row<std::byte>(row), rows_each * cols, cols, scales, r, q_rows.row<std::uint8_t>(row), next);
      }
    }
  });
}

// Few long rows would leave threads idle: their ranges and their codes are found in pieces. The order does not matter to a range,
// so that both ways give the same bits.
constexpr std::int64_t kFewRows = 16;
constexpr std::int64_t kLongRow = 1 << 16;
static_assert(kFewRows <= RowScales::kMost);

template <class Math>
class SharedRanges {
 public:
  void include(std::int64_t row, Math low, Math high) noexcept {
    lower(lows_[row], low);
    lower(negated_highs_[row], -high);
  }
  void copy_to(RowScales& scales, std::int64_t rows) const noexcept {
    for (std::int64_t r = 0; r < rows; ++r) {
      reinterpret_cast<Math*>(scales.lows)[r] = lows_[r];
      reinterpret_cast<Math*>(scales.highs)[r] = -negated_highs_[r];
    }
  }
  SharedRanges() noexcept {
    for (std::int64_t r = 0; r < kFewRows; ++r) lows_[r] = negated_highs_[r] = std::numeric_limits<Math>::infinity();
  }

 private:
  static void lower(std::atomic<Math>& least, Math number) noexcept {
    Math known = least.load(std::memory_order_relaxed);
    while (number < known && !least.compare_exchange_weak(known, number, std::memory_order_relaxed)) {
    }
  }
  std::atomic<Math> lows_[kFewRows], negated_highs_[kFewRows];
};

template <class Math>
void quantize_long_rows(const LoopPlan& plan, const View& w, const View& q) {
  const Int8Rows rows(w, q);
  SharedRanges<Math> ranges;
  for_each_block(plan, Split::kColumns, [&](const Block& block) {
    for (std::int64_t r = 0; r < block.extent.rows; ++r) {
      Math low, high;
      rows.measure(block.operands[0].row<std::byte>(r), block.extent.cols, block.extent.cols, reinterpret_cast<std::byte*>(&low),
                   reinterpret_cast<std::byte*>(&high));
      ranges.include(block.first_row + r, low, high);
    }
  });
  RowScales scales;
  ranges.copy_to(scales, plan.rows);
  alignas(64) std::byte stored[RowScales::kMost * sizeof(Math)];
  scales.make(w.dtype, plan.rows, {stored, sizeof(Math)});
  for_each_block(plan, Split::kColumns, [&](const Block& block) {
    for (std::int64_t r = 0; r < block.extent.rows; ++r) {
      const std::int64_t row = block.first_row + r;
      rows.encode(block.operands[0].row<std::byte>(r), block.extent.cols, block.extent.cols, scales, row,
                  block.operands[1].row<std::uint8_t>(r), nullptr);
      if (block.first_col == 0) std::memcpy(block.operands[2].row<std::byte>(r), stored + row * rows.math_bytes(), sizeof(Math));
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
  if (plan.rows >= kFewRows || plan.cols < kLongRow) return quantize_rows(plan, w, q);
  if (w.dtype == DType::kFloat64)
    quantize_long_rows<double>(plan, w, q);
  else
    quantize_long_rows<float>(plan, w, q);
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
  auto& kernel = cpu::quantize_groups_kernels().of(scale.dtype).decode_groups[out.dtype];
  const Store store = store_for(q, out);
  const LoopPlan plan = plan_rows({{q}, {spread, Columns::kNone}, {out, Columns::kEach, Access::kWrite}}, constant_axis(q, spread));
  constexpr double kNoZeroPoint = 0;  // and of float32
  for_each_block(plan, Split::kColumns, [&](const Block& block) {
    for (std::int64_t r = 0; r < block.extent.rows; ++r) {
      alignas(8) std::byte of_row[8];
      std::memcpy(of_row, block.operands[1].row<std::byte>(r), static_cast<std::size_t>(item_size(scale.dtype)));
      kernel(block.operands[0].row<std::uint8_t>(r), block.extent.cols, block.extent.cols, 0, of_row,
             reinterpret_cast<const std::byte*>(&kNoZeroPoint), block.operands[2].row<std::byte>(r), store);
    }
  });
}

}  // namespace tersor
