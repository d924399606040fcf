#pragma once
// Ranges in which codes keep the most information: Migacz, "8-bit inference with TensorRT" (2017), as onnxruntime has it, with
// divergences in float64.

#include <cstdint>

#include "core/view.h"
#include "ops/quantize_percentile.h"

namespace tersor {

struct Entropy {
  int levels;         // that numbers are told apart in
  std::int64_t bins;  // at most, of the histogram; at least 2
};

// Of a group whose finite entries, of which there are some, reach from low to high: no further than these.
RangeBounds entropy_bounds(const View& entries, double low, double high, Entropy entropy);

}  // namespace tersor
