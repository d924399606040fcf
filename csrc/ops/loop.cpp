#include "ops/loop.h"

#include <algorithm>
#include <cstdlib>

#include "core/integers.h"
#include "core/memory.h"
#include "core/parallel.h"
#include "ops/copy_items.h"

namespace tersor {

namespace {

// A chunk is long enough for the hardware prefetcher to run, short enough to balance the threads. Its size depends on the
// problem alone. A call of one chunk stays on the caller's thread: waking another takes about 10 us, in which one core moves a
// quarter of a megabyte within its caches.
constexpr std::int64_t kLeastChunkBytes = 256 << 10;
constexpr std::int64_t kMostChunkBytes = 1 << 20;
constexpr std::int64_t kMostChunkBytesOfRows = 4 << 20;  // kernels that overlap one row with the next want several
constexpr std::int64_t kWantedChunks = 16;
constexpr std::int64_t kStageBytes = 512 << 10;  // scratch for the rows of all operands: about L2
constexpr std::int64_t kMostStageBytes = static_cast<std::int64_t>(kKeptScratchBytes);
constexpr std::int64_t kStageCols = 32 * kColumnUnit;  // where rows may be cut
constexpr std::int64_t kLineBytes = 64;
constexpr std::int64_t kItemsAhead = 16;        // asked for before their turn, where they lie
constexpr std::int64_t kLeastBytesApart = 512;  // so far apart that the processor's own prefetching does not see them coming

std::int64_t chunk_bytes_for(std::int64_t total_bytes, Split split) noexcept {
  if (split == Split::kColumnsInL2) return kLeastChunkBytes;
  return std::clamp(total_bytes / kWantedChunks, kLeastChunkBytes, split == Split::kRows ? kMostChunkBytesOfRows : kMostChunkBytes);
}

constexpr bool cuts_rows(Split split) noexcept { return split != Split::kRows; }

// How a plan is cut: whole rows several at a time, or one row into pieces of columns.
struct Cut {
  std::int64_t rows_each, cols_each, pieces_per_row, chunks;
};

Cut cut_plan(const LoopPlan& plan, Split split) noexcept {
  const std::int64_t row_bytes = std::max<std::int64_t>(1, plan.row_bytes());
  const std::int64_t wanted = chunk_bytes_for(row_bytes * plan.rows, split);
  if (cuts_rows(split) && row_bytes > wanted) {
    const std::int64_t pieces = ceil_div(row_bytes, wanted);
    const std::int64_t cols_each = ceil_div(ceil_div(plan.cols, pieces), kColumnUnit) * kColumnUnit;
    const std::int64_t pieces_per_row = ceil_div(plan.cols, cols_each);
    return {1, cols_each, pieces_per_row, plan.rows * pieces_per_row};
  }
  const std::int64_t rows_each = std::max<std::int64_t>(1, wanted / row_bytes);
  return {rows_each, plan.cols, 1, ceil_div(plan.rows, rows_each)};
}

std::int64_t items_before(Columns columns, std::int64_t col) noexcept {
  return columns == Columns::kNone ? 0 : items_for(columns, col);
}

// A run of rows a constant stride apart, within the plan's innermost outer axis.
struct Run {
  std::int64_t rows, cols;
  std::int64_t first_row, first_col, chunk;
  std::byte* data[kMaxOperands];
  std::int64_t row_stride_bytes[kMaxOperands];
};

bool rows_are_closer(std::int64_t row_stride_bytes, std::int64_t item_stride_bytes) noexcept {
  return std::abs(row_stride_bytes) < std::abs(item_stride_bytes);
}

// The rows of one operand that scratch stands in for, and back again.
struct Stage {
  std::byte* scratch;
  std::int64_t scratch_stride_bytes, items, item_bytes;
  std::byte* data;
  std::int64_t item_stride_bytes, row_stride_bytes;

  // The inner loop runs along the axis whose neighbours are closer in the array, so that each cache line is fetched once.
  template <class Copy>
  void each(std::int64_t rows, Copy copy) const {
    if (rows_are_closer(row_stride_bytes, item_stride_bytes)) {
      const std::int64_t rows_per_line =
          std::max<std::int64_t>(1, kLineBytes / std::max<std::int64_t>(1, std::abs(row_stride_bytes)));
      const std::int64_t fetched = std::abs(item_stride_bytes) >= kLeastBytesApart ? items - kItemsAhead : 0;
      for (std::int64_t i = 0; i < items; ++i) {
        if (i < fetched) {  // not in a function of its own: GCC takes one that only fetches ahead for one without effect
          const std::byte* const ahead = data + (i + kItemsAhead) * item_stride_bytes;
          for (std::int64_t r = 0; r < rows - 1; r += rows_per_line) __builtin_prefetch(ahead + r * row_stride_bytes);
          __builtin_prefetch(ahead + (rows - 1) * row_stride_bytes);
        }
        copy(scratch + i * item_bytes, scratch_stride_bytes, data + i * item_stride_bytes, row_stride_bytes, rows);
      }
    } else {
      for (std::int64_t r = 0; r < rows; ++r)
        copy(scratch + r * scratch_stride_bytes, item_bytes, data + r * row_stride_bytes, item_stride_bytes, items);
    }
  }
  void gather(std::int64_t rows) const {
    each(rows, [&](std::byte* dense, std::int64_t dense_step, const std::byte* spread, std::int64_t step, std::int64_t count) {
      copy_strided(dense, dense_step, spread, step, count, item_bytes);
    });
  }
  void scatter(std::int64_t rows) const {
    each(rows, [&](const std::byte* dense, std::int64_t dense_step, std::byte* spread, std::int64_t step, std::int64_t count) {
      copy_strided(spread, step, dense, dense_step, count, item_bytes);
    });
  }
};

class Runner {
 public:
  Runner(const LoopPlan& plan, Split split, FunctionRef<void(const Block&)> body) : plan_(plan), split_(split), body_(body) {
    for (int k = 0; k < plan.operand_count; ++k) staged_ |= is_staged(k);
  }

  void run_rows(std::int64_t chunk, std::int64_t first, std::int64_t last, std::int64_t first_col, std::int64_t cols) const {
    while (first < last) {
      Run run = run_at(first, first_col, cols);
      run.chunk = chunk;
      run.rows = std::min(run.rows, last - first);
      if (staged_)
        run_staged(run);
      else
        body_(block_of(run));
      first += run.rows;
    }
  }

 private:
  Run run_at(std::int64_t row, std::int64_t first_col, std::int64_t cols) const {
    Run run;
    run.first_row = row;
    run.first_col = first_col;
    run.cols = cols;
    run.rows = 1;
    const int innermost = plan_.outer_ndim - 1;
    for (int k = 0; k < plan_.operand_count; ++k) {
      const LoopPlan::Operand& operand = plan_.operands[k];
      run.data[k] = operand.data + items_before(operand.columns, first_col) * operand.item_stride_bytes;
      run.row_stride_bytes[k] = innermost >= 0 ? operand.outer_stride_bytes[innermost] : 0;
    }
    for (int axis = innermost; axis >= 0; --axis) {
      const std::int64_t index = row % plan_.outer_shape[axis];
      row /= plan_.outer_shape[axis];
      if (axis == innermost) run.rows = plan_.outer_shape[axis] - index;
      for (int k = 0; k < plan_.operand_count; ++k) run.data[k] += index * plan_.operands[k].outer_stride_bytes[axis];
    }
    return run;
  }

  Block block_of(const Run& run) const {
    Block block{{run.rows, run.cols}, run.first_row, run.first_col, run.chunk, {}};
    for (int k = 0; k < plan_.operand_count; ++k) block.operands[k] = {run.data[k], run.row_stride_bytes[k]};
    return block;
  }

  bool is_staged(int k) const noexcept { return !plan_.operands[k].has_dense_rows(); }

  std::int64_t stage_row_bytes(int k, std::int64_t cols) const noexcept {
    return is_staged(k) ? scratch_row_bytes(items_for(plan_.operands[k].columns, cols) * plan_.operands[k].item_bytes) : 0;
  }

  // As many as fit the scratch. Rows that lie side by side in memory share cache lines, and each group of them fetches these anew.
  std::int64_t stage_rows(const Run& run, std::int64_t row_bytes) const noexcept {
    std::int64_t most_bytes = kStageBytes;
    for (int k = 0; k < plan_.operand_count; ++k)
      if (is_staged(k) && rows_are_closer(run.row_stride_bytes[k], plan_.operands[k].item_stride_bytes))
        most_bytes = kMostStageBytes;
    return std::clamp(most_bytes / row_bytes, std::int64_t{1}, run.rows);
  }

  // Rows, and columns where they may be cut, are taken a few at a time, so that the scratch stays within the caches.
  void run_staged(const Run& run) const {
    const std::int64_t most_cols = cuts_rows(split_) ? std::min(run.cols, kStageCols) : run.cols;
    std::int64_t row_bytes = 0;
    for (int k = 0; k < plan_.operand_count; ++k) row_bytes += stage_row_bytes(k, most_cols);
    const std::int64_t most_rows = stage_rows(run, row_bytes);
    const Scratch scratch(static_cast<std::size_t>(most_rows * row_bytes));
    for (std::int64_t row = 0; row < run.rows; row += most_rows) {
      const std::int64_t rows = std::min(most_rows, run.rows - row);
      std::int64_t col = 0;
      do {
        run_stage(run, row, rows, col, std::min(most_cols, run.cols - col), scratch.data());
        col += most_cols;
      } while (col < run.cols);
    }
  }

  void run_stage(const Run& run, std::int64_t row, std::int64_t rows, std::int64_t col, std::int64_t cols,
                 std::byte* scratch) const {
    Block block{{rows, cols}, run.first_row + row, run.first_col + col, run.chunk, {}};
    Stage stages[kMaxOperands];
    for (int k = 0; k < plan_.operand_count; ++k) {
      const LoopPlan::Operand& operand = plan_.operands[k];
      std::byte* data =
          run.data[k] + row * run.row_stride_bytes[k] + items_before(operand.columns, col) * operand.item_stride_bytes;
      if (!is_staged(k)) {
        block.operands[k] = {data, run.row_stride_bytes[k]};
        continue;
      }
      Stage& stage = stages[k] = {scratch, stage_row_bytes(k, cols),  items_for(operand.columns, cols), operand.item_bytes,
                                  data,    operand.item_stride_bytes, run.row_stride_bytes[k]};
      scratch += rows * stage.scratch_stride_bytes;
      if (operand.access == Access::kRead) stage.gather(rows);
      block.operands[k] = {stage.scratch, stage.scratch_stride_bytes};
    }
    body_(block);
    for (int k = 0; k < plan_.operand_count; ++k)
      if (is_staged(k) && plan_.operands[k].access == Access::kWrite) stages[k].scatter(rows);
  }

  const LoopPlan& plan_;
  Split split_;
  FunctionRef<void(const Block&)> body_;
  bool staged_ = false;
};

}  // namespace

Store store_for(const View& in, const View& out) noexcept {
  return same_elements(in, out) ? Store::kCached : store_for(out.size_bytes());
}

std::int64_t chunk_count(const LoopPlan& plan, Split split) noexcept { return plan.rows == 0 ? 0 : cut_plan(plan, split).chunks; }

void for_each_block(const LoopPlan& plan, Split split, FunctionRef<void(const Block&)> body) {
  if (plan.rows == 0) return;
  const Runner runner(plan, split, body);
  const Cut cut = cut_plan(plan, split);
  parallel_for(cut.chunks, [&](std::int64_t chunk) {
    const std::int64_t first_col = chunk % cut.pieces_per_row * cut.cols_each;
    const std::int64_t first_row = chunk / cut.pieces_per_row * cut.rows_each;
    runner.run_rows(chunk, first_row, std::min(plan.rows, first_row + cut.rows_each), first_col,
                    std::min(cut.cols_each, plan.cols - first_col));
  });
}

}  // namespace tersor
