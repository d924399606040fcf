#include "ops/bin_grid.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstring>
#include <limits>
#include <string>
#include <type_traits>

#include "core/check.h"
#include "core/float_environment.h"
#include "ops/check_views.h"

namespace tersor {

namespace {

template <class Math>
using KeyOf = std::conditional_t<sizeof(Math) == 4, std::int32_t, std::int64_t>;

// Keys order as numbers do: an order of all of them, in which the next number has the next key.
template <class Math>
KeyOf<Math> key_of(Math number) noexcept {
  const auto pattern = std::bit_cast<KeyOf<Math>>(number);
  return pattern < 0 ? static_cast<KeyOf<Math>>(pattern ^ std::numeric_limits<KeyOf<Math>>::max()) : pattern;
}
template <class Math>
Math number_of(KeyOf<Math> key) noexcept {
  return std::bit_cast<Math>(key < 0 ? static_cast<KeyOf<Math>>(key ^ std::numeric_limits<KeyOf<Math>>::max()) : key);
}

// The key of the least number of the type that is at least the edge, or greater than it. Behind infinity comes NaN.
template <class Math>
KeyOf<Math> threshold_at(double edge) noexcept {
  const Math nearest = static_cast<Math>(edge);
  if (static_cast<double>(nearest) < edge) return static_cast<KeyOf<Math>>(key_of(nearest) + 1);
  return key_of(nearest == 0 ? -Math{0} : nearest);
}
template <class Math>
KeyOf<Math> threshold_beyond(double edge) noexcept {
  const Math nearest = static_cast<Math>(edge);
  if (static_cast<double>(nearest) > edge) return key_of(nearest == 0 ? -Math{0} : nearest);
  return static_cast<KeyOf<Math>>(key_of(nearest == 0 ? Math{0} : nearest) + 1);
}

// An even grid of cells from low to high. Any will do; a good one has few edges in each cell.
template <class Math>
struct Cells {
  Math origin, scale, last;

  Cells(double low, double high, std::int64_t count) noexcept : last(static_cast<Math>(count)) {
    using Limits = std::numeric_limits<Math>;
    constexpr double kMost = Limits::max(), kLeast = Limits::min();
    const double width = 0.5 * high - 0.5 * low;
    origin = static_cast<Math>(std::clamp(low, -kMost, kMost));
    scale = static_cast<Math>(width > 0 ? std::clamp(0.5 * static_cast<double>(count) / width, kLeast, kMost) : kMost);
  }

  // How near to an integer the place of a number must be to be sure, given those of the thresholds: they should be half-way, and
  // each number is in order with them. Twice as far as the farthest of them is off, since equal places tell no order.
  Math margin(std::span<const KeyOf<Math>> keys) const noexcept {
    constexpr Math kMostOff = Math{1} / 16;
    Math most = 0;
    for (std::size_t i = 0; i < keys.size(); ++i) {
      const Math place = (number_of<Math>(keys[i]) - origin) * scale - Math{0.5};
      const Math off = std::fabs(place - (static_cast<Math>(i) - Math{0.5}));
      if (!(off < kMostOff)) return 0;
      most = std::max(most, off);
    }
    return Math{0.5} - 2 * most - std::numeric_limits<Math>::epsilon();
  }

  // What the kernels compute.
  std::int64_t cell_of(Math number) const noexcept {
    Math place = (number - origin) * scale;
    place = place < last ? place : last;
    place = place > 0 ? place : 0;
    return static_cast<std::int64_t>(std::nearbyint(place));
  }
};

// The outermost finite edges.
struct Span {
  double low, high;
};
Span finite_span(std::span<const double> edges) noexcept {
  const auto finite = [](double edge) { return std::isfinite(edge); };
  const auto first = std::find_if(edges.begin(), edges.end(), finite);
  if (first == edges.end()) return {0, 1};
  return {*first, *std::find_if(edges.rbegin(), edges.rend(), finite)};
}

}  // namespace

void require_bins(std::int64_t bins) {
  if (bins < 1 || bins > kMostBins)
    throw ValueError("bins must be in [1, " + std::to_string(kMostBins) + "], got " + std::to_string(bins));
}

std::vector<double> read_edges(const View& edges) {
  require_dtype(edges, {DType::kFloat64});
  require_cpu("binning", edges);
  if (edges.ndim != 1 || edges.shape[0] < 2)
    throw ValueError(std::string(edges.name) + " has shape " + shape_text(edges) + "; edges are one row of at least two numbers");
  require_bins(edges.shape[0] - 1);
  std::vector<double> numbers(static_cast<std::size_t>(edges.shape[0]));
  for (std::size_t i = 0; i < numbers.size(); ++i)
    std::memcpy(&numbers[i], edges.data + static_cast<std::int64_t>(i) * edges.stride_bytes[0], sizeof(double));
  for (std::size_t i = 0; i < numbers.size(); ++i)
    if (std::isnan(numbers[i]) || (i > 0 && numbers[i] < numbers[i - 1]))
      throw ValueError(std::string(edges.name) + " must not decrease, nor hold NaN; sort the edges");
  return numbers;
}

// numpy.linspace's formula, so that the edges are NumPy's bit for bit.
std::vector<double> uniform_edges(double low, double high, std::int64_t bins, const char* name) {
  require_bins(bins);
  const DefaultFloatEnvironment environment;
  if (low == high) {
    low -= 0.5;
    high += 0.5;
  }
  const double width = high - low, count = static_cast<double>(bins), step = width / count;
  if (!std::isfinite(width))
    throw ValueError(std::string(name) + " spans more than float64 holds, from " + std::to_string(low) + " to " +
                     std::to_string(high) + "; scale it down");
  std::vector<double> edges(static_cast<std::size_t>(bins + 1));
  for (std::int64_t i = 0; i < bins; ++i) {
    const double place = static_cast<double>(i), above = step == 0 ? place / count * width : place * step;
    edges[static_cast<std::size_t>(i)] = std::min(high, above + low);
  }
  edges.back() = high;
  return edges;
}

template <class Math>
void BinFinder::build(std::span<const double> edges) {
  using Key = KeyOf<Math>;
  const DefaultFloatEnvironment environment;
  std::vector<Key> keys;
  keys.reserve(edges.size());
  for (const double edge : edges.first(edges.size() - 1)) keys.push_back(threshold_at<Math>(edge));
  keys.push_back(threshold_beyond<Math>(edges.back()));

  const auto [low, high] = finite_span(edges);
  const auto cell_of_key = [](const Cells<Math>& cells, Key key) {
    const Math number = number_of<Math>(key);
    return std::isnan(number) ? static_cast<std::int64_t>(cells.last) : cells.cell_of(number);
  };
  Cells<Math> cells(low, high, bins_);
  bool one_per_cell = true;
  for (std::size_t i = 0; i < keys.size() && one_per_cell; ++i)
    one_per_cell = cell_of_key(cells, keys[i]) == static_cast<std::int64_t>(i);
  const Math margin = one_per_cell ? cells.margin(keys) : 0;
  int steps = 1;
  if (!one_per_cell) {
    const std::int64_t count = std::max(bins_, std::min<std::int64_t>(16 * bins_, 1 << 14));
    cells = Cells<Math>(low, high, count);
    first_.assign(static_cast<std::size_t>(count + 2), 0);
    std::uint32_t most = 0;
    for (const Key key : keys) most = std::max(most, ++first_[static_cast<std::size_t>(cell_of_key(cells, key) + 1)]);
    for (std::size_t cell = 1; cell < first_.size(); ++cell) first_[cell] += first_[cell - 1];
    steps = static_cast<int>(std::bit_width(most));
  }
  for (Key& key : keys) key ^= std::numeric_limits<Key>::min();  // the order of unsigned integers, as the kernels have it
  keys.resize(keys.size() + (std::size_t{1} << steps), Key{-1});
  memory_.resize((keys.size() * sizeof(Key) + sizeof(std::int64_t) - 1) / sizeof(std::int64_t));
  std::memcpy(memory_.data(), keys.data(), keys.size() * sizeof(Key));
  grid_ = {static_cast<double>(cells.origin),
           static_cast<double>(cells.scale),
           static_cast<double>(cells.last),
           static_cast<double>(margin),
           one_per_cell ? nullptr : first_.data(),
           steps,
           reinterpret_cast<const std::byte*>(memory_.data())};
}

BinFinder::BinFinder(std::span<const double> edges, DType dtype) : bins_(static_cast<std::int64_t>(edges.size()) - 1) {
  if (arithmetic_dtype(dtype) == DType::kFloat64)
    build<double>(edges);
  else
    build<float>(edges);
}

}  // namespace tersor
