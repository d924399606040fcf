#pragma once
// round_fixed.

#include "core/store.h"
#include "cpu/kernel_table.h"
#include "cpu/rows.h"

namespace tersor::cpu {

struct QuantizeKernels {
  using RoundFixed = void(ConstRows w, Rows out, Extent extent, int bits, Store store) noexcept;
  ByFloat<RoundFixed> round_fixed;
};

TERSOR_DECLARE_TABLE(QuantizeKernels, quantize_kernels)

}  // namespace tersor::cpu
