#pragma once
// What entries are ranked by: their own magnitudes or values, or scores that are computed from one or two arrays a stretch at a
// time and never stored.

#include <cstdint>
#include <span>
#include <vector>

#include "core/view.h"
#include "cpu/prune_score.h"
#include "cpu/random.h"
#include "ops/loop_plan.h"

namespace tersor {

// NaN is one key above infinity's in both orders.
enum class KeyOrder : std::uint8_t { kMagnitude, kValue };

struct Ranking {
  DType dtype;  // of the scores
  KeyOrder order;
  std::vector<View> first;   // one or several arrays, ranked as one
  std::vector<View> second;  // empty, or for each of them what it is multiplied with, of the same shape
  cpu::PruneScoreKernels::Multiply* multiply = nullptr;
  bool is_random = false;
  std::uint64_t seed = 0;

  bool is_computed() const noexcept { return multiply || is_random; }

  // Scores of dense items, of which the first has the number `position`: the items themselves, or what is written to scratch.
  const std::byte* scores(const std::byte* first_items, const std::byte* second_items, std::int64_t position, std::int64_t cols,
                          std::byte* scratch) const {
    if (!is_computed()) return first_items;
    if (is_random)
      cpu::random_kernels().words(position, cols, seed, 2, reinterpret_cast<std::uint32_t*>(scratch));  // float32 from 0 to 2
    else
      multiply(first_items, second_items, cols, scratch);
    return scratch;
  }
};

Ranking rank_by_magnitude(std::span<const View> w);
Ranking rank_by_value(std::span<const View> scores);
// |w * other|, rounded once in the type of w's arithmetic. other has w's dtype or that type, and a shape that broadcasts to w's.
Ranking rank_by_product(std::span<const View> w, std::span<const View> other);
// By random numbers: of Philox4x32-10, word i % 4 of the counter i / 4 for the element of number i.
Ranking rank_at_random(std::span<const View> w, std::uint64_t seed);

}  // namespace tersor
