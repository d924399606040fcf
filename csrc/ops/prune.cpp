#include "ops/prune.h"

#include <algorithm>
#include <atomic>
#include <cmath>
#include <numeric>
#include <string>
#include <vector>

#include "core/check.h"
#include "core/memory.h"
#include "cpu/prune.h"
#include "cpu/structured.h"
#include "ops/check_views.h"
#include "ops/cuda_launch.h"
#include "ops/loop.h"
#include "ops/threshold.h"

namespace tersor {

namespace {

Columns mask_columns(const View& mask) noexcept { return mask.dtype == DType::kUInt8 ? Columns::kBits : Columns::kEach; }

void require_mask(const View& w, const View& mask) {
  require_dtype(mask, {DType::kBool, DType::kUInt8});
  if (mask.dtype == DType::kUInt8)
    require_packed_shape(w, mask, Columns::kBits, w);
  else
    require_same_shape(w, mask);
  require_same_device(w, mask);
}

void require_pruned_output(const View& w, const View& out) {
  require_floating(w);
  require_same_dtype(w, out);
  require_same_shape(w, out);
  require_same_device(w, out);
  require_no_overlap(w, out, InPlace::kAllowed);
}

}  // namespace

void prune_threshold(const View& w, double eps, const View& out) {
  require_pruned_output(w, out);
  // The least magnitude above zero at the least, so that -0.0 becomes +0.0 for eps = 0 too.
  const std::uint64_t bits = std::max<std::uint64_t>(1, threshold_bits(eps, w.dtype));
  const LoopPlan plan = plan_elements({{w}, {out, Columns::kEach, Access::kWrite}});
  if (w.device.type == DeviceType::kCuda) return launch_prune_threshold(plan, w, bits);
  auto& kernel = cpu::prune_kernels().prune_threshold[w.dtype];
  const Store store = store_for(w, out);
  for_each_block(plan, Split::kColumns,
                 [&](const Block& block) { kernel(block.operands[0], block.operands[1], block.extent, bits, store); });
}

void mask_threshold(const View& w, double eps, const View& mask) {
  require_floating(w);
  require_mask(w, mask);
  require_no_overlap(w, mask);
  require_cpu("mask_threshold", w);
  const std::uint64_t bits = threshold_bits(eps, w.dtype);
  const cpu::PruneKernels& kernels = cpu::prune_kernels();
  auto& kernel = (mask.dtype == DType::kUInt8 ? kernels.mask_threshold_packed : kernels.mask_threshold)[w.dtype];
  const Store store = store_for(w, mask);
  for_each_block(plan_elements({{w}, {mask, mask_columns(mask), Access::kWrite}}), Split::kColumns,
                 [&](const Block& block) { kernel(block.operands[0], block.operands[1], block.extent, bits, store); });
}

void apply_mask(const View& w, const View& mask, const View& out) {
  require_pruned_output(w, out);
  require_mask(w, mask);
  require_no_overlap(mask, out);
  require_cpu("apply_mask", w);
  const cpu::PruneKernels& kernels = cpu::prune_kernels();
  auto& kernel = (mask.dtype == DType::kUInt8 ? kernels.apply_mask_packed : kernels.apply_mask)[w.dtype];
  const Store store = store_for(w, out);
  const LoopPlan plan = plan_elements({{w}, {mask, mask_columns(mask)}, {out, Columns::kEach, Access::kWrite}});
  for_each_block(plan, Split::kColumns,
                 [&](const Block& block) { kernel(block.operands[0], block.operands[1], block.operands[2], block.extent, store); });
}

double mean_magnitude(const View& w) {
  require_floating(w);
  require_cpu("mean_magnitude", w);
  if (w.size() == 0) return 0;
  auto& sum_rows = cpu::structured_kernels().l1.sum_rows[w.dtype];
  const LoopPlan plan = plan_rows_in_order({{w}}, w.ndim - 1);
  std::vector<double> sums(static_cast<std::size_t>(chunk_count(plan, Split::kColumns)));
  for_each_block(plan, Split::kColumns, [&](const Block& block) {
    double& total = sums[static_cast<std::size_t>(block.chunk)];
    for (std::int64_t r = 0; r < block.extent.rows; ++r)
      for (std::int64_t col = 0; col < block.extent.cols; col += kColumnUnit) {
        const cpu::ConstRows part{block.operands[0].row<std::byte>(r) + col * item_size(w.dtype), 0};
        double sum;
        sum_rows(part, part, {1, std::min(kColumnUnit, block.extent.cols - col)}, &sum);
        total += sum;
      }
  });
  const double mean = std::accumulate(sums.begin(), sums.end(), 0.0) / static_cast<double>(w.size());
  if (!std::isfinite(mean))
    throw ValueError("the mean magnitude of " + std::string(w.name) + " is not finite; replace NaN and infinities");
  return mean;
}

std::int64_t count_nonzero(const View& w) {
  require_cpu("count_nonzero", w);
  const cpu::PruneKernels& kernels = cpu::prune_kernels();
  auto& kernel = is_floating(w.dtype) ? kernels.count_nonzero[w.dtype] : kernels.count_nonzero_bytes;
  std::atomic<std::int64_t> total{0};
  for_each_block(plan_elements({{w}}), Split::kColumns,
                 [&](const Block& block) { total.fetch_add(kernel(block.operands[0], block.extent), std::memory_order_relaxed); });
  return total.load(std::memory_order_relaxed);
}

}  // namespace tersor
