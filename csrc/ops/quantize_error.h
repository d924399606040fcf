#pragma once
// quantize: how far what codes stand for is from the numbers that they were made of.

#include "core/view.h"
#include "ops/quantize_groups.h"

namespace tersor {

// The mean square and the largest magnitude of the errors, the ratio of the mean squares of numbers and errors in dB, and the
// cosine of the angle between the numbers and what became of them.
struct QuantizationError {
  double mse, largest, sqnr, cosine;
};

// float64 arrays with an entry a group.
struct QuantizationErrorViews {
  const View &mse, &largest, &sqnr, &cosine;
};

// The arrays of a quantized one, as decode_groups takes them.
struct QuantizedViews {
  const View& q;
  bool packed;
  CodeFormat format;
  const View& scale;
  const View* zero_point;
};

QuantizationError quantization_error(const View& w, GroupAxis groups, const QuantizedViews& quantized);
void quantization_error_of_groups(const View& w, GroupAxis groups, const QuantizedViews& quantized,
                                  const QuantizationErrorViews& errors);

}  // namespace tersor
