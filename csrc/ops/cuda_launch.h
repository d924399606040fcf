#pragma once
// Plans handed to the CUDA back end.

#include "core/view.h"
#include "ops/loop_plan.h"

namespace tersor {

namespace cuda {
struct Backend;
}

void set_cuda_backend(const cuda::Backend* backend) noexcept;

// Operands: w, out.
void launch_prune_threshold(const LoopPlan& plan, const View& w, std::uint64_t threshold_bits);
// Operands: w, q, scale.
void launch_quantize_int8(const LoopPlan& plan, const View& w);
// Operands: x, out; or x, out, temperature (one float64 a row, in device memory).
void launch_softmax(const LoopPlan& plan, const View& x, double temperature);
void launch_softmax(const LoopPlan& plan, const View& x);

}  // namespace tersor
