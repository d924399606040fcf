#include "ops/softmax_rows.h"

#include <atomic>
#include <string>

#include "core/check.h"
#include "core/parallel.h"

namespace tersor {

namespace {

constexpr std::int64_t kMostRowBytes = 2 << 20;
constexpr std::int64_t kLongRow = 1 << 17;

static_assert(kColumnUnit % cpu::kSoftmaxBlock == 0, "rows are cut between blocks");

}  // namespace

View temperature_of_rows(const View& temperature, const View& x, int axis) {
  const View spread = broadcast(temperature, x);
  if (spread.stride_bytes[axis] != 0)
    throw ValueError("temperature has shape " + shape_text(temperature) + "; it must have length 1 along axis " +
                     std::to_string(axis) + " of x, one entry a row");
  return spread;
}

void require_temperature(double temperature) {
  if (!(temperature >= 0)) throw ValueError("temperature must be a number >= 0, got " + std::to_string(temperature));
}

bool check_temperatures(const View& temperature, DType dtype) {
  const auto entry_at = [](const std::byte* place) {
    double entry;  // an array may lie at any address
    std::memcpy(&entry, place, sizeof entry);
    return entry;
  };
  const auto is_limit = [=](double entry) { return cpu::softmax_limit(dtype, entry) != cpu::SoftmaxLimit::kNone; };
  if (temperature.ndim == 0) {
    const double entry = entry_at(temperature.data);
    require_temperature(entry);
    return is_limit(entry);
  }
  std::atomic<bool> all_valid{true}, any_limit{false};
  for_each_block(plan_elements({{temperature}}), Split::kColumns, [&](const Block& block) {
    for (std::int64_t r = 0; r < block.extent.rows; ++r)
      for (std::int64_t i = 0; i < block.extent.cols; ++i) {
        const double entry = entry_at(block.operands[0].row<std::byte>(r) + i * static_cast<std::int64_t>(sizeof entry));
        if (!(entry >= 0)) all_valid.store(false, std::memory_order_relaxed);
        if (is_limit(entry)) any_limit.store(true, std::memory_order_relaxed);
      }
  });
  if (!all_valid) throw ValueError("temperature holds negative or NaN entries; every entry must be >= 0");
  return any_limit;
}

View view_of_temperature(double& temperature) noexcept {
  View view;
  view.name = "temperature";
  view.data = reinterpret_cast<std::byte*>(&temperature);
  view.dtype = DType::kFloat64;
  return view;
}

bool goes_in_pieces(const LoopPlan& plan, std::int64_t bytes_of_row) noexcept {
  return (plan.rows < num_threads() && plan.cols >= kLongRow) || bytes_of_row > kMostRowBytes;
}

}  // namespace tersor
