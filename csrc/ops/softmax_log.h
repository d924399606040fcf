#pragma once
// softmax in logarithms, along any axis. On the CPU.

#include "core/view.h"

namespace tersor {

// temperature: float64, of no dimensions, or broadcasting to x with length 1 along axis; none may be negative or NaN.

// out has x's shape and dtype, and may be x itself.
void log_softmax(const View& x, const View& temperature, int axis, const View& out);

// The logarithm of the sum of exp(x / temperature); out has x's dtype, and x's shape without the axis or with length 1 there.
void logsumexp(const View& x, const View& temperature, int axis, const View& out);

// The gradient of x, which out gets, where gradient is that of logsumexp and has its shape.
void logsumexp_backward(const View& gradient, const View& x, const View& temperature, int axis, const View& out);

}  // namespace tersor
