#include "ops/prune_blocks.h"

#include <algorithm>
#include <string>
#include <vector>

#include "core/check.h"
#include "core/integers.h"
#include "core/memory.h"
#include "ops/check_views.h"
#include "ops/kept.h"
#include "ops/prune_ranked.h"
#include "ops/ranking.h"
#include "ops/row_groups.h"
#include "ops/select.h"

namespace tersor {

namespace {

double larger(double a, double b) noexcept { return b < a || a != a ? a : b; }  // NaN on either side stays

// Adds up, or for the maximum norm compares, `count` columns: four at a time, so that no addition waits for the one before.
double joined(const double* columns, std::int64_t count, BlockNorm norm) noexcept {
  double lanes[4] = {0, 0, 0, 0};
  for (std::int64_t i = 0; i < count; ++i) {
    double& lane = lanes[i % 4];
    lane = norm == BlockNorm::kMax ? larger(lane, columns[i]) : lane + columns[i];
  }
  if (norm == BlockNorm::kMax) return larger(larger(lanes[0], lanes[1]), larger(lanes[2], lanes[3]));
  return (lanes[0] + lanes[1]) + (lanes[2] + lanes[3]);
}

const cpu::StructuredKernels::Criterion& kernels_of(BlockNorm norm) {
  const cpu::StructuredKernels& kernels = cpu::structured_kernels();
  switch (norm) {
    case BlockNorm::kL1: return kernels.l1;
    case BlockNorm::kL2: return kernels.l2;
    default: return kernels.max;
  }
}

View view_of(const char* name, void* data, DType dtype, std::int64_t size) {
  View view;
  view.name = name;
  view.data = static_cast<std::byte*>(data);
  view.dtype = dtype;
  view.ndim = 1;
  view.writable = true;
  view.shape[0] = size;
  view.stride_bytes[0] = item_size(dtype);
  return view;
}

// The blocks of a view: how they are numbered, and their norms.
class Blocks {
 public:
  Blocks(const View& w, BlockShape shape)
      : w_(w),
        shape_(shape),
        cols_(w.shape[w.ndim - 1]),
        across_(ceil_div(cols_, shape.cols)),
        down_(groups_per_matrix(w, shape.rows)) {
    const std::int64_t rows = w.shape[w.ndim - 2];
    count_ = w.size() == 0 ? 0 : w.size() / (rows * cols_) * down_ * across_;
  }

  std::int64_t count() const noexcept { return count_; }

  // Sums of squares stand in for their roots, which order alike.
  std::vector<double> norms(BlockNorm norm) const {
    auto& add_rows = kernels_of(norm).add_rows[w_.dtype];
    std::vector<double> norms(static_cast<std::size_t>(count_));
    for_each_row_group(w_, shape_.rows, [&](const RowGroup& group) {
      const Scratch scratch(static_cast<std::size_t>(cols_) * sizeof(double));
      auto* const columns = reinterpret_cast<double*>(scratch.data());
      std::fill_n(columns, cols_, 0.0);
      group.read(w_, [&](std::int64_t, cpu::ConstRows rows, std::int64_t count) { add_rows(rows, rows, {count, cols_}, columns); });
      for (std::int64_t block = 0; block < across_; ++block)
        norms[static_cast<std::size_t>(first_of(group) + block)] = joined(columns + block * shape_.cols, width(block), norm);
    });
    return norms;
  }

  // Writes w where the bit of the block is set.
  void write(const std::vector<std::uint8_t>& bits, const View& out) const {
    for_each_row_group(w_, shape_.rows, [&](const RowGroup& group) {
      const Scratch scratch(static_cast<std::size_t>(cols_ + ceil_div(cols_, 8)));
      std::byte* const bytes = scratch.data();
      for (std::int64_t block = 0; block < across_; ++block) {
        const std::int64_t index = first_of(group) + block;
        const bool kept = bits[static_cast<std::size_t>(index / 8)] >> (index % 8) & 1;
        std::fill_n(bytes + block * shape_.cols, width(block), std::byte{kept});
      }
      std::byte* const row_bits = bytes + cols_;
      cpu::bitmask_kernels().pack_mask({bytes, 0}, {row_bits, 0}, {1, cols_}, Store::kCached);
      group.write(w_, out, [&](std::int64_t) { return reinterpret_cast<const std::uint8_t*>(row_bits); });
    });
  }

 private:
  std::int64_t first_of(const RowGroup& group) const noexcept { return (group.matrix * down_ + group.index) * across_; }
  std::int64_t width(std::int64_t block) const noexcept { return std::min(shape_.cols, cols_ - block * shape_.cols); }

  const View& w_;
  BlockShape shape_;
  std::int64_t cols_, across_, down_, count_;  // across and down: blocks of one matrix
};

}  // namespace

void prune_blocks(const View& w, BlockShape shape, double sparsity, BlockNorm norm, const View& out) {
  if (shape.rows < 1 || shape.cols < 1)
    throw ValueError("block must be two numbers of at least 1, got (" + std::to_string(shape.rows) + ", " +
                     std::to_string(shape.cols) + ")");
  require_kept_output("prune_blocks", w, out);
  require_matrix(w);
  const Blocks blocks(w, shape);
  const std::int64_t to_go = count_to_prune(sparsity, blocks.count());
  if (blocks.count() == 0) return;
  std::vector<double> norms = blocks.norms(norm);
  std::vector<std::uint8_t> bits(static_cast<std::size_t>(ceil_div(blocks.count(), 8)));
  const View scores = view_of("scores", norms.data(), DType::kFloat64, blocks.count());
  const View kept = view_of("out", bits.data(), DType::kUInt8, static_cast<std::int64_t>(bits.size()));
  prune_ranked(rank_by_value({&scores, 1}), {&scores, 1}, to_go, {&kept, 1});
  blocks.write(bits, out);
}

}  // namespace tersor
