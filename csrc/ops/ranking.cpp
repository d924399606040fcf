#include "ops/ranking.h"

#include <string>

#include "core/check.h"
#include "ops/check_views.h"

namespace tersor {

namespace {

Ranking ranking(std::span<const View> views, DType dtype, KeyOrder order) {
  return {dtype, order, {views.begin(), views.end()}, {}};
}

}  // namespace

Ranking rank_by_magnitude(std::span<const View> w) { return ranking(w, w[0].dtype, KeyOrder::kMagnitude); }

Ranking rank_by_value(std::span<const View> scores) { return ranking(scores, scores[0].dtype, KeyOrder::kValue); }

Ranking rank_by_product(std::span<const View> w, std::span<const View> other) {
  if (w.size() != other.size())
    throw ValueError(std::string(other[0].name) + " must hold one array for each of w, " + std::to_string(w.size()) +
                     "; it holds " + std::to_string(other.size()));
  for (const View& view : w) require_floating(view);
  const DType arithmetic = arithmetic_dtype(w[0].dtype);
  Ranking product = ranking(w, arithmetic, KeyOrder::kMagnitude);
  for (std::size_t i = 0; i < w.size(); ++i) {
    require_dtype(other[i], {w[0].dtype, arithmetic});
    require_same_dtype(other[0], other[i]);
    require_same_device(w[i], other[i]);
    product.second.push_back(broadcast(other[i], w[i]));
  }
  const cpu::PruneScoreKernels& kernels = cpu::prune_score_kernels();
  product.multiply = &(other[0].dtype == w[0].dtype ? kernels.multiply_alike : kernels.multiply_scaled)[w[0].dtype];
  return product;
}

Ranking rank_at_random(std::span<const View> w, std::uint64_t seed) {
  Ranking random = ranking(w, DType::kFloat32, KeyOrder::kMagnitude);
  random.is_random = true;
  random.seed = seed;
  return random;
}

}  // namespace tersor
