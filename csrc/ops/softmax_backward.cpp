#include "ops/softmax_backward.h"

#include <algorithm>

#include "cpu/softmax_backward.h"
#include "ops/check_views.h"
#include "ops/softmax_rows.h"

namespace tersor {

namespace {

using Kernels = cpu::SoftmaxBackwardKernels;

void backward(const View& gradient, const View& y, const View& temperature, int axis, const View& out, Kernels::Measure& measure,
              Kernels::Write& write) {
  for (const View* other : {&gradient, &out}) {
    require_same_dtype(y, *other);
    require_same_shape(y, *other);
    require_same_device(y, *other);
  }
  for (const View* in : {&gradient, &y}) require_no_overlap(*in, out, InPlace::kAllowed);
  require_no_overlap(temperature, out);
  require_dtype(temperature, {DType::kFloat64});
  require_same_device(y, temperature);
  const View spread = temperature_of_rows(temperature, y, axis);
  check_temperatures(temperature, y.dtype);
  if (y.size() == 0) return;
  const LoopPlan plan = plan_rows({{gradient}, {y}, {spread, Columns::kNone}, {out, Columns::kEach, Access::kWrite}}, axis);
  const std::int64_t blocks = cpu::softmax_blocks(plan.cols);
  const Store store = std::min(store_for(gradient, out), store_for(y, out));
  measure_and_write<double>(
      plan, goes_in_pieces(plan, 2 * plan.cols * item_size(y.dtype)),
      [&](const Block& block, std::int64_t r, double* sums) {
        measure(block.operands[0].row<std::byte>(r), block.operands[1].row<std::byte>(r), block.extent.cols, sums);
      },
      [&](const Block& block, std::int64_t r, const double* sums) {
        double sum = 0;
        for (std::int64_t b = 0; b < blocks; ++b) sum += sums[b];
        const double t = number_of_row(block, 2, r);
        std::byte* const to = block.operands[3].row<std::byte>(r);
        if (cpu::softmax_limit(y.dtype, t) != cpu::SoftmaxLimit::kNone)
          std::fill_n(to, block.extent.cols * item_size(y.dtype), std::byte{0});
        else
          write(block.operands[0].row<std::byte>(r), block.operands[1].row<std::byte>(r), sum, 1 / t, to, block.extent.cols, store);
      });
}

}  // namespace

void softmax_backward(const View& gradient, const View& y, const View& temperature, int axis, const View& out) {
  require_floating(y);
  require_cpu("softmax_backward", y);
  const Kernels& kernels = cpu::softmax_backward_kernels();
  backward(gradient, y, temperature, axis, out, kernels.measure_softmax[y.dtype], kernels.write_softmax[y.dtype]);
}

void log_softmax_backward(const View& gradient, const View& y, const View& temperature, int axis, const View& out) {
  require_floating(y);
  require_cpu("log_softmax_backward", y);
  const Kernels& kernels = cpu::softmax_backward_kernels();
  backward(gradient, y, temperature, axis, out, kernels.measure_log_softmax[y.dtype], kernels.write_log_softmax[y.dtype]);
}

}  // namespace tersor
