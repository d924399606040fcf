#pragma once
// The way from ops to the _cuda module, which may be missing: plans become the plain structs of cuda/backend.h, and error texts
// become exceptions.

#include <cstdint>

#include "core/view.h"
#include "cuda/backend.h"
#include "ops/loop_plan.h"

namespace tersor {

// Called by bind once _cuda is imported and its version checked; null takes it away again.
void set_cuda_backend(const cuda::Backend* backend);

// ValueError, with the remedy, where there is none.
const cuda::Backend& cuda_backend();

// Each enqueues its kernel on `w.stream` (`x.stream`), on w's device, and returns at once. The plan's operands come in the order of
// the comment; w is the first one's view. TypeError for strides that no kernel walks, ValueError with CUDA's text if a launch
// fails.
void launch_prune_threshold(const LoopPlan& plan, const View& w, std::uint64_t threshold_bits);  // w, out
void launch_quantize_int8(const LoopPlan& plan, const View& w);                                  // w, q, scale
void launch_softmax(const LoopPlan& plan, const View& x, double temperature);                    // x, out
void launch_softmax(const LoopPlan& plan, const View& x);                                        // x, out, temperature

}  // namespace tersor
