#include "ops/softmax_log.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <string>

#include "core/check.h"
#include "cpu/softmax_log.h"
#include "ops/check_views.h"
#include "ops/logarithm.h"
#include "ops/softmax_rows.h"

namespace tersor {

namespace {

using cpu::LogBlock;
using cpu::LogRow;
using cpu::SoftmaxLimit;

constexpr double kInfinity = std::numeric_limits<double>::infinity(), kNan = std::numeric_limits<double>::quiet_NaN();

// A row with what it adds up to.
struct LogSum {
  LogRow row;
  double value;  // of logsumexp
};

// The limit of top / T + log as T falls to 0.
double value_at_zero(double top, double log) noexcept { return top == 0 ? log : std::copysign(kInfinity, top); }

LogSum log_sum_of(const LogBlock& whole, double temperature, DType dtype) noexcept {
  const SoftmaxLimit limit = cpu::softmax_limit(dtype, temperature);
  const double sum = whole.terms.sum, top = whole.top;
  const auto without_logs = [&](double value) { return LogSum{{top, temperature, kNan, limit}, value}; };
  if (sum != sum) return without_logs(kNan);
  if (sum == 0) return without_logs(-kInfinity);
  // +inf has a share at T = 0 alone: elsewhere it is inf / inf.
  if (top == kInfinity && limit != SoftmaxLimit::kOneHot) return without_logs(temperature == kInfinity ? kNan : kInfinity);
  const double log = std::max(0.0, natural_logarithm(sum) + whole.terms.sum_low / sum);  // no share is above 1
  const LogRow row{top, temperature, 0 - log, limit};                                    // not -0.0
  switch (limit) {
    case SoftmaxLimit::kOneHot: return {row, value_at_zero(top, log)};
    case SoftmaxLimit::kUniform: return {row, log};
    default: return {row, top / temperature + log};
  }
}

void require_like(const View& x, const View& temperature, const View& out) {
  require_floating(x);
  require_dtype(temperature, {DType::kFloat64});
  require_same_dtype(x, out);
  require_cpu("softmax in logarithms", x);
  require_same_device(x, temperature);
  require_same_device(x, out);
  require_no_overlap(temperature, out);
}

// A number for each row, as a view with x's shape. It has x's shape without the axis, or with length 1 there.
View spread_along(const View& numbers, const View& x, int axis) {
  View spread = numbers;
  if (numbers.ndim == x.ndim - 1) {
    spread.ndim = x.ndim;
    for (int i = x.ndim - 1; i > axis; --i) {
      spread.shape[i] = spread.shape[i - 1];
      spread.stride_bytes[i] = spread.stride_bytes[i - 1];
    }
    spread.shape[axis] = 1;
  }
  bool fits = spread.ndim == x.ndim;
  for (int i = 0; i < x.ndim && fits; ++i) fits = spread.shape[i] == (i == axis ? 1 : x.shape[i]);
  if (!fits)
    throw ValueError(std::string(numbers.name) + " has shape " + shape_text(numbers) + "; it must have the shape of x, " +
                     shape_text(x) + ", without axis " + std::to_string(axis) + " or with length 1 there");
  spread.shape[axis] = x.shape[axis];
  spread.stride_bytes[axis] = 0;
  return spread;
}

// Calls write(block, row, what the row adds up to). The first operands of the plan are x and the temperatures.
template <class Write>
void write_by_sums(const LoopPlan& plan, DType dtype, bool in_pieces, Write write) {
  const cpu::SoftmaxLogKernels& kernels = cpu::softmax_log_kernels();
  const std::int64_t blocks = cpu::softmax_blocks(plan.cols);
  measure_and_write<LogBlock>(
      plan, in_pieces,
      [&](const Block& block, std::int64_t r, LogBlock* parts) {
        kernels.measure_logs[dtype](block.operands[0].row<std::byte>(r), number_of_row(block, 1, r), block.extent.cols, parts);
      },
      [&](const Block& block, std::int64_t r, const LogBlock* parts) {
        const double temperature = number_of_row(block, 1, r);
        write(block, r, log_sum_of(kernels.join_logs[dtype](parts, blocks, temperature), temperature, dtype));
      });
}

}  // namespace

void log_softmax(const View& x, const View& temperature, int axis, const View& out) {
  require_like(x, temperature, out);
  require_same_shape(x, out);
  require_no_overlap(x, out, InPlace::kAllowed);
  const View spread = temperature_of_rows(temperature, x, axis);
  check_temperatures(temperature, x.dtype);
  if (x.size() == 0) return;
  const LoopPlan plan = plan_rows({{x}, {spread, Columns::kNone}, {out, Columns::kEach, Access::kWrite}}, axis);
  auto& write_logs = cpu::softmax_log_kernels().write_logs[x.dtype];
  const Store store = store_for(x, out);
  write_by_sums(plan, x.dtype, goes_in_pieces(plan, plan.cols * item_size(x.dtype)),
                [&](const Block& block, std::int64_t r, const LogSum& sum) {
                  write_logs(block.operands[0].row<std::byte>(r), sum.row, block.operands[2].row<std::byte>(r), block.extent.cols,
                             store);
                });
}

void logsumexp(const View& x, const View& temperature, int axis, const View& out) {
  require_like(x, temperature, out);
  require_no_overlap(x, out);
  const View spread = temperature_of_rows(temperature, x, axis), result = spread_along(out, x, axis);
  check_temperatures(temperature, x.dtype);
  auto& write_number = cpu::softmax_log_kernels().write_number[x.dtype];
  if (x.shape[axis] == 0) {  // nothing adds up to 0
    for_each_block(plan_elements({{out, Columns::kEach, Access::kWrite}}), Split::kColumns, [&](const Block& block) {
      for (std::int64_t r = 0; r < block.extent.rows; ++r)
        for (std::int64_t i = 0; i < block.extent.cols; ++i)
          write_number(-kInfinity, block.operands[0].row<std::byte>(r) + i * item_size(out.dtype));
    });
    return;
  }
  if (x.size() == 0) return;
  const LoopPlan plan = plan_rows({{x}, {spread, Columns::kNone}, {result, Columns::kNone, Access::kWrite}}, axis);
  write_by_sums(plan, x.dtype, goes_in_pieces(plan, 0), [&](const Block& block, std::int64_t r, const LogSum& sum) {
    if (block.first_col == 0) write_number(sum.value, block.operands[2].row<std::byte>(r));
  });
}

void logsumexp_backward(const View& gradient, const View& x, const View& temperature, int axis, const View& out) {
  require_like(x, temperature, out);
  require_same_dtype(x, gradient);
  require_same_device(x, gradient);
  require_same_shape(x, out);
  require_no_overlap(x, out, InPlace::kAllowed);
  require_no_overlap(gradient, out);
  const View spread = temperature_of_rows(temperature, x, axis), of_rows = spread_along(gradient, x, axis);
  check_temperatures(temperature, x.dtype);
  if (x.size() == 0) return;
  const LoopPlan plan =
      plan_rows({{x}, {spread, Columns::kNone}, {of_rows, Columns::kNone}, {out, Columns::kEach, Access::kWrite}}, axis);
  const cpu::SoftmaxLogKernels& kernels = cpu::softmax_log_kernels();
  const Store store = store_for(x, out);
  write_by_sums(plan, x.dtype, goes_in_pieces(plan, plan.cols * item_size(x.dtype)),
                [&](const Block& block, std::int64_t r, const LogSum& sum) {
                  const double of_row = kernels.read_number[x.dtype](block.operands[2].row<std::byte>(r));
                  kernels.write_shares[x.dtype](block.operands[0].row<std::byte>(r), sum.row, of_row / sum.row.temperature,
                                                block.operands[3].row<std::byte>(r), block.extent.cols, store);
                });
}

}  // namespace tersor
