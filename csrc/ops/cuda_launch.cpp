#include "ops/cuda_launch.h"

#include "core/check.h"

namespace tersor {

void set_cuda_backend(const cuda::Backend*) noexcept {}
void launch_prune_threshold(const LoopPlan&, const View&, std::uint64_t) { throw TypeError("no CUDA"); }
void launch_quantize_int8(const LoopPlan&, const View&) { throw TypeError("no CUDA"); }
void launch_softmax(const LoopPlan&, const View&, double) { throw TypeError("no CUDA"); }
void launch_softmax(const LoopPlan&, const View&) { throw TypeError("no CUDA"); }

}  // namespace tersor
