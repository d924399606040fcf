#pragma once
// Masks of a bit an entry.

#include <cstdint>

#include "core/store.h"
#include "cpu/kernel_table.h"
#include "cpu/rows.h"

namespace tersor::cpu {

struct BitmaskKernels {
  using PackMask = void(ConstRows mask, Rows bits, Extent extent, Store store) noexcept;
  using UnpackMask = void(ConstRows bits, Rows mask, Extent extent, Store store) noexcept;
  // Columns here are bytes. Of the last one of each row the bits of last_byte stay, so that padding becomes 0.
  using CombineBits = void(ConstRows a, ConstRows b, Rows out, Extent extent, Store store) noexcept;
  using InvertBits = void(ConstRows bits, Rows out, Extent extent, std::uint8_t last_byte, Store store) noexcept;
  using CountBits = std::int64_t(const std::uint8_t* bits, std::int64_t cols) noexcept;
  PackMask& pack_mask;
  UnpackMask& unpack_mask;
  CombineBits& and_bits;
  CombineBits& or_bits;
  CombineBits& xor_bits;
  InvertBits& invert_bits;
  CountBits& count_bits;
};

TERSOR_DECLARE_TABLE(BitmaskKernels, bitmask_kernels)

}  // namespace tersor::cpu
