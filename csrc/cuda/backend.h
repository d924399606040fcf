#pragma once
// The seam between _core and the optional _cuda module: a table of launchers on plain data. _core never meets the CUDA runtime.
//
// A launcher enqueues work on the stream and returns at once: it allocates nothing, waits for nothing and reads no result back, so
// calls can be captured in a graph. It returns nullptr, or the text of an error (static storage), and never throws. The first
// launch on a device loads every kernel there, which a capture does not allow: warm_up first.

#include <cstdint>

#include "core/dtype.h"

namespace tersor::cuda {

inline constexpr int kMaxOuterDims = 6;

// Rows of one operand: where row r begins follows from the outer shape that all operands of a launch share.
struct Rows {
  void* data;
  std::int64_t item_stride;                  // in items, from one item of a row to the next; 1 for dense rows
  std::int64_t outer_stride[kMaxOuterDims];  // in items
};

struct Extent {
  std::int64_t rows, cols;
  int outer_ndim;
  std::int64_t outer_shape[kMaxOuterDims];  // outermost first; their product is rows
};

struct PruneThresholdParams {
  DType dtype;
  Extent extent;
  Rows w, out;
  std::uint64_t threshold_bits;  // the bits of the least magnitude kept, at least 1: see ops/threshold.h
};

struct QuantizeInt8Params {
  DType dtype;  // of w; q is int8, scale is arithmetic_dtype(dtype)
  Extent extent;
  Rows w, q, scale;  // scale has one item a row
};

struct SoftmaxParams {
  DType dtype;
  Extent extent;
  Rows x, out;
  double temperature;  // where temperatures.data is null
  Rows temperatures;   // float64 in device memory, one item a row
};

struct Backend {
  static constexpr int kVersion = 1;  // raised with any change to the structs above
  int version;
  const char* (*prune_threshold)(const PruneThresholdParams& params, void* stream, int device) noexcept;
  const char* (*quantize_int8)(const QuantizeInt8Params& params, void* stream, int device) noexcept;
  const char* (*softmax)(const SoftmaxParams& params, void* stream, int device) noexcept;
  const char* (*warm_up)(int device) noexcept;
};

inline constexpr const char* kBackendCapsule = "tersor._cuda.backend";

}  // namespace tersor::cuda
