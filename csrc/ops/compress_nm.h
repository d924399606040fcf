#pragma once
// compress: n of every m consecutive entries of each row, and which. The layouts stand in python/tersor/reference/compress.py.
// The compressed arrays are contiguous, which is checked; `out` may be strided.

#include "core/view.h"

namespace tersor {

// values [..., cols / 2] and bits [..., ceil(cols / 8)].
void compress_24_bitmask(const View& w, const View& values, const View& bits);
void decompress_24_bitmask(const View& values, const View& bits, const View& out);

// A matrix whose rows and columns are multiples of 32, columns of 16 for float32; metadata int16 [rows, cols / 16], cols / 8 for
// float32.
void compress_24_cutlass(const View& w, const View& values, const View& metadata);
void decompress_24_cutlass(const View& values, const View& metadata, const View& out);

// values [..., stored_columns] and indices: ceil(log2 m) bits a value.
void compress_nm(const View& w, int n, int m, const View& values, const View& indices);
void decompress_nm(const View& values, const View& indices, int n, int m, const View& out);
std::int64_t stored_columns(std::int64_t cols, int n, int m) noexcept;

}  // namespace tersor
