#include "ops/unit_information.h"

#include <algorithm>
#include <cstring>
#include <numeric>
#include <string>

#include "core/check.h"
#include "cpu/information.h"
#include "ops/bitmask.h"
#include "ops/check_views.h"
#include "ops/distribution.h"
#include "ops/loop.h"
#include "ops/prune.h"
#include "ops/select.h"

namespace tersor {

namespace {

constexpr std::int64_t kStretch = 1024;

std::size_t to_size(std::int64_t count) noexcept { return static_cast<std::size_t>(count); }

// The slot of each sample's target, as BinFinder numbers them: the first and the last are no bin.
struct Target {
  std::vector<std::uint32_t> slots;
  std::int64_t count = 0;
};

std::int64_t integer_at(const std::byte* item, DType dtype) noexcept {
  if (dtype == DType::kInt8) return static_cast<std::int8_t>(*item);
  if (dtype != DType::kInt64) return static_cast<std::uint8_t>(*item);
  std::int64_t label;
  std::memcpy(&label, item, sizeof label);
  return label;
}

Target classes_of(const View& labels) {
  std::vector<std::int64_t> each(to_size(labels.shape[0]));
  for (std::size_t i = 0; i < each.size(); ++i)
    each[i] = integer_at(labels.data + static_cast<std::int64_t>(i) * labels.stride_bytes[0], labels.dtype);
  std::vector<std::int64_t> classes = each;
  std::sort(classes.begin(), classes.end());
  classes.erase(std::unique(classes.begin(), classes.end()), classes.end());
  if (std::ssize(classes) > kMostBins)
    throw ValueError(std::string(labels.name) + " holds " + std::to_string(classes.size()) + " classes; at most " +
                     std::to_string(kMostBins) + " make sense of a histogram");
  Target target{std::vector<std::uint32_t>(each.size()), std::ssize(classes) + 2};
  for (std::size_t i = 0; i < each.size(); ++i)
    target.slots[i] = static_cast<std::uint32_t>(std::lower_bound(classes.begin(), classes.end(), each[i]) - classes.begin() + 1);
  return target;
}

Target bins_of(const View& y, const BinRule& rule) {
  const BinFinder finder(rule.edges.empty() ? edges_of_data(y, rule.bins, rule.kind) : rule.edges, y.dtype);
  Target target{std::vector<std::uint32_t>(to_size(y.shape[0])), finder.slots()};
  auto& find = cpu::information_kernels().find_slots[y.dtype];
  const LoopPlan plan = plan_elements({{y}});
  for_each_block(plan, Split::kColumns, [&](const Block& block) {
    find(block.operands[0].data, block.extent.cols, finder.grid(), target.slots.data() + block.first_col);
  });
  return target;
}

Target target_of(const View& y, std::int64_t samples, const BinRule& rule) {
  require_cpu("mutual information", y);
  if (y.ndim != 1 || y.shape[0] != samples)
    throw ValueError(std::string(y.name) + " has shape " + shape_text(y) + "; it must be (" + std::to_string(samples) +
                     ",), one for each sample");
  if (is_floating(y.dtype)) return bins_of(y, rule);
  require_dtype(y, {DType::kInt64, DType::kInt8, DType::kUInt8, DType::kBool});
  return classes_of(y);
}

// Without a target all samples are of one class, in the middle of three slots.
Target one_class(std::int64_t samples) { return {std::vector<std::uint32_t>(to_size(samples), 1), 3}; }

// Scores dense rows; one for each block, since it has memory.
class RowScorer {
 public:
  RowScorer(const View& x, std::int64_t samples, const BinRule& rule, const Target& target, bool entropy)
      : x_(x), samples_(samples), rule_(rule), target_(target), entropy_(entropy) {}

  double score(const std::byte* row) {
    const BinFinder finder(
        rule_.edges.empty() ? edges_of_row(row, samples_, x_.dtype, rule_.bins, rule_.kind, x_.name) : rule_.edges, x_.dtype);
    count(row, finder);
    const std::int64_t bins = finder.bins(), classes = target_.count - 2;
    inner_.clear();
    for (std::int64_t bin = 1; bin <= bins; ++bin)
      for (std::int64_t of = 1; of <= classes; ++of) inner_.push_back(table_[to_size(bin * target_.count + of)]);
    if (entropy_) return entropy_of_counts(inner_);
    sums_.resize(to_size(bins + classes));
    return classes == 0 ? 0.0 : mutual_information_of_counts(inner_, classes, sums_);
  }

 private:
  void count(const std::byte* row, const BinFinder& finder) {
    table_.assign(to_size(finder.slots() * target_.count), 0);
    auto& find = cpu::information_kernels().find_slots[x_.dtype];
    std::uint32_t slots[kStretch];
    for (std::int64_t first = 0; first < samples_; first += kStretch) {
      const std::int64_t cols = std::min(kStretch, samples_ - first);
      find(row + first * item_size(x_.dtype), cols, finder.grid(), slots);
      const std::uint32_t* of = target_.slots.data() + first;
      for (std::int64_t i = 0; i < cols; ++i) ++table_[to_size(slots[i] * target_.count + of[i])];
    }
  }

  const View& x_;
  std::int64_t samples_;
  const BinRule& rule_;
  const Target& target_;
  bool entropy_;
  std::vector<std::int64_t> table_, inner_, sums_;
};

// The view with an axis of length 1 inserted.
View with_axis(const View& view, int axis) {
  View wide = view;
  ++wide.ndim;
  for (int i = wide.ndim - 1; i > axis; --i) {
    wide.shape[i] = view.shape[i - 1];
    wide.stride_bytes[i] = view.stride_bytes[i - 1];
  }
  wide.shape[axis] = 1;
  wide.stride_bytes[axis] = 0;
  return wide;
}

void require_scored(const View& x, int axis, const View& out) {
  require_floating(x);
  require_cpu("binning", x);
  require_dtype(out, {DType::kFloat64});
  require_cpu("binning", out);
  View wanted = x;
  wanted.ndim = 0;
  for (int i = 0; i < x.ndim; ++i)
    if (i != axis) wanted.shape[wanted.ndim++] = x.shape[i];
  if (!same_shape(wanted, out))
    throw ValueError(std::string(out.name) + " has shape " + shape_text(out) + "; it must be " + shape_text(wanted));
  require_no_overlap(x, out);
}

void score_rows(const View& x, int axis, const BinRule& rule, const Target& target, bool entropy, const View& out) {
  if (rule.edges.empty()) require_bins(rule.bins);
  const View scores = with_axis(out, axis);
  const std::int64_t samples = x.shape[axis];
  const LoopPlan plan = plan_rows({{x}, {scores, Columns::kNone, Access::kWrite}}, axis);
  for_each_block(plan, Split::kRows, [&](const Block& block) {
    RowScorer scorer(x, samples, rule, target, entropy);
    for (std::int64_t r = 0; r < block.extent.rows; ++r) {
      const double score = scorer.score(block.operands[0].row<std::byte>(r));
      std::memcpy(block.operands[1].row<std::byte>(r), &score, sizeof score);
    }
  });
}

View row_of(std::vector<double>& numbers) { return view_of("", numbers.data(), DType::kFloat64, std::ssize(numbers)); }

// One byte a unit, seen in w's shape.
View mask_in_shape_of(const View& w, int axis, std::vector<std::uint8_t>& keep) {
  View mask = w;
  mask.name = "mask";
  mask.data = reinterpret_cast<std::byte*>(keep.data());
  mask.dtype = DType::kBool;
  for (int i = 0; i < w.ndim; ++i) mask.stride_bytes[i] = i == axis;
  return mask;
}

void copy_mask(const View& mask, const View& out) {
  for_each_block(plan_elements({{mask}, {out, Columns::kEach, Access::kWrite}}), Split::kColumns, [](const Block& block) {
    for (std::int64_t r = 0; r < block.extent.rows; ++r)
      std::memcpy(block.operands[1].row<std::byte>(r), block.operands[0].row<std::byte>(r), to_size(block.extent.cols));
  });
}

void require_pruned(const View& w, const View& activations, int axis, const View& out) {
  require_floating(w);
  require_cpu("pruning by information", w);
  require_dtype(out, {w.dtype, DType::kBool, DType::kUInt8});
  if (out.dtype == DType::kUInt8)
    require_packed_shape(w, out, Columns::kBits, w);
  else
    require_same_shape(w, out);
  require_same_device(w, out);
  require_no_overlap(w, out, out.dtype == w.dtype ? InPlace::kAllowed : InPlace::kNo);
  require_floating(activations);
  require_cpu("pruning by information", activations);
  if (activations.ndim != 2 || activations.shape[1] != w.shape[axis])
    throw ValueError(std::string(activations.name) + " has shape " + shape_text(activations) + "; it must be (samples, " +
                     std::to_string(w.shape[axis]) + "), a column for each unit of w along its axis " + std::to_string(axis));
  require_no_overlap(activations, out);
}

}  // namespace

void entropy_rows(const View& x, int axis, const BinRule& rule, const View& out) {
  require_scored(x, axis, out);
  score_rows(x, axis, rule, one_class(x.shape[axis]), true, out);
}

void mutual_information(const View& x, const View& y, const BinRule& rule, const View& out) {
  if (x.ndim == 0) throw ValueError(std::string(x.name) + " has no axis of samples; it must have at least one dimension");
  require_scored(x, 0, out);
  require_no_overlap(y, out);
  score_rows(x, 0, rule, target_of(y, x.shape[0], rule), false, out);
}

void prune_units(const View& w, const std::vector<double>& scores, std::int64_t count, int axis, const View& out) {
  std::vector<std::int64_t> order(scores.size());
  std::iota(order.begin(), order.end(), 0);
  std::stable_sort(order.begin(), order.end(),
                   [&](std::int64_t a, std::int64_t b) { return scores[to_size(a)] < scores[to_size(b)]; });
  std::vector<std::uint8_t> keep(scores.size(), 1);
  for (std::int64_t i = 0; i < count; ++i) keep[to_size(order[to_size(i)])] = 0;
  const View mask = mask_in_shape_of(w, axis, keep);
  if (out.dtype == DType::kBool) return copy_mask(mask, out);
  if (out.dtype == DType::kUInt8) return pack_mask(mask, out);
  apply_mask(w, mask, out);
}

void prune_information(const View& w, const View& activations, const View* target, const BinRule& rule, double sparsity, int axis,
                       const View& out) {
  require_pruned(w, activations, axis, out);
  if (target) require_no_overlap(*target, out);
  const std::int64_t count = count_to_prune(sparsity, w.shape[axis]), samples = activations.shape[0];
  std::vector<double> scores(to_size(w.shape[axis]));
  score_rows(activations, 0, rule, target ? target_of(*target, samples, rule) : one_class(samples), !target, row_of(scores));
  prune_units(w, scores, count, axis, out);
}

}  // namespace tersor
