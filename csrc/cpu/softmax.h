#pragma once
// softmax, of whole rows and of pieces.

#include <cstddef>
#include <cstdint>

#include "core/dtype.h"
#include "core/store.h"
#include "cpu/kernel_table.h"
#include "cpu/rows.h"

namespace tersor::cpu {

// The exponentials of a block of kSoftmaxBlock columns, added up, relative to the place on the axis of exponents that the block
// counts from: exp(shift / T) * 2**exponent.
struct SoftmaxBlock {
  double shift, exponent, sum, sum_low;
};
// Temperatures so far out that every term but the largest underflows, or that every difference vanishes.
enum class SoftmaxLimit : std::uint8_t { kNone, kOneHot, kUniform };
constexpr SoftmaxLimit softmax_limit(DType dtype, double temperature) noexcept {
  const bool is_float64 = dtype == DType::kFloat64;
  if (temperature <= (is_float64 ? 0 : 0x1p-180)) return SoftmaxLimit::kOneHot;
  return temperature >= (is_float64 ? __builtin_huge_val() : 0x1p180) ? SoftmaxLimit::kUniform : SoftmaxLimit::kNone;
}

inline constexpr std::int64_t kSoftmaxBlock = 1024;
constexpr std::int64_t softmax_blocks(std::int64_t cols) noexcept { return (cols + kSoftmaxBlock - 1) / kSoftmaxBlock; }

struct SoftmaxKernels {
  // scratch: 64-byte aligned, softmax_scratch_bytes(dtype, cols).
  using Softmax = void(ConstRows x, ConstRows temperature, Rows out, Extent extent, std::byte* scratch, Store store) noexcept;
  // The same in three steps, for rows too long for scratch, or that several threads share, away from the limits: pieces of whole
  // blocks are measured, the blocks of a row become one, and pieces are written. The bits are those of softmax.
  using MeasurePiece = void(const std::byte* x, double temperature, std::int64_t cols, SoftmaxBlock* blocks) noexcept;
  using JoinBlocks = SoftmaxBlock(const SoftmaxBlock* blocks, std::int64_t count, double temperature) noexcept;
  using WritePiece = void(const std::byte* x, double temperature, SoftmaxBlock row, std::byte* out, std::int64_t cols,
                          Store store) noexcept;
  ByFloat<Softmax> softmax;
  ByFloat<MeasurePiece> measure_piece;
  ByFloat<JoinBlocks> join_blocks;
  ByFloat<WritePiece> write_piece;
};

// The exponentials of a row, and what its blocks add up to; rows of one block go kSoftmaxBatch at a time.
inline constexpr int kSoftmaxBatch = 8;
constexpr std::int64_t softmax_scratch_bytes(DType dtype, std::int64_t cols) noexcept {
  const std::int64_t blocks = softmax_blocks(cols), kept = blocks > 1 ? blocks : kSoftmaxBatch;
  return kept * kSoftmaxBlock * item_size(arithmetic_dtype(dtype)) + blocks * static_cast<std::int64_t>(sizeof(SoftmaxBlock));
}

TERSOR_DECLARE_TABLE(SoftmaxKernels, softmax_kernels)

}  // namespace tersor::cpu
