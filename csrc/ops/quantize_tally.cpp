#include "ops/quantize_tally.h"

#include <algorithm>
#include <limits>
#include <vector>

#include "core/parallel.h"
#include "ops/quantize_codes.h"

namespace tersor {

namespace {

// What becomes of a run in scratch stays in L1.
constexpr std::int64_t kRunCols = 4096;
// Columns side by side, and the rows of a group that their numbers are found over before they are joined.
constexpr std::int64_t kStripeCols = 1024, kStripeRows = 256, kTileRows = 32;

struct Run {
  std::int64_t number, first, groups, piece;
};

struct RunCut {
  std::int64_t groups_each, entries_each, pieces, blocks;  // blocks of groups, each cut into pieces
  bool along_rows;
  std::int64_t scale_count, inner;

  explicit RunCut(const GroupLayout& layout) noexcept
      : along_rows(layout.along_rows), scale_count(layout.scale_count()), inner(layout.inner) {
    entries_each = std::min(layout.size, along_rows ? kRunCols : kStripeRows);
    pieces = ceil_div(layout.size, entries_each);
    if (along_rows) {
      groups_each = std::max<std::int64_t>(1, kRunCols / layout.size);
      blocks = ceil_div(scale_count, groups_each);
    } else {
      groups_each = std::clamp<std::int64_t>(inner, 1, kStripeCols);
      blocks = layout.outer * layout.count * ceil_div(inner, groups_each);
    }
  }

  std::int64_t count() const noexcept { return blocks * pieces; }

  // Groups of a block; those of a stripe end with their row.
  Run run(std::int64_t number) const noexcept {
    const std::int64_t block = number / pieces;
    if (along_rows) {
      const std::int64_t first = block * groups_each;
      return {number, first, std::min(groups_each, scale_count - first), number % pieces};
    }
    const std::int64_t stripes = ceil_div(inner, groups_each), col = block % stripes * groups_each;
    return {number, block / stripes * inner + col, std::min(groups_each, inner - col), number % pieces};
  }
};

void reset(const Tallies& tallies, TallyRule rule, std::int64_t groups) noexcept {
  for (int k = 0; k < rule.count; ++k)
    std::fill_n(tallies.of(k), groups, k < rule.sums ? 0.0 : -std::numeric_limits<double>::infinity());
}

double joined(TallyRule rule, int number, double a, double b) noexcept { return number < rule.sums ? a + b : std::max(a, b); }

void join(const Tallies& all, const Tallies& part, TallyRule rule, std::int64_t groups) noexcept {
  for (int k = 0; k < rule.count; ++k)
    for (std::int64_t i = 0; i < groups; ++i) all.of(k)[i] = joined(rule, k, all.of(k)[i], part.of(k)[i]);
}

// The tallies of a run's groups become one.
void join_groups(const Tallies& groups, TallyRule rule, std::int64_t count, const Tallies& one) noexcept {
  reset(one, rule, 1);
  for (std::int64_t i = 0; i < count; ++i) join(one, groups.from(i), rule, 1);
}

void for_each_tile_of(const GroupLayout& layout, const RunCut& cut, const Run& run, FunctionRef<void(const Tile&)> body) {
  const std::int64_t skipped = run.piece * cut.entries_each;
  if (!layout.along_rows) {
    const std::int64_t line = run.first / layout.inner, outer = line / layout.count, begin = line % layout.count * layout.size;
    const std::int64_t end = std::min({begin + skipped + cut.entries_each, begin + layout.size, layout.length});
    for (std::int64_t row = begin + skipped; row < end; row += kTileRows)
      body({outer * layout.length + row, std::min(kTileRows, end - row), run.first % layout.inner, run.groups, run.first,
            run.groups, run.number});
    return;
  }
  for (std::int64_t group = run.first; group < run.first + run.groups;) {
    const std::int64_t row = group / layout.count, of_row = group % layout.count;
    const std::int64_t groups = std::min(run.first + run.groups - group, layout.count - of_row);
    const std::int64_t col = of_row * layout.size + skipped;
    const std::int64_t end = std::min(
        layout.length, cut.pieces > 1 ? std::min(col + cut.entries_each, (of_row + 1) * layout.size) : col + groups * layout.size);
    if (end > col) body({row, 1, col, end - col, group, groups, run.number});
    group += groups;
  }
}

}  // namespace

TallyScratch tally_scratch(const GroupLayout& layout) noexcept {
  const RunCut cut(layout);
  if (layout.along_rows) return {1, cut.pieces > 1 ? cut.entries_each : cut.groups_each * layout.size, cut.groups_each};
  return {kTileRows, cut.groups_each, cut.groups_each};
}

void tally_groups(const GroupLayout& layout, TallyRule rule, std::int64_t item_bytes, std::int64_t scratch_bytes, AddTallies add,
                  TakeTallies take, std::span<double> whole) {
  const RunCut cut(layout);
  const auto in = [](std::vector<double>& numbers, std::int64_t first, std::int64_t step) {
    return Tallies{numbers.data() + first, step};
  };
  // Kernels add to columns by whole vectors.
  const std::int64_t stride = layout.along_rows ? cut.groups_each : padded(cut.groups_each), each = stride * rule.count;
  const auto tally_bytes = padded(each) * static_cast<std::int64_t>(sizeof(double));
  std::vector<double> of_runs(static_cast<std::size_t>(whole.empty() ? 0 : cut.count() * rule.count));
  std::vector<double> of_pieces(static_cast<std::size_t>(cut.pieces > 1 ? cut.count() * each : 0));
  const auto tally = [&](std::int64_t number, std::byte* scratch) {
    const Run run = cut.run(number);
    const Tallies found =
        cut.pieces > 1 ? in(of_pieces, number * each, stride) : Tallies{reinterpret_cast<double*>(scratch), stride};
    reset(found, rule, run.groups);
    for_each_tile_of(layout, cut, run,
                     [&](const Tile& tile) { add(tile, found.from(tile.first_scale - run.first), scratch + tally_bytes); });
    if (!whole.empty()) join_groups(found, rule, run.groups, in(of_runs, number * rule.count, 1));
    if (cut.pieces == 1) take(run.first, run.groups, found);
  };
  for_each_tile({cut.count(), cut.groups_each * cut.entries_each * item_bytes, tally_bytes + scratch_bytes}, tally);
  if (cut.pieces > 1)
    for_each_tile({cut.blocks, cut.pieces * each, 0}, [&](std::int64_t block, std::byte*) {
      const Run run = cut.run(block * cut.pieces);
      const Tallies all = in(of_pieces, run.number * each, stride);
      for (std::int64_t piece = 1; piece < cut.pieces; ++piece)
        join(all, in(of_pieces, (run.number + piece) * each, stride), rule, run.groups);
      take(run.first, run.groups, all);
    });
  if (whole.empty()) return;
  parallel_for(1, [&](std::int64_t) {  // under the default floating-point environment
    const Tallies all{whole.data(), 1};
    reset(all, rule, 1);
    for (std::int64_t run = 0; run < cut.count(); ++run) join(all, in(of_runs, run * rule.count, 1), rule, 1);
  });
}

std::int64_t entries_of_group(const GroupLayout& layout, std::int64_t group) noexcept {
  const std::int64_t before = group / layout.inner % layout.count * layout.size;
  return std::min(layout.size, layout.length - before);
}

}  // namespace tersor
