#include "ops/prune_ranked.h"

#include <algorithm>
#include <cstring>
#include <limits>
#include <optional>
#include <string>

#include "core/check.h"
#include "core/memory.h"
#include "cpu/prune.h"
#include "cpu/prune_score.h"
#include "ops/check_views.h"
#include "ops/kept.h"
#include "ops/key_source.h"
#include "ops/loop.h"
#include "ops/select.h"

namespace tersor {

namespace {

// Which entries stay: before `position` those whose key is at least `before`, from there on at least `from`.
struct Cut {
  std::int64_t before, from, position;

  Cut after(std::int64_t cols) const noexcept { return {before, from, position - cols}; }
};
constexpr std::int64_t kNoneStay = std::numeric_limits<std::int64_t>::max();

// The entries with a lesser key than the selected one go, and those that have it up to `position`.
Cut cut_at(std::int64_t key, DType dtype, std::int64_t position) noexcept {
  return {key == nan_key(dtype) ? kNoneStay : key + 1, key, position};
}

// Calls last_to_go() for the selection of the last entry to go and place(key, nth) for where the nth that has its key lies, if
// they matter.
template <class LastToGo, class Place>
Cut cut_for(std::int64_t count, std::int64_t size, DType dtype, LastToGo last_to_go, Place place) {
  if (count == 0) return {0, std::numeric_limits<std::int64_t>::min(), 0};
  if (count == size) return {kNoneStay, kNoneStay, size};
  const Selection last = last_to_go();
  if (last.up_to == count) return cut_at(last.key, dtype, size);
  return cut_at(last.key, dtype, place(last.key, count - last.below - 1) + 1);
}

// Writes what stays of rows that are ranked by scores.
class RankedWriter {
 public:
  RankedWriter(const Ranking& ranking, const View& w, const View& out)
      : dtype_(ranking.dtype),
        order_(ranking.order),
        item_bytes_(item_size(w.dtype)),
        direct_(ranking.order == KeyOrder::kMagnitude && !ranking.is_computed() ? &kernel_for(w.dtype, out.dtype) : nullptr),
        store_(store_for(w, out)),
        kept_(w, out) {}

  // Dense columns; scores_at(col, cols) gives the scores of a stretch, cut.position counts from the first column.
  template <class ScoresAt>
  void write(ScoresAt scores_at, const std::byte* w, std::byte* out, std::int64_t cols, Cut cut) const {
    if (direct_ && (cut.position <= 0 || cut.position >= cols) && threshold_of(cut) != kNoneStay) {
      const auto threshold = std::max<std::int64_t>(0, threshold_of(cut));
      direct_({w, 0}, {out, 0}, {1, cols}, static_cast<std::uint64_t>(threshold), store_);
      return;
    }
    for_each_stretch(cols, [&](std::int64_t col, std::int64_t part) {
      alignas(64) std::uint8_t bits[kStretch / 8];
      keep_by_cut(scores_at(col, part), bits, part, cut.after(col));
      kept_.write(bits, w + col * item_bytes_, out + kept_.out_bytes(col), part);
    });
  }

 private:
  using Kernel = cpu::PruneKernels::PruneThreshold;

  static Kernel& kernel_for(DType w, DType out) {
    const cpu::PruneKernels& kernels = cpu::prune_kernels();
    if (out == DType::kUInt8) return kernels.mask_threshold_packed[w];
    return (out == DType::kBool ? kernels.mask_threshold : kernels.prune_threshold)[w];
  }
  void keep_by_cut(const std::byte* scores, std::uint8_t* bits, std::int64_t cols, Cut cut) const {
    keep(scores, bits, cols, threshold_of(cut));
    if (cut.position <= 0 || cut.position >= cols) return;
    alignas(64) std::uint8_t bits_from[kStretch / 8];
    keep(scores, bits_from, cols, cut.from);
    const std::int64_t byte = cut.position / 8;
    const auto low = static_cast<std::uint8_t>((1u << (cut.position % 8)) - 1);
    bits[byte] = static_cast<std::uint8_t>((bits[byte] & low) | (bits_from[byte] & ~low));
    std::copy(bits_from + byte + 1, bits_from + (cols + 7) / 8, bits + byte + 1);
  }

  // That of the first column.
  static std::int64_t threshold_of(Cut cut) noexcept { return cut.position <= 0 ? cut.from : cut.before; }

  void keep(const std::byte* scores, std::uint8_t* bits, std::int64_t cols, std::int64_t threshold) const {
    if (threshold == kNoneStay)
      std::memset(bits, 0, static_cast<std::size_t>(cols + 7) / 8);
    else if (order_ == KeyOrder::kValue)
      cpu::prune_score_kernels().keep_values[dtype_](scores, bits, cols, std::max(threshold, least_key()));
    else
      cpu::prune_kernels().mask_threshold_packed[dtype_]({scores, 0}, {reinterpret_cast<std::byte*>(bits), 0}, {1, cols},
                                                         static_cast<std::uint64_t>(std::max<std::int64_t>(0, threshold)),
                                                         Store::kCached);
  }
  std::int64_t least_key() const noexcept { return -nan_key(dtype_); }  // of -infinity

  DType dtype_;
  KeyOrder order_;
  std::int64_t item_bytes_;  // of w
  Kernel* direct_;           // where the magnitudes of w itself are the scores
  Store store_;
  KeptWriter kept_;
};

// The operands of a plan: what scores are made of, w where it is none of that, and the output.
struct Operands {
  int second = -1, w = 0, out = 1;
};

template <class MakePlan>
LoopPlan plan_ranked(const Ranking& ranking, std::size_t i, const View& w, const View& out, Operands& operands, MakePlan make) {
  const View& first = ranking.first[i];
  const OperandSpec written{out, kept_columns(out), Access::kWrite};
  if (!ranking.second.empty()) {
    operands = {1, 0, 2};
    return make({{first}, {ranking.second[i]}, written});
  }
  if (same_elements(first, w) && first.dtype == w.dtype) return make({{first}, written});
  operands = {-1, 1, 2};
  return make({{first}, {w}, written});
}

// One row of a block, with what is needed to go along it.
struct Row {
  const Block& block;
  const LoopPlan& plan;
  std::int64_t index;

  std::byte* at(int operand, std::int64_t col) const {
    if (operand < 0) return nullptr;
    return block.operands[operand].row<std::byte>(index) + col * plan.operands[operand].item_bytes;
  }
};

void write_view(const Ranking& ranking, std::size_t i, const View& w, const View& out, std::int64_t first_position, Cut cut) {
  Operands operands;
  const LoopPlan plan =
      plan_ranked(ranking, i, w, out, operands, [](std::initializer_list<OperandSpec> specs) { return plan_in_order(specs); });
  const RankedWriter writer(ranking, w, out);
  for_each_block(plan, Split::kColumns, [&](const Block& block) {
    alignas(64) std::byte scratch[kStretch * 8];
    for (std::int64_t r = 0; r < block.extent.rows; ++r) {
      const Row row{block, plan, r};
      const std::int64_t position = (block.first_row + r) * plan.cols + block.first_col;
      const auto scores_at = [&](std::int64_t col, std::int64_t cols) {
        return ranking.scores(row.at(0, col), row.at(operands.second, col), first_position + position + col, cols, scratch);
      };
      writer.write(scores_at, row.at(operands.w, 0), row.at(operands.out, 0), block.extent.cols, cut.after(position));
    }
  });
}

void require_output(const Ranking& ranking, std::size_t i, const View& w, const View& out) {
  require_kept_output("pruning", w, out);
  const View& first = ranking.first[i];
  if (!same_elements(first, w)) {
    require_floating(first);
    require_same_shape(w, first);
    require_same_device(w, first);
    require_no_overlap(first, out);
  }
  if (!ranking.second.empty()) require_no_overlap(ranking.second[i], out);
}

void require_outputs(const Ranking& ranking, std::span<const View> w, std::span<const View> out) {
  const auto require_as_many = [&](std::size_t size, const char* name) {
    if (size != w.size())
      throw ValueError(std::string(name) + " must hold one array for each of w, " + std::to_string(w.size()) + "; it holds " +
                       std::to_string(size));
  };
  require_as_many(out.size(), "out");
  require_as_many(ranking.first.size(), ranking.first[0].name);
  for (std::size_t i = 0; i < w.size(); ++i) {
    require_output(ranking, i, w[i], out[i]);
    require_same_dtype(w[0], w[i]);
    require_same_dtype(ranking.first[0], ranking.first[i]);
    for (std::size_t other = 0; other < w.size(); ++other) {
      if (other == i) continue;
      require_no_overlap(w[other], out[i]);
      require_no_overlap(ranking.first[other], out[i]);
      if (!ranking.second.empty()) require_no_overlap(ranking.second[other], out[i]);
    }
  }
}

void require_count(std::int64_t count, std::int64_t size) {
  if (count < 0 || count > size)
    throw ValueError("count must be in [0, " + std::to_string(size) + "], got " + std::to_string(count));
}

}  // namespace

void prune_ranked(const Ranking& ranking, std::span<const View> w, std::int64_t count, std::span<const View> out) {
  require_outputs(ranking, w, out);
  const std::int64_t size = total_size(w);
  require_count(count, size);
  std::optional<PlacedSelection> selection;
  const Cut cut = cut_for(
      count, size, ranking.dtype, [&] { return selection.emplace(ranking, count - 1).selection(); },
      [&](std::int64_t, std::int64_t nth) { return selection->place_of(nth); });
  std::int64_t position = 0;
  for (std::size_t i = 0; i < w.size(); ++i) {
    write_view(ranking, i, w[i], out[i], position, cut.after(position));
    position += w[i].size();
  }
}

void prune_ranked_rows(const Ranking& ranking, const View& w, std::int64_t count, int axis, const View& out) {
  require_outputs(ranking, {&w, 1}, {&out, 1});
  if (out.dtype == DType::kUInt8 && axis != w.ndim - 1) throw ValueError("packed masks have their rows along the last axis");
  require_count(count, w.shape[axis]);
  Operands operands;
  const LoopPlan plan = plan_ranked(ranking, 0, w, out, operands, [&](std::initializer_list<OperandSpec> specs) {
    return ranking.is_random ? plan_rows_in_order(specs, axis) : plan_rows(specs, axis);
  });
  const RankedWriter writer(ranking, w, out);
  const std::int64_t cols = plan.cols, score_bytes = item_size(ranking.dtype);
  for_each_block(plan, Split::kRows, [&](const Block& block) {
    const Scratch scratch(static_cast<std::size_t>(ranking.is_computed() ? cols * score_bytes : 0));
    for (std::int64_t r = 0; r < block.extent.rows; ++r) {
      const Row row{block, plan, r};
      const std::byte* scores =
          ranking.scores(row.at(0, 0), row.at(operands.second, 0), (block.first_row + r) * cols, cols, scratch.data());
      const Cut cut = cut_for(
          count, cols, ranking.dtype, [&] { return select_rank_in_row(scores, cols, ranking.dtype, ranking.order, count - 1); },
          [&](std::int64_t key, std::int64_t nth) { return find_key(scores, cols, ranking.dtype, ranking.order, key, nth); });
      writer.write([&](std::int64_t col, std::int64_t) { return scores + col * score_bytes; }, row.at(operands.w, 0),
                   row.at(operands.out, 0), cols, cut);
    }
  });
}

}  // namespace tersor
