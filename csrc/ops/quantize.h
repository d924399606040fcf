#pragma once
// quantize: fixed point, and symmetric int8 with a scale a row.

#include "core/view.h"

namespace tersor {

inline constexpr int kMostFixedBits = 52;

// bits in [0, kMostFixedBits]; out may be w itself.
void round_fixed(const View& w, int bits, const View& out);

// Rows run along `axis` (already normalized to [0, ndim)). q: int8 with w's shape. scale: w's shape with length 1 along axis, of
// arithmetic_dtype(w.dtype).
void quantize_int8(const View& w, int axis, const View& q, const View& scale);

// scale (float32 or float64) broadcasts to q and is constant along at least one axis of q; out has q's shape and any
// floating dtype.
void dequantize_int8(const View& q, const View& scale, const View& out);

}  // namespace tersor
