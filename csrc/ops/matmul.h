#pragma once
// matmul: products with weights that stay compressed.

#include "core/view.h"
#include "ops/bitmask_views.h"

namespace tersor {

// y = x @ w.T for a weight of rows and columns: x [..., cols] of w's dtype or float32, y [..., rows] of x's dtype.
void matmul_bitmask(const View& x, const BitmaskViews& w, const View& y);

}  // namespace tersor
