#pragma once
// Gradients of softmax and log_softmax, along any axis. On the CPU.

#include "core/view.h"

namespace tersor {

// The gradient of x where y = softmax(x, temperature) and gradient is that of y; out may be either of them. temperature: as for
// log_softmax. At the limits of the temperature the gradient is 0.
void softmax_backward(const View& gradient, const View& y, const View& temperature, int axis, const View& out);

// The same for y = log_softmax(x, temperature). Entries of y above 0, which are no logarithms of shares, count as 0.
void log_softmax_backward(const View& gradient, const View& y, const View& temperature, int axis, const View& out);

}  // namespace tersor
