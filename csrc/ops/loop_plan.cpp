#include "ops/loop_plan.h"

#include <algorithm>
#include <cstdlib>
#include <utility>

namespace tersor {

namespace {

void start_operands(LoopPlan& plan, std::initializer_list<OperandSpec> specs, int axis) {
  for (const OperandSpec& spec : specs) {
    LoopPlan::Operand& operand = plan.operands[plan.operand_count++];
    operand.data = spec.view.data;
    operand.item_bytes = item_size(spec.view.dtype);
    operand.columns = spec.columns;
    operand.access = spec.access;
    // One item a row is dense, whatever its stride along the row: a scale or a temperature that is broadcast has 0.
    const bool single = axis < 0 || spec.columns == Columns::kNone || spec.view.shape[axis] <= 1;
    operand.item_stride_bytes = single ? operand.item_bytes : spec.view.stride_bytes[axis];
  }
}

void add_outer_axis(LoopPlan& plan, std::initializer_list<OperandSpec> specs, int axis) {
  const int place = plan.outer_ndim++;
  plan.outer_shape[place] = specs.begin()->view.shape[axis];
  int index = 0;
  for (const OperandSpec& spec : specs) plan.operands[index++].outer_stride_bytes[place] = spec.view.stride_bytes[axis];
}

// Largest stride of the first operand outermost, so that neighbours in memory are neighbours in the loop.
void sort_outer_axes(LoopPlan& plan) {
  const auto reach = [&](int place) { return std::llabs(plan.operands[0].outer_stride_bytes[place]); };
  for (int i = 1; i < plan.outer_ndim; ++i)
    for (int j = i; j > 0 && reach(j - 1) < reach(j); --j) {
      std::swap(plan.outer_shape[j - 1], plan.outer_shape[j]);
      for (int k = 0; k < plan.operand_count; ++k)
        std::swap(plan.operands[k].outer_stride_bytes[j - 1], plan.operands[k].outer_stride_bytes[j]);
    }
}

void remove_outer_axis(LoopPlan& plan, int place) {
  for (int i = place; i + 1 < plan.outer_ndim; ++i) {
    plan.outer_shape[i] = plan.outer_shape[i + 1];
    for (int k = 0; k < plan.operand_count; ++k)
      plan.operands[k].outer_stride_bytes[i] = plan.operands[k].outer_stride_bytes[i + 1];
  }
  --plan.outer_ndim;
}

// Axes p and p + 1 become one where in every operand a step of p is a whole walk of p + 1.
void merge_outer_axes(LoopPlan& plan) {
  for (int p = plan.outer_ndim - 2; p >= 0; --p) {
    bool mergeable = true;
    for (int k = 0; k < plan.operand_count; ++k) {
      const std::int64_t* stride = plan.operands[k].outer_stride_bytes;
      mergeable &= stride[p] == stride[p + 1] * plan.outer_shape[p + 1];
    }
    if (!mergeable) continue;
    plan.outer_shape[p + 1] *= plan.outer_shape[p];
    remove_outer_axis(plan, p);
  }
}

// Whether the next row of the operand begins where this one ends, with no padding between them.
bool rows_adjoin(const LoopPlan::Operand& operand, int innermost, std::int64_t cols) noexcept {
  const std::int64_t step = operand.outer_stride_bytes[innermost];
  switch (operand.columns) {
    case Columns::kEach: return step == cols * operand.item_stride_bytes;
    case Columns::kBits: return cols % 8 == 0 && step == cols / 8 * operand.item_stride_bytes;
    case Columns::kNibbles: return cols % 2 == 0 && step == cols / 2 * operand.item_stride_bytes;
    case Columns::kNone: return false;
  }
  return false;
}

void merge_rows(LoopPlan& plan) {
  while (plan.outer_ndim > 0) {
    const int innermost = plan.outer_ndim - 1;
    for (int k = 0; k < plan.operand_count; ++k)
      if (!rows_adjoin(plan.operands[k], innermost, plan.cols)) return;
    plan.cols *= plan.outer_shape[innermost];
    plan.outer_ndim = innermost;
  }
}

void count_rows(LoopPlan& plan) {
  plan.rows = 1;
  for (int i = 0; i < plan.outer_ndim; ++i) plan.rows *= plan.outer_shape[i];
}

enum class Order : std::uint8_t { kMemory, kC };

LoopPlan plan_along(std::initializer_list<OperandSpec> specs, int axis, Order order = Order::kMemory) {
  LoopPlan plan;
  const View& first = specs.begin()->view;
  start_operands(plan, specs, axis);
  for (const OperandSpec& spec : specs)
    if (spec.columns == Columns::kEach && axis >= 0) plan.cols = spec.view.shape[axis];
  for (int i = 0; i < first.ndim; ++i)
    if (i != axis && first.shape[i] != 1) add_outer_axis(plan, specs, i);
  if (order == Order::kMemory) sort_outer_axes(plan);
  merge_outer_axes(plan);
  count_rows(plan);
  return plan;
}

int tightest_axis(const View& view) noexcept {
  int best = -1;
  for (int i = 0; i < view.ndim; ++i) {
    if (view.shape[i] == 1) continue;
    if (best < 0 || std::llabs(view.stride_bytes[i]) <= std::llabs(view.stride_bytes[best])) best = i;
  }
  return best;
}

}  // namespace

std::int64_t LoopPlan::row_bytes() const noexcept {
  std::int64_t bytes = 0;
  for (int k = 0; k < operand_count; ++k) bytes += items_for(operands[k].columns, cols) * operands[k].item_bytes;
  return bytes;
}

LoopPlan plan_elements(std::initializer_list<OperandSpec> specs) {
  const View& first = specs.begin()->view;
  bool any_axis = true;
  for (const OperandSpec& spec : specs) any_axis &= spec.columns == Columns::kEach;
  LoopPlan plan = plan_along(specs, any_axis ? tightest_axis(first) : first.ndim - 1);
  merge_rows(plan);
  count_rows(plan);
  return plan;
}

LoopPlan plan_in_order(std::initializer_list<OperandSpec> specs) {
  LoopPlan plan = plan_along(specs, specs.begin()->view.ndim - 1, Order::kC);
  merge_rows(plan);
  count_rows(plan);
  return plan;
}

LoopPlan plan_rows(std::initializer_list<OperandSpec> specs, int axis) { return plan_along(specs, axis); }

LoopPlan plan_rows_in_order(std::initializer_list<OperandSpec> specs, int axis) { return plan_along(specs, axis, Order::kC); }

}  // namespace tersor
