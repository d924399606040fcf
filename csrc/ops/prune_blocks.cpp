#include "ops/prune_blocks.h"

#include <algorithm>
#include <bit>
#include <cstring>
#include <memory>
#include <string>
#include <vector>

#include "core/check.h"
#include "core/integers.h"
#include "core/memory.h"
#include "cpu/bitmask.h"
#include "cpu/structured.h"
#include "ops/check_views.h"
#include "ops/kept.h"
#include "ops/prune_ranked.h"
#include "ops/ranking.h"
#include "ops/row_groups.h"
#include "ops/select.h"

namespace tersor {

namespace {

// Of magnitudes, whose sign is clear: they are ordered like their bits, and NaN lies above all of them.
double larger(double a, double b) noexcept { return std::bit_cast<std::int64_t>(a) < std::bit_cast<std::int64_t>(b) ? b : a; }

double added(double a, double b) noexcept { return a + b; }

// Joins `count` columns, four at a time, so that none waits for the one before.
template <double (&join)(double, double)>
double joined(const double* columns, std::int64_t count) noexcept {
  double lanes[4] = {0, 0, 0, 0};
  std::int64_t i = 0;
  for (; i + 4 <= count; i += 4)
    for (int lane = 0; lane < 4; ++lane) lanes[lane] = join(lanes[lane], columns[i + lane]);
  for (int lane = 0; i < count; ++i, ++lane) lanes[lane] = join(lanes[lane], columns[i]);
  return join(join(lanes[0], lanes[1]), join(lanes[2], lanes[3]));
}

const cpu::StructuredKernels::Criterion& kernels_of(BlockNorm norm) {
  const cpu::StructuredKernels& kernels = cpu::structured_kernels();
  switch (norm) {
    case BlockNorm::kL1: return kernels.l1;
    case BlockNorm::kL2: return kernels.l2;
    default: return kernels.max;
  }
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
  std::unique_ptr<double[]> norms(BlockNorm norm) const {
    auto& add_rows = kernels_of(norm).add_rows[w_.dtype];
    auto norms = std::make_unique_for_overwrite<double[]>(static_cast<std::size_t>(count_));  // the threads touch it first
    for_each_row_group(w_, shape_.rows, [&](const RowGroup& group) {
      const Scratch scratch(static_cast<std::size_t>(cols_) * sizeof(double));
      auto* const columns = reinterpret_cast<double*>(scratch.data());
      std::fill_n(columns, cols_, 0.0);
      group.read(w_, [&](std::int64_t, cpu::ConstRows rows, std::int64_t count) { add_rows(rows, rows, {count, cols_}, columns); });
      double* const norms_of_group = norms.get() + first_of(group);
      if (norm == BlockNorm::kMax)
        join_columns<larger>(columns, norms_of_group);
      else
        join_columns<added>(columns, norms_of_group);
    });
    return norms;
  }

  // Writes w where the bit of the block is set.
  void write(const std::vector<std::uint8_t>& bits, const View& out) const {
    for_each_row_group(w_, shape_.rows, [&](const RowGroup& group) {
      const Scratch scratch(static_cast<std::size_t>(cols_ + kAhead + ceil_div(cols_, 8)));
      std::byte *const bytes = scratch.data(), *const row_bits = bytes + cols_ + kAhead;
      for (std::int64_t block = 0; block < across_; ++block) {
        const std::int64_t index = first_of(group) + block;
        const bool kept = bits[static_cast<std::size_t>(index / 8)] >> (index % 8) & 1;
        fill_block(bytes + block * shape_.cols, width(block), kept);
      }
      cpu::bitmask_kernels().pack_mask({bytes, 0}, {row_bits, 0}, {1, cols_}, Store::kCached);
      group.write(w_, out, [&](std::int64_t) { return reinterpret_cast<const std::uint8_t*>(row_bits); });
    });
  }

 private:
  static constexpr std::int64_t kAhead = 8;

  // Narrow blocks by one store, which may go beyond: the next block overwrites what it finds.
  static void fill_block(std::byte* bytes, std::int64_t width, bool kept) noexcept {
    const std::uint64_t all = kept ? 0x0101010101010101 : 0;
    if (width > kAhead)
      std::fill_n(bytes, width, std::byte{kept});
    else
      std::memcpy(bytes, &all, kAhead);
  }

  template <double (&join)(double, double)>
  void join_columns(const double* columns, double* norms) const noexcept {
    for (std::int64_t block = 0; block < across_; ++block) norms[block] = joined<join>(columns + block * shape_.cols, width(block));
  }

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
  const std::unique_ptr<double[]> norms = blocks.norms(norm);
  std::vector<std::uint8_t> bits(static_cast<std::size_t>(ceil_div(blocks.count(), 8)));
  const View scores = view_of("scores", norms.get(), DType::kFloat64, blocks.count());
  const View kept = view_of("out", bits.data(), DType::kUInt8, static_cast<std::int64_t>(bits.size()));
  prune_ranked(rank_by_value({&scores, 1}), {&scores, 1}, to_go, {&kept, 1});
  blocks.write(bits, out);
}

}  // namespace tersor
