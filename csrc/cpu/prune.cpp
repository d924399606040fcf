// prune: thresholds and masks. Magnitudes are compared as integers: with the sign bit cleared, the bits of floats are ordered like
// their values, for every dtype, and NaN lies above all of them, so it stays.

#include "cpu/prune.h"
#include "cpu/map.h"
#include "cpu/storage.h"

namespace tersor::cpu::TERSOR_LEVEL {

namespace {

struct Byte {
  using Bits = std::uint8_t;
};

template <class Storage>
void prune_threshold(ConstRows w, Rows out, Extent extent, std::uint64_t threshold_bits, Store mode) noexcept {
  using Bits = typename Storage::Bits;
  const auto threshold = splat(static_cast<SignedOf<Bits>>(threshold_bits));
  for (std::int64_t r = 0; r < extent.rows; ++r) {
    const Bits* from = w.row<Bits>(r);
    map_row(out.row<Bits>(r), extent.cols, mode, [=](std::int64_t i, auto lanes) TERSOR_LAMBDA {
      const Lanes<Bits> value = load(from + i, lanes);
      return select_or_zero(greater_equal(magnitude(value), threshold), value);
    });
  }
}

template <class Storage>
void mask_threshold(ConstRows w, Rows mask, Extent extent, std::uint64_t threshold_bits, Store mode) noexcept {
  using Bits = typename Storage::Bits;
  const auto threshold = splat(static_cast<SignedOf<Bits>>(threshold_bits));
  for (std::int64_t r = 0; r < extent.rows; ++r) {
    const Bits* from = w.row<Bits>(r);
    map_row(mask.row<std::int8_t>(r), extent.cols, mode, [=](std::int64_t i, auto lanes) TERSOR_LAMBDA {
      return demote(greater_equal(magnitude(load(from + i, lanes)), threshold)) & splat<std::int8_t>(1);
    });
  }
}

template <class Storage>
void mask_threshold_packed(ConstRows w, Rows mask, Extent extent, std::uint64_t threshold_bits, Store) noexcept {
  using Bits = typename Storage::Bits;
  const auto threshold = splat(static_cast<SignedOf<Bits>>(threshold_bits));
  for (std::int64_t r = 0; r < extent.rows; ++r) {
    const Bits* from = w.row<Bits>(r);
    map_bits(mask.row<std::uint8_t>(r), extent.cols, [=](std::int64_t i, auto lanes) TERSOR_LAMBDA {
      return bits_of(greater_equal(magnitude(load(from + i, lanes)), threshold));
    });
  }
}

template <class Storage>
void apply_mask(ConstRows w, ConstRows mask, Rows out, Extent extent, Store mode) noexcept {
  using Bits = typename Storage::Bits;
  for (std::int64_t r = 0; r < extent.rows; ++r) {
    const Bits* from = w.row<Bits>(r);
    const std::int8_t* keep = mask.row<std::int8_t>(r);
    map_row(out.row<Bits>(r), extent.cols, mode, [=](std::int64_t i, auto lanes) TERSOR_LAMBDA {
      const auto kept = not_equal(promote<SignedOf<Bits>>(load(keep + i, lanes)), splat<SignedOf<Bits>>(0));
      return select_or_zero(kept, load(from + i, lanes));
    });
  }
}

template <class Storage>
void apply_mask_packed(ConstRows w, ConstRows mask, Rows out, Extent extent, Store mode) noexcept {
  using Bits = typename Storage::Bits;
  for (std::int64_t r = 0; r < extent.rows; ++r) {
    const Bits* from = w.row<Bits>(r);
    const std::uint8_t* keep = mask.row<std::uint8_t>(r);
    map_row(out.row<Bits>(r), extent.cols, mode, [=](std::int64_t i, auto lanes) TERSOR_LAMBDA {
      const I8 kept = mask_of_bits(load_bits(keep, i, lanes));
      return select_or_zero(promote<SignedOf<Bits>>(kept), load(from + i, lanes));
    });
  }
}

template <class Bits>
TERSOR_INLINE MaskOf<Bits> nonzero_lanes(Lanes<Bits> bits) noexcept {
  if constexpr (sizeof(Bits) == 1)
    return not_equal(bit_cast<std::int8_t>(bits), splat<std::int8_t>(0));
  else
    return not_equal(magnitude(bits), splat<SignedOf<Bits>>(0));  // -0.0 is zero
}

// Lanes count in their own width; before one can overflow they are added up. True lanes are -1, so counts are subtracted.
template <class Bits>
std::int64_t count_nonzero_row(const Bits* from, std::int64_t cols) noexcept {
  using Count = SignedOf<Bits>;
  const auto zero = splat<Count>(0);
  std::int64_t total = 0, i = 0;
  while (i + kUnroll * kLanes <= cols) {
    Lanes<Count> counts[kUnroll] = {zero, zero, zero, zero};  // independent, so that loads and not additions bound the loop
    for (std::int64_t step = 0; step < kMostCounts<Count> && i + kUnroll * kLanes <= cols; ++step, i += kUnroll * kLanes)
      for (int k = 0; k < kUnroll; ++k) counts[k] = counts[k] - nonzero_lanes(load(from + i + k * kLanes));
    for (const auto& count : counts) total += total_of(count);
  }
  for (; i < cols; i += kLanes) {
    const Partial rest{static_cast<int>(cols - i < kLanes ? cols - i : kLanes)};
    total += __builtin_popcount(rest.count == kLanes ? bits_of(nonzero_lanes(load(from + i)))
                                                     : bits_of(nonzero_lanes(load(from + i, rest))));
  }
  return total;
}

template <class Storage>
std::int64_t count_nonzero(ConstRows w, Extent extent) noexcept {
  using Bits = typename Storage::Bits;
  std::int64_t total = 0;
  for (std::int64_t r = 0; r < extent.rows; ++r) total += count_nonzero_row(w.row<Bits>(r), extent.cols);
  return total;
}

}  // namespace

constinit const PruneKernels prune_kernels{
    .prune_threshold = TERSOR_BY_FLOAT(prune_threshold),
    .mask_threshold = TERSOR_BY_FLOAT(mask_threshold),
    .mask_threshold_packed = TERSOR_BY_FLOAT(mask_threshold_packed),
    .apply_mask = TERSOR_BY_FLOAT(apply_mask),
    .apply_mask_packed = TERSOR_BY_FLOAT(apply_mask_packed),
    .count_nonzero = TERSOR_BY_FLOAT(count_nonzero),
    .count_nonzero_bytes = count_nonzero<Byte>,
};

}  // namespace tersor::cpu::TERSOR_LEVEL
