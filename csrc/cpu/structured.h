#pragma once
// Sums of rows and columns.

#include "cpu/kernel_table.h"
#include "cpu/rows.h"

namespace tersor::cpu {

// What rows or columns of entries add up to under a criterion, in float64.
struct StructuredKernels {
  // gradient is read for taylor alone.
  using Sum = void(ConstRows w, ConstRows gradient, Extent extent, double* sums) noexcept;
  struct Criterion {
    ByFloat<Sum> sum_rows;  // one sum a row
    ByFloat<Sum> add_rows;  // to one sum a column
    Sum& sum_sums;          // one sum a row of sums
  };
  Criterion l1, l2, max, taylor;
};

TERSOR_DECLARE_TABLE(StructuredKernels, structured_kernels)

}  // namespace tersor::cpu
