#include "ops/prune_magnitude.h"

#include <algorithm>
#include <cstring>
#include <optional>
#include <string>

#include "core/check.h"
#include "core/memory.h"
#include "cpu/kernels.h"
#include "ops/check_views.h"
#include "ops/loop.h"
#include "ops/select.h"

namespace tersor {

namespace {

using Kernel = cpu::PruneKernels::PruneThreshold;

// Which entries stay: before `position` those whose key is at least `before`, from there on at least `from`.
struct Cut {
  std::int64_t before, from, position;
};
constexpr std::int64_t kNoneStay = -1;

// The entries with a lesser key than the selected one go, and `ties` of those that have it: the first ones, up to `position`.
Cut cut_at(std::int64_t key, DType dtype, std::int64_t position) noexcept {
  return {key == nan_key(dtype) ? kNoneStay : key + 1, key, position};
}

// Calls last_to_go() for the selection of the last entry to go and place(nth) for where the nth that has its key lies, if they
// matter.
template <class LastToGo, class Place>
Cut cut_for(std::int64_t count, std::int64_t size, DType dtype, LastToGo last_to_go, Place place) {
  if (count == 0) return {0, 0, size};
  if (count == size) return {kNoneStay, kNoneStay, size};
  const Selection last = last_to_go();
  if (last.up_to == count) return cut_at(last.key, dtype, size);
  return cut_at(last.key, dtype, place(last.key, count - last.below - 1) + 1);
}

// Writes what stays of rows, by the kernel for the output's dtype.
class Writer {
 public:
  Writer(const View& w, const View& out)
      : kernel_(kernel_for(w.dtype, out.dtype)),
        item_bytes_(item_size(w.dtype)),
        packed_(out.dtype == DType::kUInt8),
        out_item_bytes_(item_size(out.dtype)),
        store_(store_for(w, out)) {}

  // One row; cut.position counts from its first column.
  void write(const std::byte* w, std::byte* out, std::int64_t cols, Cut cut) const {
    const std::int64_t place = std::clamp<std::int64_t>(cut.position, 0, cols);
    if (!packed_ || place % 8 == 0 || place == cols) {
      write_part(w, out, 0, place, cut.before);
      write_part(w, out, place, cols, cut.from);
      return;
    }
    // The byte that both parts share.
    const std::int64_t begin = place / 8 * 8, end = std::min(cols, begin + 8);
    write_part(w, out, 0, begin, cut.before);
    std::byte low, high;
    write_columns(w + begin * item_bytes_, &low, end - begin, cut.before);
    write_columns(w + begin * item_bytes_, &high, end - begin, cut.from);
    const auto of_low = static_cast<std::byte>((1u << (place - begin)) - 1);
    out[begin / 8] = (low & of_low) | (high & ~of_low);
    write_part(w, out, end, cols, cut.from);
  }

 private:
  static Kernel& kernel_for(DType w, DType out) {
    const cpu::PruneKernels& kernels = cpu::prune_kernels();
    if (out == DType::kUInt8) return kernels.mask_threshold_packed[w];
    return (out == DType::kBool ? kernels.mask_threshold : kernels.prune_threshold)[w];
  }

  void write_part(const std::byte* w, std::byte* out, std::int64_t begin, std::int64_t end, std::int64_t threshold) const {
    if (begin < end)
      write_columns(w + begin * item_bytes_, out + (packed_ ? begin / 8 : begin * out_item_bytes_), end - begin, threshold);
  }

  void write_columns(const std::byte* w, std::byte* out, std::int64_t cols, std::int64_t threshold) const {
    if (threshold == kNoneStay)
      std::memset(out, 0, static_cast<std::size_t>(packed_ ? (cols + 7) / 8 : cols * out_item_bytes_));
    else
      kernel_({w, 0}, {out, 0}, {1, cols}, static_cast<std::uint64_t>(threshold), store_);
  }

  Kernel& kernel_;
  std::int64_t item_bytes_;
  bool packed_;
  std::int64_t out_item_bytes_;
  Store store_;
};

Columns out_columns(const View& out) noexcept { return out.dtype == DType::kUInt8 ? Columns::kBits : Columns::kEach; }

void write_view(const View& w, const View& out, Cut cut) {
  const LoopPlan plan = plan_in_order({{w}, {out, out_columns(out), Access::kWrite}});
  const Writer writer(w, out);
  for_each_block(plan, Split::kColumns, [&](const Block& block) {
    for (std::int64_t r = 0; r < block.extent.rows; ++r) {
      const std::int64_t first = (block.first_row + r) * plan.cols + block.first_col;
      writer.write(block.operands[0].row<std::byte>(r), block.operands[1].row<std::byte>(r), block.extent.cols,
                   {cut.before, cut.from, cut.position - first});
    }
  });
}

void require_output(const View& w, const View& out) {
  require_floating(w);
  require_cpu("magnitude pruning", w);
  require_dtype(out, {w.dtype, DType::kBool, DType::kUInt8});
  if (out.dtype == DType::kUInt8)
    require_packed_shape(w, out, Columns::kBits, w);
  else
    require_same_shape(w, out);
  require_same_device(w, out);
  require_no_overlap(w, out, out.dtype == w.dtype ? InPlace::kAllowed : InPlace::kNo);
}

void require_count(std::int64_t count, std::int64_t size) {
  if (count < 0 || count > size)
    throw ValueError("count must be in [0, " + std::to_string(size) + "], got " + std::to_string(count));
}

}  // namespace

void prune_magnitude(std::span<const View> w, std::int64_t count, std::span<const View> out) {
  if (w.size() != out.size())
    throw ValueError("out must hold one array for each of w, " + std::to_string(w.size()) + "; it holds " +
                     std::to_string(out.size()));
  for (std::size_t i = 0; i < w.size(); ++i) {
    require_output(w[i], out[i]);
    require_same_dtype(w[0], w[i]);
    for (std::size_t other = 0; other < w.size(); ++other)
      if (other != i) require_no_overlap(w[other], out[i]);
  }
  const std::int64_t size = total_size(w);
  require_count(count, size);
  std::optional<PlacedSelection> selection;
  Cut cut = cut_for(
      count, size, w[0].dtype, [&] { return selection.emplace(w, KeyOrder::kMagnitude, count - 1).selection(); },
      [&](std::int64_t, std::int64_t nth) { return selection->place_of(nth); });
  for (std::size_t i = 0; i < w.size(); ++i) {
    write_view(w[i], out[i], cut);
    cut.position -= w[i].size();
  }
}

void prune_magnitude_rows(const View& w, std::int64_t count, int axis, const View& out) {
  require_output(w, out);
  if (out.dtype == DType::kUInt8 && axis != w.ndim - 1) throw ValueError("packed masks have their rows along the last axis");
  require_count(count, w.shape[axis]);
  const LoopPlan plan = plan_rows({{w}, {out, out_columns(out), Access::kWrite}}, axis);
  const Writer writer(w, out);
  for_each_block(plan, Split::kRows, [&](const Block& block) {
    for (std::int64_t r = 0; r < block.extent.rows; ++r) {
      const std::byte* row = block.operands[0].row<std::byte>(r);
      const Cut cut = cut_for(
          count, plan.cols, w.dtype, [&] { return select_rank_in_row(row, plan.cols, w.dtype, KeyOrder::kMagnitude, count - 1); },
          [&](std::int64_t key, std::int64_t nth) { return find_key(row, plan.cols, w.dtype, KeyOrder::kMagnitude, key, nth); });
      writer.write(row, block.operands[1].row<std::byte>(r), plan.cols, cut);
    }
  });
}

}  // namespace tersor
