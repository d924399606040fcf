#include "ops/softmax.h"

#include <string>

#include "core/check.h"
#include "cpu/softmax.h"
#include "ops/check_views.h"
#include "ops/cuda_launch.h"
#include "ops/softmax_rows.h"

namespace tersor {

namespace {

void require_softmax_arguments(const View& x, const View& out) {
  require_floating(x);
  require_same_dtype(x, out);
  require_same_shape(x, out);
  require_same_device(x, out);
  require_no_overlap(x, out, InPlace::kAllowed);
}

// Rows whole, one thread each, their exponentials kept in scratch.
void softmax_rows(const LoopPlan& plan, DType dtype, Store store) {
  auto& kernel = cpu::softmax_kernels().softmax[dtype];
  const auto scratch_bytes = static_cast<std::size_t>(cpu::softmax_scratch_bytes(dtype, plan.cols));
  for_each_block(plan, Split::kRows, [&](const Block& block) {
    const Scratch scratch(scratch_bytes);
    kernel(block.operands[0], block.operands[1], block.operands[2], block.extent, scratch.data(), store);
  });
}

// Long rows in pieces that all threads share: read once for their blocks, and again for the result.
void softmax_long_rows(const LoopPlan& plan, DType dtype, Store store) {
  const cpu::SoftmaxKernels& kernels = cpu::softmax_kernels();
  const std::int64_t blocks_each = cpu::softmax_blocks(plan.cols);
  measure_and_write<cpu::SoftmaxBlock>(
      plan, true,
      [&](const Block& block, std::int64_t r, cpu::SoftmaxBlock* blocks) {
        kernels.measure_piece[dtype](block.operands[0].row<std::byte>(r), number_of_row(block, 1, r), block.extent.cols, blocks);
      },
      [&](const Block& block, std::int64_t r, const cpu::SoftmaxBlock* blocks) {
        const double temperature = number_of_row(block, 1, r);
        kernels.write_piece[dtype](block.operands[0].row<std::byte>(r), temperature,
                                   kernels.join_blocks[dtype](blocks, blocks_each, temperature),
                                   block.operands[2].row<std::byte>(r), block.extent.cols, store);
      });
}

void softmax_on_cpu(const View& x, const View& temperature, bool any_limit, int axis, const View& out) {
  if (x.size() == 0) return;
  const LoopPlan plan = plan_rows({{x}, {temperature, Columns::kNone}, {out, Columns::kEach, Access::kWrite}}, axis);
  const Store store = store_for(x, out);
  if (goes_in_pieces(plan, cpu::softmax_scratch_bytes(x.dtype, plan.cols)) && !any_limit)
    softmax_long_rows(plan, x.dtype, store);
  else
    softmax_rows(plan, x.dtype, store);
}

}  // namespace

void softmax(const View& x, double temperature, int axis, const View& out) {
  require_softmax_arguments(x, out);
  require_temperature(temperature);
  if (x.device.type == DeviceType::kCuda)
    return launch_softmax(plan_rows({{x}, {out, Columns::kEach, Access::kWrite}}, axis), x, temperature);
  softmax_on_cpu(x, broadcast(view_of_temperature(temperature), x),
                 cpu::softmax_limit(x.dtype, temperature) != cpu::SoftmaxLimit::kNone, axis, out);
}

void softmax(const View& x, const View& temperature, int axis, const View& out) {
  require_softmax_arguments(x, out);
  require_dtype(temperature, {DType::kFloat64});
  require_same_device(x, temperature);
  const View spread = temperature_of_rows(temperature, x, axis);
  require_no_overlap(temperature, out);
  if (x.device.type == DeviceType::kCuda)
    return launch_softmax(plan_rows({{x}, {out, Columns::kEach, Access::kWrite}, {spread, Columns::kNone}}, axis), x);
  softmax_on_cpu(x, spread, check_temperatures(temperature, x.dtype), axis, out);
}

}  // namespace tersor
