#include "ops/softmax.h"

#include <atomic>
#include <cstring>
#include <string>
#include <vector>

#include "core/check.h"
#include "core/memory.h"
#include "core/parallel.h"
#include "cpu/softmax.h"
#include "ops/check_views.h"
#include "ops/cuda_launch.h"
#include "ops/loop.h"

namespace tersor {

namespace {

constexpr std::int64_t kMostScratchBytes = 2 << 20;  // beyond it a row no longer stays in L2, and is read twice instead
constexpr std::int64_t kLongRow = 1 << 17;

static_assert(kColumnUnit % cpu::kSoftmaxBlock == 0, "rows are cut between blocks");

void require_temperature(double temperature) {
  if (!(temperature >= 0)) throw ValueError("temperature must be a number >= 0, got " + std::to_string(temperature));
}

// Checks every entry; returns whether one of them is a limit.
bool check_temperatures(const View& temperature, DType dtype) {
  std::atomic<bool> all_valid{true}, any_limit{false};
  for_each_block(plan_elements({{temperature}}), Split::kColumns, [&](const Block& block) {
    for (std::int64_t r = 0; r < block.extent.rows; ++r)
      for (std::int64_t i = 0; i < block.extent.cols; ++i) {
        double entry;  // an array may lie at any address
        std::memcpy(&entry, block.operands[0].row<std::byte>(r) + i * static_cast<std::int64_t>(sizeof entry), sizeof entry);
        if (!(entry >= 0)) all_valid.store(false, std::memory_order_relaxed);
        if (cpu::softmax_limit(dtype, entry) != cpu::SoftmaxLimit::kNone) any_limit.store(true, std::memory_order_relaxed);
      }
  });
  if (!all_valid) throw ValueError("temperature holds negative or NaN entries; every entry must be >= 0");
  return any_limit;
}

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

double temperature_of(const Block& block, std::int64_t row) noexcept {
  double temperature;
  std::memcpy(&temperature, block.operands[1].row<std::byte>(row), sizeof temperature);
  return temperature;
}

// Long rows in pieces that all threads share: read once for their blocks, and again for the result.
void softmax_long_rows(const LoopPlan& plan, DType dtype, Store store) {
  const cpu::SoftmaxKernels& kernels = cpu::softmax_kernels();
  const std::int64_t blocks_each = cpu::softmax_blocks(plan.cols);
  std::vector<cpu::SoftmaxBlock> blocks(static_cast<std::size_t>(plan.rows * blocks_each));
  std::vector<double> temperatures(static_cast<std::size_t>(plan.rows));
  for_each_block(plan, Split::kColumns, [&](const Block& block) {
    for (std::int64_t r = 0; r < block.extent.rows; ++r) {
      const std::int64_t row = block.first_row + r;
      const double temperature = temperature_of(block, r);
      if (block.first_col == 0) temperatures[static_cast<std::size_t>(row)] = temperature;
      kernels.measure_piece[dtype](block.operands[0].row<std::byte>(r), temperature, block.extent.cols,
                                   &blocks[static_cast<std::size_t>(row * blocks_each + block.first_col / cpu::kSoftmaxBlock)]);
    }
  });
  std::vector<cpu::SoftmaxBlock> rows(static_cast<std::size_t>(plan.rows));
  for (std::size_t row = 0; row < rows.size(); ++row)
    rows[row] = kernels.join_blocks[dtype](&blocks[row * static_cast<std::size_t>(blocks_each)], blocks_each, temperatures[row]);
  for_each_block(plan, Split::kColumns, [&](const Block& block) {
    for (std::int64_t r = 0; r < block.extent.rows; ++r)
      kernels.write_piece[dtype](block.operands[0].row<std::byte>(r), temperature_of(block, r),
                                 rows[static_cast<std::size_t>(block.first_row + r)], block.operands[2].row<std::byte>(r),
                                 block.extent.cols, store);
  });
}

void softmax_on_cpu(const View& x, const View& temperature, bool any_limit, int axis, const View& out) {
  if (x.size() == 0) return;
  const LoopPlan plan = plan_rows({{x}, {temperature, Columns::kNone}, {out, Columns::kEach, Access::kWrite}}, axis);
  // Where whole rows would leave threads idle. Both ways give the same bits, so the number of threads may choose.
  const bool shared = plan.rows < num_threads() && plan.cols >= kLongRow;
  const bool exceeds_scratch = cpu::softmax_scratch_bytes(x.dtype, plan.cols) > kMostScratchBytes;
  const Store store = store_for(x, out);
  if ((shared || exceeds_scratch) && !any_limit)
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
  View scalar;
  scalar.name = "temperature";
  scalar.data = reinterpret_cast<std::byte*>(&temperature);
  scalar.dtype = DType::kFloat64;
  softmax_on_cpu(x, broadcast(scalar, x), cpu::softmax_limit(x.dtype, temperature) != cpu::SoftmaxLimit::kNone, axis, out);
}

void softmax(const View& x, const View& temperature, int axis, const View& out) {
  require_softmax_arguments(x, out);
  require_dtype(temperature, {DType::kFloat64});
  require_same_device(x, temperature);
  const View spread = broadcast(temperature, x);
  if (spread.stride_bytes[axis] != 0)
    throw ValueError("temperature has shape " + shape_text(temperature) + "; it must have length 1 along axis " +
                     std::to_string(axis) + " of x, one entry a row");
  require_no_overlap(temperature, out);
  if (x.device.type == DeviceType::kCuda)
    return launch_softmax(plan_rows({{x}, {out, Columns::kEach, Access::kWrite}, {spread, Columns::kNone}}, axis), x);
  softmax_on_cpu(x, spread, check_temperatures(temperature, x.dtype), axis, out);
}

}  // namespace tersor
