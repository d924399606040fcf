#include "ops/select.h"

#include <algorithm>
#include <atomic>
#include <bit>
#include <cmath>
#include <cstring>
#include <limits>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "core/check.h"
#include "core/float_environment.h"
#include "core/parallel.h"
#include "cpu/kernels.h"
#include "ops/check_views.h"
#include "ops/float_format.h"
#include "ops/loop.h"

namespace tersor {

namespace {

using Bracket = cpu::SelectKernels::Bracket;

constexpr std::int64_t kBracketCols = 4096;  // at a time, so that what is collected passes through L1
constexpr std::int64_t kFew = 2048;          // so few that they are collected whole

Bracket& bracket_of(DType dtype, KeyOrder order) {
  const cpu::SelectKernels& kernels = cpu::select_kernels();
  return (order == KeyOrder::kMagnitude ? kernels.bracket_magnitudes : kernels.bracket_values)[dtype];
}
template <class Key>
Bracket& bracket_of_keys() {
  const cpu::SelectKernels& kernels = cpu::select_kernels();
  if constexpr (sizeof(Key) == 2) return kernels.bracket_keys_16;
  if constexpr (sizeof(Key) == 4) return kernels.bracket_keys_32;
  if constexpr (sizeof(Key) == 8) return kernels.bracket_keys_64;
}

// splitmix64 (Steele, Lea and Flood, 2014): where a sample looks.
std::uint64_t mix(std::uint64_t word) noexcept {
  word = (word ^ (word >> 30)) * 0xBF58476D1CE4E5B9u;
  word = (word ^ (word >> 27)) * 0x94D049BB133111EBu;
  return word ^ (word >> 31);
}

// One element out of each of `count` equal stretches of `size` elements.
std::int64_t sampled_index(std::int64_t i, std::int64_t count, std::int64_t size, std::uint64_t seed) noexcept {
  const double place = static_cast<double>(i) + static_cast<double>(mix(seed + static_cast<std::uint64_t>(i)) >> 11) * 0x1p-53;
  return std::min(size - 1, static_cast<std::int64_t>(place * (static_cast<double>(size) / static_cast<double>(count))));
}

// Keys strictly between those of a bracket; what does not fit is counted all the same.
template <class Key>
class Collected {
 public:
  Collected(std::int64_t capacity, bool with_places)
      : keys_(new Key[static_cast<std::size_t>(capacity)]), capacity_(capacity), with_places_(with_places) {}

  // By any thread: keys from the stretch that begins at element `position`.
  void append(std::int64_t position, const Key* keys, std::int64_t count) {
    const std::int64_t first = count_.fetch_add(count, std::memory_order_relaxed);
    if (first + count > capacity_) return;
    std::memcpy(keys_.get() + first, keys, static_cast<std::size_t>(count) * sizeof(Key));
    if (!with_places_) return;
    const std::lock_guard lock(mutex_);
    parts_.push_back({position, first, count});
  }

  bool complete() const noexcept { return count_.load(std::memory_order_relaxed) <= capacity_; }
  Key* keys() const noexcept { return keys_.get(); }

  void find(Key key, std::vector<KeyStretch>& stretches) const {
    for (const Part& part : parts_) {
      const Key* const first = keys() + part.first;
      if (const std::int64_t count = std::count(first, first + part.count, key)) stretches.push_back({part.position, count});
    }
  }

 private:
  struct Part {
    std::int64_t position, first, count;
  };
  std::unique_ptr<Key[]> keys_;
  std::int64_t capacity_;
  bool with_places_;
  std::atomic<std::int64_t> count_{0};
  std::mutex mutex_;
  std::vector<Part> parts_;
};

cpu::BracketCounts operator+(const cpu::BracketCounts& a, const cpu::BracketCounts& b) noexcept {
  return {a.below_low + b.below_low, a.up_to_low + b.up_to_low, a.within + b.within, a.above_high + b.above_high};
}

// A dense row, whose first element has the number `position`, through the kernel, a stretch at a time.
template <class Key>
cpu::BracketCounts scan_row(Bracket& kernel, const std::byte* row, std::int64_t cols, Key low, Key high, std::int64_t position,
                            Collected<Key>* collected) {
  Key within[kBracketCols + cpu::kBracketSlack];
  cpu::BracketCounts counts{};
  for (std::int64_t col = 0; col < cols; col += kBracketCols) {
    const cpu::BracketCounts part = kernel(row + col * static_cast<std::int64_t>(sizeof(Key)), std::min(kBracketCols, cols - col),
                                           low, high, reinterpret_cast<std::byte*>(within));
    if (part.within && collected) collected->append(position + col, within, part.within);
    counts = counts + part;
  }
  return counts;
}

// A multiset of keys that can be sampled and scanned.
template <class Key>
class Source {
 public:
  virtual ~Source() = default;
  virtual std::int64_t size() const = 0;
  virtual void sample(std::uint64_t seed, std::int64_t count, Key* keys) const = 0;
  virtual cpu::BracketCounts scan(Key low, Key high, Collected<Key>* collected) const = 0;
};

// Raw items become their keys: all of them lie between the least and the most integer.
template <class Key>
void turn_into_keys(Bracket& kernel, Key* items, std::int64_t count) {
  using Limits = std::numeric_limits<Key>;
  Key keys[kBracketCols + cpu::kBracketSlack];
  for (std::int64_t i = 0; i < count; i += kBracketCols) {
    const std::int64_t part = std::min(kBracketCols, count - i);
    kernel(reinterpret_cast<const std::byte*>(items + i), part, Limits::min(), Limits::max(), reinterpret_cast<std::byte*>(keys));
    std::memcpy(items + i, keys, static_cast<std::size_t>(part) * sizeof(Key));
  }
}

template <class Key>
class RowSource final : public Source<Key> {
 public:
  RowSource(Bracket& kernel, const std::byte* row, std::int64_t cols) : kernel_(kernel), row_(row), cols_(cols) {}
  std::int64_t size() const override { return cols_; }
  void sample(std::uint64_t seed, std::int64_t count, Key* keys) const override {
    for (std::int64_t i = 0; i < count; ++i) {
      const std::int64_t index = sampled_index(i, count, cols_, seed);
      std::memcpy(keys + i, row_ + index * static_cast<std::int64_t>(sizeof(Key)), sizeof(Key));
    }
    turn_into_keys(kernel_, keys, count);
  }
  cpu::BracketCounts scan(Key low, Key high, Collected<Key>* collected) const override {
    return scan_row(kernel_, row_, cols_, low, high, 0, collected);
  }

 private:
  Bracket& kernel_;
  const std::byte* row_;
  std::int64_t cols_;
};

template <class Key>
class ViewsSource final : public Source<Key> {
 public:
  // Elements are numbered in C order where `in_order`, else as memory has them.
  ViewsSource(std::span<const View> views, KeyOrder order, bool in_order) : kernel_(bracket_of(views[0].dtype, order)) {
    for (const View& view : views) {
      plans_.push_back(in_order ? plan_in_order({{view}}) : plan_elements({{view}}));
      ends_.push_back(size() + view.size());
    }
  }
  std::int64_t size() const override { return ends_.empty() ? 0 : ends_.back(); }

  void sample(std::uint64_t seed, std::int64_t count, Key* keys) const override {
    constexpr std::int64_t kEach = 4096;
    parallel_for((count + kEach - 1) / kEach, [&](std::int64_t chunk) {
      const std::int64_t first = chunk * kEach, last = std::min(count, first + kEach);
      std::size_t view = 0;
      for (std::int64_t i = first; i < last; ++i) copy_item(sampled_index(i, count, size(), seed), view, keys + i);
      turn_into_keys(kernel_, keys + first, last - first);
    });
  }

  cpu::BracketCounts scan(Key low, Key high, Collected<Key>* collected) const override {
    std::atomic<std::int64_t> below_low{0}, up_to_low{0}, within{0}, above_high{0};
    for (std::size_t view = 0; view < plans_.size(); ++view) {
      for_each_block(plans_[view], Split::kColumns, [&](const Block& block) {
        cpu::BracketCounts counts{};
        for (std::int64_t r = 0; r < block.extent.rows; ++r)
          counts = counts + scan_row(kernel_, block.operands[0].row<std::byte>(r), block.extent.cols, low, high,
                                     position_of(view, block, r), collected);
        below_low.fetch_add(counts.below_low, std::memory_order_relaxed);
        up_to_low.fetch_add(counts.up_to_low, std::memory_order_relaxed);
        within.fetch_add(counts.within, std::memory_order_relaxed);
        above_high.fetch_add(counts.above_high, std::memory_order_relaxed);
      });
    }
    return {below_low, up_to_low, within, above_high};
  }

  // Every stretch that holds the key.
  std::vector<KeyStretch> stretches_with(Key key) const {
    std::vector<KeyStretch> stretches;
    std::mutex mutex;
    for (std::size_t view = 0; view < plans_.size(); ++view) {
      for_each_block(plans_[view], Split::kColumns, [&](const Block& block) {
        for (std::int64_t r = 0; r < block.extent.rows; ++r)
          for (std::int64_t col = 0; col < block.extent.cols; col += kBracketCols) {
            const std::int64_t cols = std::min(kBracketCols, block.extent.cols - col);
            const std::byte* from = block.operands[0].row<std::byte>(r) + col * static_cast<std::int64_t>(sizeof(Key));
            const cpu::BracketCounts counts = scan_row<Key>(kernel_, from, cols, key, key, 0, nullptr);
            if (counts.up_to_low == counts.below_low) continue;
            const std::lock_guard lock(mutex);
            stretches.push_back({position_of(view, block, r) + col, counts.up_to_low - counts.below_low});
          }
      });
    }
    return stretches;
  }

  // The number of the nth element that has the key, from element `position` on; it is less than a stretch away.
  std::int64_t nth_from(std::int64_t position, Key key, std::int64_t n) const {
    Key keys[kBracketCols];
    const std::int64_t count = std::min(kBracketCols, size() - position);
    std::size_t view = 0;
    for (std::int64_t i = 0; i < count; ++i) copy_item(position + i, view, keys + i);
    turn_into_keys(kernel_, keys, count);
    std::int64_t i = 0;
    for (; keys[i] != key || n-- > 0; ++i) continue;
    return position + i;
  }

 private:
  std::int64_t start_of(std::size_t view) const { return view ? ends_[view - 1] : 0; }
  std::int64_t position_of(std::size_t view, const Block& block, std::int64_t row) const {
    return start_of(view) + (block.first_row + row) * plans_[view].cols + block.first_col;
  }

  // `view`: at most that of the element; it is left there, for the next.
  void copy_item(std::int64_t index, std::size_t& view, Key* to) const {
    while (index >= ends_[view]) ++view;
    std::memcpy(to, item_at(plans_[view], index - start_of(view)), sizeof(Key));
  }
  static const std::byte* item_at(const LoopPlan& plan, std::int64_t index) noexcept {
    const std::byte* item = plan.operands[0].data + index % plan.cols * plan.operands[0].item_stride_bytes;
    index /= plan.cols;
    for (int axis = plan.outer_ndim - 1; axis >= 0; --axis) {
      item += index % plan.outer_shape[axis] * plan.operands[0].outer_stride_bytes[axis];
      index /= plan.outer_shape[axis];
    }
    return item;
  }

  Bracket& kernel_;
  std::vector<LoopPlan> plans_;
  std::vector<std::int64_t> ends_;  // elements up to and with each view
};

template <class Key>
class Selector {
 public:
  // Where `stretches` is given, it gets those that hold the selected key if the keys collected tell them, else none.
  Selector(const Source<Key>& source, std::int64_t rank, std::vector<KeyStretch>* stretches = nullptr)
      : source_(source), size_(source.size()), rank_(rank), stretches_(stretches) {}

  Selection run() {
    if (size_ <= kFew) return among_few();
    for (int attempt = 0;; ++attempt) {
      const Interval bracket = attempt < kSampledAttempts ? sampled(attempt) : halved();
      if (const auto found = try_bracket(bracket)) return *found;
    }
  }

 private:
  using Limits = std::numeric_limits<Key>;
  struct Interval {
    Key low, high;
  };

  // A bracket of so many standard deviations of the sample's rank misses one time in a thousand.
  static constexpr double kDeviations = 3.3;
  static constexpr int kSampledAttempts = 2;

  double share() const noexcept { return static_cast<double>(rank_) / static_cast<double>(size_); }

  // Work is proportional to sample + within, and within to size / sqrt(sample): the two are about equal here.
  std::int64_t sample_size() const noexcept {
    return static_cast<std::int64_t>(std::pow(2.4 * static_cast<double>(size_), 2.0 / 3));
  }
  std::int64_t capacity() const noexcept {
    const double expected = kDeviations * static_cast<double>(size_) / std::sqrt(static_cast<double>(sample_size()));
    return static_cast<std::int64_t>(1.25 * expected) + kFew;
  }

  Interval sampled(int attempt) const {
    const std::int64_t count = sample_size();
    const std::unique_ptr<Key[]> keys(new Key[static_cast<std::size_t>(count)]);
    source_.sample(mix(static_cast<std::uint64_t>(size_)) + static_cast<std::uint64_t>(attempt) * 0x9E3779B97F4A7C15u, count,
                   keys.get());
    const double place = share() * static_cast<double>(count);
    const double reach = kDeviations * (attempt + 1) * std::sqrt(place * (1 - share())) + 4;
    const RowSource<Key> sample(bracket_of_keys<Key>(), reinterpret_cast<const std::byte*>(keys.get()), count);
    const auto key_at = [&](double at, Key beyond) {
      const auto rank = static_cast<std::int64_t>(std::floor(at));
      return rank < 0 || rank >= count ? beyond : static_cast<Key>(Selector(sample, rank).run().key);
    };
    return {key_at(place - reach, Limits::min()), key_at(place + reach, Limits::max())};
  }

  // Halves what the counts have left: at most as many steps as a key has bits.
  Interval halved() const noexcept {
    const auto low = static_cast<std::int64_t>(least_), high = static_cast<std::int64_t>(most_);
    return {least_ == Limits::min() ? least_ : static_cast<Key>(least_ - 1), static_cast<Key>(low + (high / 2 - low / 2))};
  }

  // The rank's key, where the counts tell it, or else what is left of the keys it may have.
  std::unique_ptr<Selection> try_bracket(Interval bracket) {
    Collected<Key> collected(capacity(), stretches_ != nullptr);
    const cpu::BracketCounts counts = source_.scan(bracket.low, bracket.high, &collected);
    const std::int64_t below_high = counts.up_to_low + counts.within, up_to_high = size_ - counts.above_high;
    const auto selection = [](Key key, std::int64_t below, std::int64_t up_to) {
      return std::unique_ptr<Selection>(new Selection{key, below, up_to});
    };
    if (rank_ < counts.below_low) {
      most_ = static_cast<Key>(bracket.low - 1);
    } else if (rank_ < counts.up_to_low) {
      return selection(bracket.low, counts.below_low, counts.up_to_low);
    } else if (rank_ < below_high) {
      least_ = static_cast<Key>(bracket.low + 1);
      most_ = static_cast<Key>(bracket.high - 1);
      if (!collected.complete()) return nullptr;
      const RowSource<Key> within(bracket_of_keys<Key>(), reinterpret_cast<const std::byte*>(collected.keys()), counts.within);
      const Selection inner = Selector(within, rank_ - counts.up_to_low).run();
      if (stretches_) collected.find(static_cast<Key>(inner.key), *stretches_);
      return selection(static_cast<Key>(inner.key), inner.below + counts.up_to_low, inner.up_to + counts.up_to_low);
    } else if (rank_ < up_to_high) {
      return selection(bracket.high, below_high, up_to_high);
    } else {
      least_ = static_cast<Key>(bracket.high + 1);
    }
    return nullptr;
  }

  Selection among_few() const {
    Collected<Key> all(size_, false);
    source_.scan(Limits::min(), Limits::max(), &all);
    Key* const end = all.keys() + size_;
    std::nth_element(all.keys(), all.keys() + rank_, end);
    const Key key = all.keys()[rank_];
    return {key, std::count_if(all.keys(), end, [=](Key other) { return other < key; }),
            std::count_if(all.keys(), end, [=](Key other) { return other <= key; })};
  }

  const Source<Key>& source_;
  std::int64_t size_, rank_;
  std::vector<KeyStretch>* stretches_;
  Key least_ = Limits::min(), most_ = Limits::max();
};

// Calls body with a value of the key type of a dtype.
template <class Body>
auto with_key_type(DType dtype, Body body) {
  switch (item_size(dtype)) {
    case 2: return body(std::int16_t{});
    case 4: return body(std::int32_t{});
    default: return body(std::int64_t{});
  }
}

// Keys of magnitudes are the bits of the value.
double magnitude_of(std::int64_t key, DType dtype) noexcept {
  if (dtype == DType::kFloat64) return std::bit_cast<double>(key);
  const FloatFormat format = float_format(dtype);
  if (key >= format.infinity_bits()) return std::numeric_limits<double>::infinity();
  const std::int64_t implicit = std::int64_t{1} << format.mantissa_bits, exponent = key >> format.mantissa_bits;
  const std::int64_t significand = exponent ? (key & (implicit - 1)) | implicit : key;
  const int above_least = static_cast<int>(std::max<std::int64_t>(exponent, 1)) - 1;
  return std::ldexp(static_cast<double>(significand), above_least + format.least_exponent - format.mantissa_bits);
}

}  // namespace

std::int64_t nan_key(DType dtype) noexcept { return float_format(dtype).infinity_bits() + 1; }

double value_of_key(std::int64_t key, DType dtype, KeyOrder order) noexcept {
  if (key == nan_key(dtype)) return std::numeric_limits<double>::quiet_NaN();
  return order == KeyOrder::kValue && key < 0 ? -magnitude_of(~key, dtype) : magnitude_of(key, dtype);
}

Selection select_rank(std::span<const View> views, KeyOrder order, std::int64_t rank) {
  return with_key_type(views[0].dtype, [&]<class Key>(Key) {
    const ViewsSource<Key> source(views, order, false);
    return Selector<Key>(source, rank).run();
  });
}

PlacedSelection::PlacedSelection(std::span<const View> views, KeyOrder order, std::int64_t rank) : views_(views), order_(order) {
  selection_ = with_key_type(views[0].dtype, [&]<class Key>(Key) {
    const ViewsSource<Key> source(views, order, true);
    return Selector<Key>(source, rank, &stretches_).run();
  });
}

std::int64_t PlacedSelection::place_of(std::int64_t nth) {
  return with_key_type(views_[0].dtype, [&]<class Key>(Key) {
    const ViewsSource<Key> source(views_, order_, true);
    const auto key = static_cast<Key>(selection_.key);
    if (stretches_.empty()) stretches_ = source.stretches_with(key);
    std::sort(stretches_.begin(), stretches_.end(),
              [](const KeyStretch& a, const KeyStretch& b) { return a.position < b.position; });
    auto stretch = stretches_.begin();
    for (; nth >= stretch->count; ++stretch) nth -= stretch->count;
    return source.nth_from(stretch->position, key, nth);
  });
}

Selection select_rank_in_row(const std::byte* row, std::int64_t cols, DType dtype, KeyOrder order, std::int64_t rank) {
  return with_key_type(dtype, [&]<class Key>(Key) {
    const RowSource<Key> source(bracket_of(dtype, order), row, cols);
    return Selector<Key>(source, rank).run();
  });
}

std::int64_t find_key(const std::byte* row, std::int64_t cols, DType dtype, KeyOrder order, std::int64_t key, std::int64_t nth) {
  return with_key_type(dtype, [&]<class Key>(Key) {
    const auto wanted = static_cast<Key>(key);
    const auto count = [&](std::int64_t begin, std::int64_t end) {
      const std::byte* from = row + begin * static_cast<std::int64_t>(sizeof(Key));
      const cpu::BracketCounts counts = scan_row<Key>(bracket_of(dtype, order), from, end - begin, wanted, wanted, 0, nullptr);
      return counts.up_to_low - counts.below_low;
    };
    // Halves the stretch that holds it.
    std::int64_t first = 0, last = cols;
    while (last - first > 1) {
      const std::int64_t middle = first + (last - first) / 2, here = count(first, middle);
      if (nth < here) {
        last = middle;
      } else {
        nth -= here;
        first = middle;
      }
    }
    return first;
  });
}

std::int64_t count_to_prune(double sparsity, std::int64_t size) {
  if (!(sparsity >= 0 && sparsity <= 1)) throw ValueError("sparsity must be in [0, 1], got " + std::to_string(sparsity));
  const DefaultFloatEnvironment environment;
  return static_cast<std::int64_t>(std::nearbyint(sparsity * static_cast<double>(size)));
}

namespace {

// Their elements, of which there is at least one.
std::int64_t require_elements(std::span<const View> views) {
  for (const View& view : views) {
    require_floating(view);
    require_same_dtype(views[0], view);
    require_cpu("selection", view);
  }
  const std::int64_t size = total_size(views);
  if (size == 0) throw ValueError(std::string(views[0].name) + " is empty; there is no element to select");
  return size;
}

void require_rank(std::span<const View> views, std::int64_t k) {
  const std::int64_t size = require_elements(views);
  if (k < 1 || k > size)
    throw ValueError("k must be in [1, " + std::to_string(size) + "], the number of elements; got " + std::to_string(k));
}

}  // namespace

double kth(std::span<const View> views, KeyOrder order, std::int64_t k) {
  require_rank(views, k);
  return value_of_key(select_rank(views, order, k - 1).key, views[0].dtype, order);
}

double magnitude_threshold(std::span<const View> views, double sparsity) {
  const std::int64_t size = require_elements(views), count = count_to_prune(sparsity, size);
  return count == size ? std::numeric_limits<double>::infinity() : kth(views, KeyOrder::kMagnitude, count + 1);
}

Neighbours kth_and_next(std::span<const View> views, std::int64_t k) {
  require_rank(views, k);
  const DType dtype = views[0].dtype;
  const Selection low = select_rank(views, KeyOrder::kValue, k - 1);
  std::int64_t size = 0, numbers = 0;
  with_key_type(dtype, [&]<class Key>(Key) {
    const ViewsSource<Key> source(views, KeyOrder::kValue, false);
    const auto nan = static_cast<Key>(nan_key(dtype));
    size = source.size();
    numbers = source.scan(nan, nan, nullptr).below_low;
  });
  if (numbers < size) return {std::numeric_limits<double>::quiet_NaN(), std::numeric_limits<double>::quiet_NaN()};
  const std::int64_t next = k < low.up_to || k >= size ? low.key : select_rank(views, KeyOrder::kValue, k).key;
  return {value_of_key(low.key, dtype, KeyOrder::kValue), value_of_key(next, dtype, KeyOrder::kValue)};
}

}  // namespace tersor
