#pragma once
// fake_quantize: gradients of numbers, scales and zero points. The numbers themselves are those of quantize_groups.h.

#include "core/view.h"
#include "ops/quantize_groups.h"

namespace tersor {

struct FakeQuantizeGradients {
  const View& w;
  const View& scale;       // float32 or float64, one entry a group
  const View* zero_point;  // likewise, or null
};

// Of fake_quantize by given scales: grad where codes are not clamped, and sums over each group times gradient_scale.
void fake_quantize_backward(const View& grad, const View& w, GroupAxis groups, const CodeOptions& options, const View& scale,
                            const View* zero_point, double gradient_scale, const FakeQuantizeGradients& gradients);

}  // namespace tersor
