#pragma once
// prune_threshold, apply_mask and what counts.

#include <cstdint>

#include "core/store.h"
#include "cpu/kernel_table.h"
#include "cpu/rows.h"

namespace tersor::cpu {

struct PruneKernels {
  // threshold_bits: the bit pattern of the least magnitude that stays.
  using PruneThreshold = void(ConstRows w, Rows out, Extent extent, std::uint64_t threshold_bits, Store store) noexcept;
  using MaskThreshold = void(ConstRows w, Rows mask, Extent extent, std::uint64_t threshold_bits, Store store) noexcept;
  using ApplyMask = void(ConstRows w, ConstRows mask, Rows out, Extent extent, Store store) noexcept;
  using CountNonzero = std::int64_t(ConstRows w, Extent extent) noexcept;
  ByFloat<PruneThreshold> prune_threshold;
  ByFloat<MaskThreshold> mask_threshold;
  ByFloat<MaskThreshold> mask_threshold_packed;
  ByFloat<ApplyMask> apply_mask;
  ByFloat<ApplyMask> apply_mask_packed;
  ByFloat<CountNonzero> count_nonzero;
  CountNonzero& count_nonzero_bytes;
};

TERSOR_DECLARE_TABLE(PruneKernels, prune_kernels)

}  // namespace tersor::cpu
