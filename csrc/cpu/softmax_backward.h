#pragma once
// Gradients of softmax and log_softmax, from their results.

#include <cstddef>
#include <cstdint>

#include "cpu/kernel_table.h"
#include "cpu/softmax.h"

namespace tersor::cpu {

struct SoftmaxBackwardKernels {
  // Sums over blocks of kSoftmaxBlock columns: of gradient * y, or of the gradient alone.
  using Measure = void(const std::byte* gradient, const std::byte* y, std::int64_t cols, double* sums) noexcept;
  // softmax: y * (gradient - sum) * inverse. log_softmax: (gradient - exp(y) * sum) * inverse.
  using Write = void(const std::byte* gradient, const std::byte* y, double sum, double inverse, std::byte* out, std::int64_t cols,
                     Store store) noexcept;
  ByFloat<Measure> measure_softmax, measure_log_softmax;
  ByFloat<Write> write_softmax, write_log_softmax;
};

TERSOR_DECLARE_TABLE(SoftmaxBackwardKernels, softmax_backward_kernels)

}  // namespace tersor::cpu
