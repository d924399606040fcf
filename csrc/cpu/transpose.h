#pragma once
// Copies that exchange rows and columns.

#include <cstdint>

#include "core/store.h"
#include "cpu/kernel_table.h"
#include "cpu/rows.h"

namespace tersor::cpu {

// Of two sides the far one is what lies in memory and not in cache: its rows may share sets of the caches and have pages of their
// own, and so are worked through a few at a time, from end to end.
enum class FarSide : std::uint8_t { kFrom, kTo };

struct TransposeWay {
  FarSide far;
  bool reads_on;  // as many columns behind those of a far `from` are read next: they are fetched meanwhile
  Store store;    // to a far `to`
};

// to[c][r] = from[r][c] for `extent` of from; items are adjacent in the rows of both.
struct TransposeKernels {
  using Transpose = void(ConstRows from, Extent extent, Rows to, TransposeWay way) noexcept;
  Transpose& of_bytes;
  Transpose& of_pairs;  // 2 bytes
  Transpose& of_words;  // 4 bytes
};

TERSOR_DECLARE_TABLE(TransposeKernels, transpose_kernels)

}  // namespace tersor::cpu
