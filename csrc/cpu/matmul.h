#pragma once
// Products with a weight of bits and values.

#include <cstddef>
#include <cstdint>

#include "cpu/kernel_table.h"
#include "cpu/rows.h"

namespace tersor::cpu {

// The most rows of x that go through a product at a time at any level, and the most rows of the weight side by side.
inline constexpr int kMatmulWidth = 16;
inline constexpr int kMatmulRows = 8;
// Columns whose products a lane adds up before they join the row's sum.
inline constexpr std::int64_t kMatmulBlock = 1024;
// Columns of packed rows of x: whole words of bits.
constexpr std::int64_t matmul_padded(std::int64_t cols) noexcept { return (cols + 63) / 64 * 64; }

// Rows of a weight that is kept as bits, and as the items whose bit is set.
struct BitmaskRows {
  const std::byte* values;     // of all rows of the weight
  std::int64_t value_count;    // likewise
  const std::int64_t* starts;  // where the items of each row begin, and where those of the last one end
  ConstRows bits;
};

struct MatmulKernels {
  int width;  // rows of x at most, a power of two
  // Row `place` of a panel: `width` rows of x in the dtype of arithmetic take turns of 16 columns, and end with zeros.
  using PackRow = void(const std::byte* x, std::int64_t cols, int width, int place, std::byte* panel) noexcept;
  // Rows of w times a panel of 1, 2, 4 and so on up to `width` rows of x. The sums of a row of x are adjacent. Returns the first
  // row whose bits are not as many as its values, or -1; reads no value that is not there.
  using MultiplyBitmask = std::int64_t(const BitmaskRows& w, Extent extent, const std::byte* panel, int width,
                                       std::byte* sums) noexcept;
  using WriteSums = void(const std::byte* sums, std::byte* y, std::int64_t count) noexcept;
  ByFloat<PackRow> pack_row;
  PackRow& pack_row_float64;  // of float32 for float64 weights
  ByFloat<MultiplyBitmask> multiply_bitmask;
  ByFloat<WriteSums> write_sums;
  WriteSums& write_sums_float64;
};

TERSOR_DECLARE_TABLE(MatmulKernels, matmul_kernels)

}  // namespace tersor::cpu
