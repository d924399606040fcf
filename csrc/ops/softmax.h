#pragma once
// softmax with temperature, along any axis.

#include "core/view.h"

namespace tersor {

// axis is already normalized to [0, ndim); out has x's shape and dtype, and may be x itself.
void softmax(const View& x, double temperature, int axis, const View& out);

// temperature: float64, broadcasts to x with length 1 along axis. Negative or NaN temperatures are a ValueError on the CPU; on
// CUDA, where no result is read back, they make their rows NaN.
void softmax(const View& x, const View& temperature, int axis, const View& out);

}  // namespace tersor
