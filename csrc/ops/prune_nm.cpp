#include "ops/prune_nm.h"

#include <algorithm>
#include <cstring>
#include <string>

#include "core/check.h"
#include "core/memory.h"
#include "cpu/prune_nm.h"
#include "ops/check_views.h"
#include "ops/kept.h"
#include "ops/loop.h"
#include "ops/row_groups.h"

namespace tersor {

namespace {

constexpr std::int64_t kStretch = 4096;  // columns at a time, so that their second read comes from L1

}  // namespace

void prune_nm(const View& w, int n, int m, int axis, const View& out) {
  if (n < 1 || n >= m || m > cpu::kMostGroup)
    throw ValueError("n and m must fulfil 1 <= n < m <= " + std::to_string(cpu::kMostGroup) + ", got " + std::to_string(n) + ":" +
                     std::to_string(m));
  require_kept_output("prune_nm", w, out);
  if (out.dtype == DType::kUInt8 && axis != w.ndim - 1) throw ValueError("packed masks have their rows along the last axis");
  auto& kernel = cpu::prune_nm_kernels().keep_nm[w.dtype];
  const KeptWriter kept(w, out);
  const LoopPlan plan = plan_rows({{w}, {out, kept_columns(out), Access::kWrite}}, axis);
  const std::int64_t stretch = kStretch / (8 * m) * (8 * m), item_bytes = item_size(w.dtype);
  for_each_block(plan, kColumnUnit % m == 0 ? Split::kColumns : Split::kRows, [&](const Block& block) {
    alignas(64) std::uint8_t bits[kStretch / 8];
    for (std::int64_t r = 0; r < block.extent.rows; ++r)
      for (std::int64_t col = 0; col < block.extent.cols; col += stretch) {
        const std::int64_t cols = std::min(stretch, block.extent.cols - col);
        const std::byte* from = block.operands[0].row<std::byte>(r) + col * item_bytes;
        kernel(from, bits, cols, n, m);
        kept.write(bits, from, block.operands[1].row<std::byte>(r) + kept.out_bytes(col), cols);
      }
  });
}

void prune_transposable(const View& w, const View& out) {
  require_kept_output("prune_nm", w, out);
  require_matrix(w);
  auto& kernel = cpu::prune_nm_kernels().keep_transposable[w.dtype];
  const std::int64_t cols = w.shape[w.ndim - 1], row_bytes = cols * item_size(w.dtype), bit_bytes = items_for(Columns::kBits, cols);
  for_each_row_group(w, 4, [&](const RowGroup& group) {
    const Scratch scratch(static_cast<std::size_t>(4 * (row_bytes + bit_bytes)));
    const std::byte* rows[4];
    std::uint8_t* bits[4];
    group.read(w, [&](std::int64_t first, cpu::ConstRows from, std::int64_t count) {
      for (std::int64_t r = first; r < first + count; ++r) {
        std::byte* const copy = scratch.data() + r * row_bytes;
        std::memcpy(copy, from.row<std::byte>(r - first), static_cast<std::size_t>(row_bytes));
        rows[r] = copy;
        bits[r] = reinterpret_cast<std::uint8_t*>(scratch.data() + 4 * row_bytes + r * bit_bytes);
      }
    });
    kernel(rows, static_cast<int>(group.rows), cols, bits);
    group.write(w, out, [&](std::int64_t r) { return bits[r]; });
  });
}

}  // namespace tersor
