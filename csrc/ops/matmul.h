#pragma once
// matmul: products with weights that stay compressed.

#include "core/view.h"

namespace tersor {

// A weight [rows, cols] as the bits of its non-zeros, least significant first, and these themselves, row by row.
struct BitmaskViews {
  View values;       // [number of bits set]
  View bits;         // uint8 [rows, ceil(cols / 8)]
  View row_offsets;  // int64 [rows]: where the values of each row begin
  std::int64_t rows, cols;
};

// y = x @ w.T: x [..., cols] of w's dtype or float32, y [..., rows] of x's dtype.
void matmul_bitmask(const View& x, const BitmaskViews& w, const View& y);

}  // namespace tersor
