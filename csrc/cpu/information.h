#pragma once
// Counting entries in bins.

#include <cstddef>
#include <cstdint>

#include "cpu/kernel_table.h"
#include "cpu/rows.h"

namespace tersor::cpu {

// Where a number lies among thresholds t[0] <= t[1] <= ...: at slot s, how many of them are at most that number. A NaN lies above
// all. A cell, round(min((x - origin) * scale, last_cell)), brackets the slot: numbers of a lesser cell are less, since no step
// of that arithmetic reverses an order. So only the thresholds of the number's own cell are compared with it, whatever the
// rounding.
struct BinGrid {
  double origin, scale, last_cell;  // numbers of the type of arithmetic
  // Even thresholds, one a cell: where place = (x - origin) * scale - 0.5 is nearer than this to an integer, that integer and 1 are
  // the slot, without a comparison. 0 where that is never sure.
  double margin;
  // How many thresholds lie in lesser cells; null where that is the cell's own number, and each cell has one threshold.
  const std::uint32_t* first;
  int steps;                    // of a binary search among the thresholds of one cell: there are less than 2**steps
  const std::byte* thresholds;  // keys of the type of arithmetic, offset to unsigned; then 2**steps that no number reaches
};

// The least and the greatest key; NaN has the greatest of all.
struct KeyRange {
  std::int64_t least, most;
};

// Numbers that repeat wait for one another where they count in the same place: neighbours count in tables of their own.
inline constexpr int kCountTables = 4;

// Keys here are those of values, as in select, but of the type of arithmetic.
struct InformationKernels {
  using MeasureRange = KeyRange(ConstRows x, Extent extent) noexcept;
  // Adds to kCountTables tables, one after the other, of table_slots each; with table_slots = 0 they are one.
  using CountSlots = void(ConstRows x, Extent extent, const BinGrid& grid, std::uint32_t* tables,
                          std::int64_t table_slots) noexcept;
  using FindSlots = void(const std::byte* x, std::int64_t cols, const BinGrid& grid, std::uint32_t* slots) noexcept;
  ByFloat<MeasureRange> measure_range;
  ByFloat<CountSlots> count_slots;
  ByFloat<FindSlots> find_slots;
};

TERSOR_DECLARE_TABLE(InformationKernels, information_kernels)

}  // namespace tersor::cpu
