#pragma once
// Multisets of keys that can be sampled and scanned, for the selection in selector.h: dense rows, and rankings of whole arrays.

#include <algorithm>
#include <atomic>
#include <cstring>
#include <limits>
#include <memory>
#include <mutex>
#include <span>
#include <vector>

#include "core/parallel.h"
#include "cpu/select.h"
#include "ops/copy_items.h"
#include "ops/loop.h"
#include "ops/ranking.h"
#include "ops/select.h"

namespace tersor {

using Bracket = cpu::SelectKernels::Bracket;

inline constexpr std::int64_t kStretch = 4096;  // columns at a time, so that what is computed passes through L1

inline Bracket& bracket_of(DType dtype, KeyOrder order) {
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

// Keys of a sample may each lie in a line of its own: so many are asked for before the first is waited for.
inline constexpr std::int64_t kFetchedAtOnce = 32;

// Calls body with a value of the key type of a dtype.
template <class Body>
auto with_key_type(DType dtype, Body body) {
  switch (item_size(dtype)) {
    case 2: return body(std::int16_t{});
    case 4: return body(std::int32_t{});
    default: return body(std::int64_t{});
  }
}

// Calls body(col, cols) for each stretch of a row.
template <class Body>
void for_each_stretch(std::int64_t cols, Body body) {
  for (std::int64_t col = 0; col < cols; col += kStretch) body(col, std::min(kStretch, cols - col));
}

// splitmix64 (Steele, Lea and Flood, 2014): where a sample looks.
inline std::uint64_t mix(std::uint64_t word) noexcept {
  word = (word ^ (word >> 30)) * 0xBF58476D1CE4E5B9u;
  word = (word ^ (word >> 27)) * 0x94D049BB133111EBu;
  return word ^ (word >> 31);
}

// One element out of each of `count` equal stretches of `size` elements.
inline std::int64_t sampled_index(std::int64_t i, std::int64_t count, std::int64_t size, std::uint64_t seed) noexcept {
  const double place = static_cast<double>(i) + static_cast<double>(mix(seed + static_cast<std::uint64_t>(i)) >> 11) * 0x1p-53;
  return std::min(size - 1, static_cast<std::int64_t>(place * (static_cast<double>(size) / static_cast<double>(count))));
}

// Keys strictly between those of a bracket; what does not fit is counted all the same.
template <class Key>
class Collected {
 public:
  Collected(std::int64_t capacity, bool with_places)
      : keys_(new Key[static_cast<std::size_t>(capacity)]), capacity_(capacity), with_places_(with_places) {}

  // Keys of one stretch of elements, among those that are appended together.
  struct Part {
    std::int64_t position, first, count;
  };

  // By any thread.
  void append(const Key* keys, std::int64_t count, std::span<const Part> parts) {
    const std::int64_t first = count_.fetch_add(count, std::memory_order_relaxed);
    if (first + count > capacity_) return;
    std::memcpy(keys_.get() + first, keys, static_cast<std::size_t>(count) * sizeof(Key));
    if (!with_places_) return;
    const std::lock_guard lock(mutex_);
    for (const Part& part : parts) parts_.push_back({part.position, first + part.first, part.count});
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
  std::unique_ptr<Key[]> keys_;
  std::int64_t capacity_;
  bool with_places_;
  std::atomic<std::int64_t> count_{0};
  std::mutex mutex_;
  std::vector<Part> parts_;
};

// Keys on their way to where all threads' go: few at a time they would lie beside those of others, in lines that the cores take
// from one another.
template <class Key>
class Batch {
 public:
  explicit Batch(Collected<Key>* to) noexcept : to_(to) {}

  // Room for those of a stretch.
  Key* next() noexcept { return keys_ + count_; }
  void add(std::int64_t position, std::int64_t count) {
    if (!to_ || count == 0) return;
    parts_[part_count_++] = {position, count_, count};
    count_ += count;
    if (count_ > kStretch || part_count_ == kMostParts) flush();
  }
  void flush() {
    if (count_ > 0) to_->append(keys_, count_, {parts_, static_cast<std::size_t>(part_count_)});
    count_ = part_count_ = 0;
  }

 private:
  static constexpr std::int64_t kMostParts = 128;

  Collected<Key>* to_;
  std::int64_t count_ = 0, part_count_ = 0;
  Key keys_[2 * kStretch + cpu::kBracketSlack];
  typename Collected<Key>::Part parts_[kMostParts];
};

inline cpu::BracketCounts operator+(const cpu::BracketCounts& a, const cpu::BracketCounts& b) noexcept {
  return {a.below_low + b.below_low, a.up_to_low + b.up_to_low, a.within + b.within, a.above_high + b.above_high};
}

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
void turn_into_keys(Bracket& kernel, const std::byte* items, std::int64_t count, Key* keys) {
  using Limits = std::numeric_limits<Key>;
  Key within[kStretch + cpu::kBracketSlack];
  for_each_stretch(count, [&](std::int64_t first, std::int64_t part) {
    kernel(items + first * static_cast<std::int64_t>(sizeof(Key)), part, Limits::min(), Limits::max(),
           reinterpret_cast<std::byte*>(within));
    std::memcpy(keys + first, within, static_cast<std::size_t>(part) * sizeof(Key));
  });
}

// The items of a dense row.
template <class Key>
class RowSource final : public Source<Key> {
 public:
  RowSource(Bracket& kernel, const std::byte* row, std::int64_t cols) : kernel_(kernel), row_(row), cols_(cols) {}
  std::int64_t size() const override { return cols_; }
  void sample(std::uint64_t seed, std::int64_t count, Key* keys) const override {
    for (std::int64_t i = 0; i < count; i += kFetchedAtOnce) {
      const std::byte* from[kFetchedAtOnce];
      const std::int64_t part = std::min(kFetchedAtOnce, count - i);
      for (std::int64_t j = 0; j < part; ++j) __builtin_prefetch(from[j] = item(sampled_index(i + j, count, cols_, seed)));
      collect_items<sizeof(Key)>(reinterpret_cast<std::byte*>(keys + i), from, part);
    }
    turn_into_keys(kernel_, reinterpret_cast<const std::byte*>(keys), count, keys);
  }
  cpu::BracketCounts scan(Key low, Key high, Collected<Key>* collected) const override {
    Batch<Key> batch(collected);
    cpu::BracketCounts counts{};
    for_each_stretch(cols_, [&](std::int64_t col, std::int64_t cols) {
      const cpu::BracketCounts part = kernel_(item(col), cols, low, high, reinterpret_cast<std::byte*>(batch.next()));
      batch.add(col, part.within);
      counts = counts + part;
    });
    batch.flush();
    return counts;
  }

 private:
  const std::byte* item(std::int64_t col) const noexcept { return row_ + col * static_cast<std::int64_t>(sizeof(Key)); }

  Bracket& kernel_;
  const std::byte* row_;
  std::int64_t cols_;
};

// The elements that a ranking ranks.
template <class Key>
class RankingSource final : public Source<Key> {
 public:
  // Elements are numbered in C order where `in_order`, else as memory has them.
  RankingSource(const Ranking& ranking, bool in_order) : ranking_(ranking), kernel_(bracket_of(ranking.dtype, ranking.order)) {
    for (std::size_t i = 0; i < ranking.first.size(); ++i) {
      const View& first = ranking.first[i];
      const bool numbered = in_order || ranking.is_random;
      if (ranking.second.empty())
        plans_.push_back(numbered ? plan_in_order({{first}}) : plan_elements({{first}}));
      else
        plans_.push_back(numbered ? plan_in_order({{first}, {ranking.second[i]}}) : plan_elements({{first}, {ranking.second[i]}}));
      ends_.push_back(size() + first.size());
    }
  }
  std::int64_t size() const override { return ends_.empty() ? 0 : ends_.back(); }

  void sample(std::uint64_t seed, std::int64_t count, Key* keys) const override {
    parallel_for((count + kStretch - 1) / kStretch, [&](std::int64_t chunk) {
      const std::int64_t first = chunk * kStretch, part = std::min(kStretch, count - first);
      // Random numbers are as good as any from the first one on.
      const auto index = [&](std::int64_t i) { return ranking_.is_random ? i : sampled_index(i, count, size(), seed); };
      copy_keys(first, part, index, keys + first);
    });
  }

  cpu::BracketCounts scan(Key low, Key high, Collected<Key>* collected) const override {
    std::atomic<std::int64_t> below_low{0}, up_to_low{0}, within{0}, above_high{0};
    for_each_block_of_scores([&](auto each_stretch) {
      Batch<Key> batch(collected);
      cpu::BracketCounts counts{};
      each_stretch([&](std::int64_t position, const std::byte* scores, std::int64_t cols) {
        const cpu::BracketCounts part = kernel_(scores, cols, low, high, reinterpret_cast<std::byte*>(batch.next()));
        batch.add(position, part.within);
        counts = counts + part;
      });
      batch.flush();
      below_low.fetch_add(counts.below_low, std::memory_order_relaxed);
      up_to_low.fetch_add(counts.up_to_low, std::memory_order_relaxed);
      within.fetch_add(counts.within, std::memory_order_relaxed);
      above_high.fetch_add(counts.above_high, std::memory_order_relaxed);
    });
    return {below_low, up_to_low, within, above_high};
  }

  // Every stretch that holds the key.
  std::vector<KeyStretch> stretches_with(Key key) const {
    std::vector<KeyStretch> stretches;
    std::mutex mutex;
    for_each_block_of_scores([&](auto each_stretch) {
      each_stretch([&](std::int64_t position, const std::byte* scores, std::int64_t cols) {
        Key keys[kStretch + cpu::kBracketSlack];
        const cpu::BracketCounts counts = kernel_(scores, cols, key, key, reinterpret_cast<std::byte*>(keys));
        if (counts.up_to_low == counts.below_low) return;
        const std::lock_guard lock(mutex);
        stretches.push_back({position, counts.up_to_low - counts.below_low});
      });
    });
    return stretches;
  }

  // The number of the nth element that has the key, from element `position` on; it is less than a stretch away.
  std::int64_t nth_from(std::int64_t position, Key key, std::int64_t n) const {
    Key keys[kStretch];
    copy_keys(position, std::min(kStretch, size() - position), [](std::int64_t i) { return i; }, keys);
    std::int64_t i = 0;
    for (; keys[i] != key || n-- > 0; ++i) continue;
    return position + i;
  }

 private:
  // Calls body(each_stretch) for every block, on several threads; each_stretch(visit) calls visit(number of the first element,
  // scores, cols) for every stretch of its rows.
  template <class Body>
  void for_each_block_of_scores(Body body) const {
    for (std::size_t view = 0; view < plans_.size(); ++view)
      for_each_block(plans_[view], Split::kColumns, [&](const Block& block) {
        alignas(64) std::byte scratch[kStretch * sizeof(Key)];
        body([&](auto visit) {
          for (std::int64_t r = 0; r < block.extent.rows; ++r)
            for_each_stretch(block.extent.cols, [&](std::int64_t col, std::int64_t cols) {
              const std::int64_t position = position_of(view, block, r) + col;
              visit(position,
                    ranking_.scores(items(view, block, 0, r, col), items(view, block, 1, r, col), position, cols, scratch), cols);
            });
        });
      });
  }
  const std::byte* items(std::size_t view, const Block& block, int operand, std::int64_t row, std::int64_t col) const {
    const LoopPlan& plan = plans_[view];
    if (operand >= plan.operand_count) return nullptr;
    return block.operands[operand].row<std::byte>(row) + col * plan.operands[operand].item_bytes;
  }
  std::int64_t position_of(std::size_t view, const Block& block, std::int64_t row) const {
    return start_of(view) + (block.first_row + row) * plans_[view].cols + block.first_col;
  }

  // Keys of the elements index(first) to index(first + count - 1), which ascend; at most a stretch of them.
  template <class Index>
  void copy_keys(std::int64_t first, std::int64_t count, Index index, Key* keys) const {
    alignas(64) std::byte items[2][kStretch * 8], scratch[kStretch * sizeof(Key)];
    std::size_t view = 0;
    for (std::int64_t i = 0; i < count;) {
      std::int64_t element = index(first + i), fetched = 0;
      while (element >= ends_[view]) ++view;
      const LoopPlan& plan = plans_[view];
      const std::byte* from[2][kFetchedAtOnce];
      do {
        for (int k = 0; k < plan.operand_count; ++k)
          __builtin_prefetch(from[k][fetched] = item_at(plan, k, element - start_of(view)));
        if (++fetched == kFetchedAtOnce || i + fetched == count) break;
        element = index(first + i + fetched);
      } while (element < ends_[view]);
      for (int k = 0; k < plan.operand_count; ++k)
        collect_items(items[k] + i * plan.operands[k].item_bytes, from[k], fetched, plan.operands[k].item_bytes);
      i += fetched;
    }
    turn_into_keys(kernel_, ranking_.scores(items[0], items[1], index(first), count, scratch), count, keys);
  }
  static const std::byte* item_at(const LoopPlan& plan, int operand, std::int64_t element) noexcept {
    const LoopPlan::Operand& array = plan.operands[operand];
    const std::byte* item = array.data + element % plan.cols * array.item_stride_bytes;
    element /= plan.cols;
    for (int axis = plan.outer_ndim - 1; axis >= 0; --axis) {
      item += element % plan.outer_shape[axis] * array.outer_stride_bytes[axis];
      element /= plan.outer_shape[axis];
    }
    return item;
  }
  std::int64_t start_of(std::size_t view) const { return view ? ends_[view - 1] : 0; }

  const Ranking& ranking_;
  Bracket& kernel_;
  std::vector<LoopPlan> plans_;
  std::vector<std::int64_t> ends_;  // elements up to and with each array
};

}  // namespace tersor
