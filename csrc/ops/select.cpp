#include "ops/select.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <limits>
#include <string>

#include "core/check.h"
#include "core/float_environment.h"
#include "ops/check_views.h"
#include "ops/float_format.h"
#include "ops/key_source.h"
#include "ops/selector.h"

namespace tersor {

namespace {

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

Selection select_rank(const Ranking& ranking, std::int64_t rank) {
  return with_key_type(ranking.dtype, [&]<class Key>(Key) {
    const RankingSource<Key> source(ranking, false);
    return Selector<Key>(source, rank).run();
  });
}

PlacedSelection::PlacedSelection(const Ranking& ranking, std::int64_t rank) : ranking_(ranking) {
  selection_ = with_key_type(ranking.dtype, [&]<class Key>(Key) {
    const RankingSource<Key> source(ranking, true);
    return Selector<Key>(source, rank, &stretches_).run();
  });
}

std::int64_t PlacedSelection::place_of(std::int64_t nth) {
  return with_key_type(ranking_.dtype, [&]<class Key>(Key) {
    const RankingSource<Key> source(ranking_, true);
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
      const RowSource<Key> part(bracket_of(dtype, order), row + begin * static_cast<std::int64_t>(sizeof(Key)), end - begin);
      const cpu::BracketCounts counts = part.scan(wanted, wanted, nullptr);
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
  const volatile double share = sparsity;
  volatile std::int64_t count;
  {
    const DefaultFloatEnvironment environment;
    count = static_cast<std::int64_t>(std::nearbyint(share * static_cast<double>(size)));
  }
  return count;
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

Ranking ranking_of(std::span<const View> views, KeyOrder order) {
  return order == KeyOrder::kMagnitude ? rank_by_magnitude(views) : rank_by_value(views);
}

}  // namespace

double kth(std::span<const View> views, KeyOrder order, std::int64_t k) {
  require_rank(views, k);
  return value_of_key(select_rank(ranking_of(views, order), k - 1).key, views[0].dtype, order);
}

double magnitude_threshold(std::span<const View> views, double sparsity) {
  const std::int64_t size = require_elements(views), count = count_to_prune(sparsity, size);
  return count == size ? std::numeric_limits<double>::infinity() : kth(views, KeyOrder::kMagnitude, count + 1);
}

Neighbours kth_and_next(std::span<const View> views, std::int64_t k) {
  require_rank(views, k);
  const DType dtype = views[0].dtype;
  const Ranking values = rank_by_value(views);
  const std::int64_t size = total_size(views);
  const Selection low = select_rank(values, k - 1);
  const std::int64_t numbers = with_key_type(dtype, [&]<class Key>(Key) {
    const auto nan = static_cast<Key>(nan_key(dtype));
    return RankingSource<Key>(values, false).scan(nan, nan, nullptr).below_low;
  });
  if (numbers < size) return {std::numeric_limits<double>::quiet_NaN(), std::numeric_limits<double>::quiet_NaN()};
  const std::int64_t next = k < low.up_to || k >= size ? low.key : select_rank(values, k).key;
  return {value_of_key(low.key, dtype, KeyOrder::kValue), value_of_key(next, dtype, KeyOrder::kValue)};
}

}  // namespace tersor
