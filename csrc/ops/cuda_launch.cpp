#include "ops/cuda_launch.h"

#include <atomic>
#include <string>

#include "core/check.h"

namespace tersor {

namespace {

std::atomic<const cuda::Backend*> registered{nullptr};

cuda::Extent extent_of(const LoopPlan& plan) {
  if (plan.outer_ndim > cuda::kMaxOuterDims)
    throw TypeError("a CUDA array may be strided along " + std::to_string(cuda::kMaxOuterDims) +
                    " separate axes at most, and this one along " + std::to_string(plan.outer_ndim) + "; make it contiguous first");
  cuda::Extent extent{plan.rows, plan.cols, plan.outer_ndim, {}};
  for (int i = 0; i < plan.outer_ndim; ++i) extent.outer_shape[i] = plan.outer_shape[i];
  return extent;
}

cuda::Rows rows_of(const LoopPlan& plan, int index) {
  const LoopPlan::Operand& operand = plan.operands[index];
  bool aligned = reinterpret_cast<std::uintptr_t>(operand.data) % static_cast<std::uintptr_t>(operand.item_bytes) == 0;
  const auto items = [&](std::int64_t stride_bytes) {
    aligned = aligned && stride_bytes % operand.item_bytes == 0;
    return stride_bytes / operand.item_bytes;
  };
  cuda::Rows rows{operand.data, items(operand.item_stride_bytes), {}};
  for (int i = 0; i < plan.outer_ndim; ++i) rows.outer_stride[i] = items(operand.outer_stride_bytes[i]);
  if (!aligned && plan.rows > 0)
    throw TypeError(
        "a CUDA array's entries must lie at multiples of their size, and one operand's do not; make it contiguous first");
  return rows;
}

void raise_if(const char* error) {
  if (error) throw ValueError(std::string("CUDA: ") + error);
}

}  // namespace

void set_cuda_backend(const cuda::Backend* backend) { registered.store(backend, std::memory_order_release); }

const cuda::Backend& cuda_backend() {
  const cuda::Backend* backend = registered.load(std::memory_order_acquire);
  if (!backend)
    throw ValueError(
        "this build of tersor has no CUDA kernels; pass CPU arrays, or build with nvcc on the PATH (-DTERSOR_CUDA=ON)");
  return *backend;
}

void launch_prune_threshold(const LoopPlan& plan, const View& w, std::uint64_t threshold_bits) {
  const cuda::PruneThresholdParams params{w.dtype, extent_of(plan), rows_of(plan, 0), rows_of(plan, 1), threshold_bits};
  raise_if(cuda_backend().prune_threshold(params, w.stream, w.device.index));
}

void launch_quantize_int8(const LoopPlan& plan, const View& w) {
  const cuda::QuantizeInt8Params params{w.dtype, extent_of(plan), rows_of(plan, 0), rows_of(plan, 1), rows_of(plan, 2)};
  raise_if(cuda_backend().quantize_int8(params, w.stream, w.device.index));
}

void launch_softmax(const LoopPlan& plan, const View& x, double temperature) {
  const cuda::SoftmaxParams params{x.dtype, extent_of(plan), rows_of(plan, 0), rows_of(plan, 1), temperature, {}};
  raise_if(cuda_backend().softmax(params, x.stream, x.device.index));
}

void launch_softmax(const LoopPlan& plan, const View& x) {
  const cuda::SoftmaxParams params{x.dtype, extent_of(plan), rows_of(plan, 0), rows_of(plan, 1), 0, rows_of(plan, 2)};
  raise_if(cuda_backend().softmax(params, x.stream, x.device.index));
}

}  // namespace tersor
