#include "ops/quantize_entropy.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <span>
#include <vector>

#include "core/float_environment.h"
#include "ops/information.h"
#include "ops/logarithm.h"

namespace tersor {

namespace {

using Counts = std::vector<std::int64_t>;

// --- the histogram ---------------------------------------------------------------------------------------------------------

// Bins are no narrower than this share of the greatest magnitude, nor than a normal number.
constexpr int kLeastWidth = 40, kLeastExponent = -1022;

// Bins [k 2**exponent, (k + 1) 2**exponent) for k from -half up to half.
struct BinsAroundZero {
  int exponent;
  std::int64_t half;

  double edge(std::int64_t bin) const noexcept { return std::ldexp(static_cast<double>(bin - half), exponent); }
};

// What becomes subnormal on the way may lose its sign.
std::int64_t bin_of(double number, int exponent) noexcept {
  const double scaled = std::ldexp(number, -exponent);
  return scaled == 0 && number < 0 ? -1 : static_cast<std::int64_t>(std::floor(scaled));
}

// The narrowest ones of which at most `most` hold the range, and at most as many lie to either side of zero.
BinsAroundZero bins_for(double low, double high, std::int64_t most) noexcept {
  const double magnitude = std::max(std::fabs(low), std::fabs(high));
  int exponent = kLeastExponent;
  if (magnitude > 0) {
    std::frexp(magnitude, &exponent);
    exponent = std::max(exponent - kLeastWidth, kLeastExponent);
  }
  for (;; ++exponent) {
    const std::int64_t first = bin_of(low, exponent), last = bin_of(high, exponent);
    const std::int64_t half = std::max<std::int64_t>({-first, last + 1, 1});
    if (last - first < most && half <= most) return {exponent, half};
  }
}

Counts counts_in(const View& entries, BinsAroundZero bins) {
  const std::int64_t count = 2 * bins.half;
  std::vector<double> edges(static_cast<std::size_t>(count + 1));
  constexpr double kMost = std::numeric_limits<double>::max();  // what is infinite lies beyond
  for (std::int64_t bin = 0; bin <= count; ++bin) edges[static_cast<std::size_t>(bin)] = std::clamp(bins.edge(bin), -kMost, kMost);
  Counts counts(static_cast<std::size_t>(count));
  histogram(entries, edges, view_of("counts", counts.data(), DType::kInt64, count));
  return counts;
}

// --- the search ------------------------------------------------------------------------------------------------------------

constexpr double kInfinity = std::numeric_limits<double>::infinity();
// What each empty bin of a distribution gets, which the others give in equal parts.
constexpr double kOfEmpty = 1e-4;

// Of each of these, which count 1 at least; nothing could be compared where that is no less.
double given_by_filled(std::int64_t empty, std::int64_t filled) noexcept {
  return filled ? kOfEmpty * static_cast<double>(empty) / static_cast<double>(filled) : kInfinity;
}

double times_logarithm(double x) noexcept { return x * natural_logarithm(x); }

// Bins [begin, end).
struct Window {
  std::int64_t begin, end;
};

// What some bins hold of the numbers within a window and of those that lie outside, which its outermost bins take up.
struct Part {
  std::int64_t inside, cut, bins, filled;

  // Smoothed.
  double mass(double given) const noexcept {
    return static_cast<double>(cut) - given * static_cast<double>(filled) + kOfEmpty * static_cast<double>(bins - filled);
  }
};

class EntropySearch {
 public:
  EntropySearch(const Counts& counts, int levels)
      : counts_(counts), levels_(levels), size_(static_cast<std::int64_t>(counts.size())), before_(1), filled_before_(1) {
    for (const std::int64_t count : counts) {
      before_.push_back(before_.back() + count);
      filled_before_.push_back(filled_before_.back() + (count > 0));
      if (count > 0) distinct_.push_back(count);
    }
    std::sort(distinct_.begin(), distinct_.end());
    distinct_.erase(std::unique(distinct_.begin(), distinct_.end()), distinct_.end());
    times_.resize(distinct_.size());
  }

  // The first window around the middle with the least divergence; all bins where no window has one.
  Window best() {
    const std::int64_t middle = size_ / 2;
    inner_ = {middle, middle};
    Window best{0, size_};
    double least = kInfinity;
    for (std::int64_t half = levels_ / 2; half <= middle; ++half) {
      const Window window{middle - half, std::min(middle + half + 1, size_)};
      widen_inner({window.begin + 1, window.end - 1});
      if (const double found = divergence(window); found < least) {
        least = found;
        best = window;
      }
    }
    return best;
  }

 private:
  struct Level {
    std::int64_t spread;  // what each of its bins counts
    Part part;
  };

  std::int64_t total() const noexcept { return before_.back(); }
  static std::int64_t at(const Counts& numbers, std::int64_t i) noexcept { return numbers[static_cast<std::size_t>(i)]; }

  // How often each count occurs in the bins of a window but the outermost, so that a logarithm is taken once for all of them.
  void widen_inner(Window inner) {
    const auto add = [&](std::int64_t bin) {
      const std::int64_t count = at(counts_, bin);
      if (count)
        ++times_[static_cast<std::size_t>(std::lower_bound(distinct_.begin(), distinct_.end(), count) - distinct_.begin())];
    };
    while (inner_.begin > inner.begin) add(--inner_.begin);
    while (inner_.end < inner.end) add(inner_.end++);
  }

  Part part(Window bins, Window window) const noexcept {
    Part part{at(before_, bins.end) - at(before_, bins.begin), 0, bins.end - bins.begin,
              at(filled_before_, bins.end) - at(filled_before_, bins.begin)};
    part.cut = part.inside;
    if (bins.begin == window.begin && bins.end > bins.begin) take_up(window.begin, at(before_, window.begin), part);
    if (bins.end == window.end && bins.end > bins.begin) take_up(window.end - 1, total() - at(before_, window.end), part);
    return part;
  }
  void take_up(std::int64_t bin, std::int64_t outside, Part& part) const noexcept {
    part.cut += outside;
    part.filled += outside && !at(counts_, bin);
  }

  // The sum of x ln x over the smoothed bins of a window.
  double sum_of_logarithms(Window window, Part whole, double given) const noexcept {
    double sum = static_cast<double>(whole.bins - whole.filled) * times_logarithm(kOfEmpty);
    for (std::size_t i = 0; i < distinct_.size(); ++i)
      if (times_[i]) sum += static_cast<double>(times_[i]) * times_logarithm(static_cast<double>(distinct_[i]) - given);
    for (const std::int64_t outermost : {at(before_, window.begin + 1), total() - at(before_, window.end - 1)})
      if (outermost) sum += times_logarithm(static_cast<double>(outermost) - given);
    return sum;
  }

  // Of a distribution p, the numbers cut to a window, from q, where each level's count is spread over its bins as if those were
  // the ones that are filled. Bins that are left over belong to the last level's count, and are empty in q.
  double divergence(Window window) {
    const Part whole = part(window, window);
    const double given = given_by_filled(whole.bins - whole.filled, whole.filled);
    const std::int64_t each = whole.bins / levels_, rest = window.begin + each * levels_;
    const Part left_over = part({rest, window.end}, window);
    of_levels_.clear();
    std::int64_t spread_total = 0, spread_bins = 0;
    for (int level = 0; level < levels_; ++level) {
      const std::int64_t begin = window.begin + level * each;
      const Part own = part({begin, begin + each}, window);
      const std::int64_t count = own.inside + (level + 1 == levels_ ? left_over.inside : 0);
      const std::int64_t spread = own.filled ? count / own.filled : 0;
      of_levels_.push_back({spread, own});
      spread_total += spread * each;
      spread_bins += spread ? each : 0;
    }
    const double given_by_spread = given_by_filled(whole.bins - spread_bins, spread_bins);
    if (!(given < 1 && given_by_spread < 1)) return kInfinity;
    double cross = left_over.mass(given) * natural_logarithm(kOfEmpty);
    for (const Level& level : of_levels_)
      cross +=
          level.part.mass(given) * natural_logarithm(level.spread ? static_cast<double>(level.spread) - given_by_spread : kOfEmpty);
    const auto numbers = static_cast<double>(total());
    return (sum_of_logarithms(window, whole, given) - cross) / numbers +
           natural_logarithm(static_cast<double>(spread_total) / numbers);
  }

  const Counts& counts_;
  int levels_;
  std::int64_t size_;
  Counts before_, filled_before_, distinct_, times_;
  Window inner_{0, 0};
  std::vector<Level> of_levels_;
};

}  // namespace

RangeBounds entropy_bounds(const View& entries, double low, double high, Entropy entropy) {
  const DefaultFloatEnvironment environment;
  const BinsAroundZero bins = bins_for(low, high, entropy.bins);
  const Window found = EntropySearch(counts_in(entries, bins), entropy.levels).best();
  return {std::clamp(bins.edge(found.begin), low, high), std::clamp(bins.edge(found.end), low, high)};
}

}  // namespace tersor
