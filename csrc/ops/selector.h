#pragma once
// The element of a given rank of a source of keys.

#include <algorithm>
#include <cmath>
#include <memory>
#include <vector>

#include "ops/key_source.h"

namespace tersor {

inline constexpr std::int64_t kFew = 64;  // so few that they are collected whole

// How a source of so many keys is sampled. Work goes to the sample and to what lies within its bracket, of which there is
// size * deviations / sqrt(sample).
struct Sampling {
  double scale;       // the sample is (scale * size) ** (2 / 3) keys, which balances the two
  double deviations;  // of the sample's rank that the bracket reaches to either side
  double margin;      // ranks that it reaches further, which matter where the sample is small
  double slack;       // room for so many times what is expected within
};
// Within the caches a key that is sampled costs twenty times what it costs to pass over one, and a miss, one time in sixty, costs
// little: a second look. The width of a bracket between two of 48 keys varies by a fifth.
inline constexpr Sampling kInCache{0.13, 2.2, 1, 2};
// A miss, one time in a thousand, costs another read of the array. What lies within takes memory.
inline constexpr Sampling kInMemory{2.4, 3.3, 4, 1.25};
inline constexpr std::int64_t kLeastInMemory = 1 << 17;  // keys
inline constexpr std::int64_t kLeastSample = 48;         // keys
static_assert(kLeastSample < kFew, "a sample is smaller than what it is of");

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
      if (const auto found = try_bracket(bracket, capacity(std::min(attempt, kSampledAttempts - 1)))) return *found;
    }
  }

 private:
  using Limits = std::numeric_limits<Key>;
  struct Interval {
    Key low, high;
  };

  static constexpr int kSampledAttempts = 2;

  double share() const noexcept { return static_cast<double>(rank_) / static_cast<double>(size_); }
  const Sampling& sampling() const noexcept { return size_ < kLeastInMemory ? kInCache : kInMemory; }

  std::int64_t sample_size() const noexcept {
    const auto balanced = static_cast<std::int64_t>(std::pow(sampling().scale * static_cast<double>(size_), 2.0 / 3));
    return std::max(balanced, kLeastSample);
  }
  // Each look reaches further than the one before.
  std::int64_t capacity(int attempt) const noexcept {
    const auto sample = static_cast<double>(sample_size());
    const double reach = sampling().deviations * (attempt + 1) * std::sqrt(sample) / 2 + sampling().margin;
    const double share_within = std::min(1.0, sampling().slack * 2 * reach / sample);
    return static_cast<std::int64_t>(share_within * static_cast<double>(size_)) + kFew;
  }

  Interval sampled(int attempt) const {
    const std::int64_t count = sample_size();
    const std::unique_ptr<Key[]> keys(new Key[static_cast<std::size_t>(count)]);
    source_.sample(mix(static_cast<std::uint64_t>(size_)) + static_cast<std::uint64_t>(attempt) * 0x9E3779B97F4A7C15u, count,
                   keys.get());
    const double place = share() * static_cast<double>(count);
    const double reach = sampling().deviations * (attempt + 1) * std::sqrt(place * (1 - share())) + sampling().margin;
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
  std::unique_ptr<Selection> try_bracket(Interval bracket, std::int64_t capacity) {
    Collected<Key> collected(capacity, stretches_ != nullptr);
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
      // What lies within must be so much less that few are nested, wherever the samples have looked.
      if (!collected.complete() || counts.within > size_ - size_ / 4) return nullptr;
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

}  // namespace tersor
