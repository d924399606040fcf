#pragma once
// compress and expand.

#include <cstddef>
#include <cstdint>

#include "core/store.h"
#include "cpu/kernel_table.h"
#include "cpu/rows.h"

namespace tersor::cpu {

// Items that a kernel may write beyond its last one.
inline constexpr std::int64_t kCompressSlack = 16;

// Groups of which half is stored, and which zeros are where a group has fewer non-zeros (quads.h).
enum class Half : std::uint8_t { kOfPairs, kOfQuadsToThird, kOfQuadsToFourth };

// Items without those whose bit is 0.
struct CompressKernels {
  // The items that are no zeros, row after row, and the bits of their places; returns how many. values has room for all of w and
  // kCompressSlack more.
  using CompressNonzeros = std::int64_t(ConstRows w, Rows bits, Extent extent, std::byte* values) noexcept;
  // The items whose bit is set, row after row, `count` in all; writes nothing beyond them.
  using Compress = void(ConstRows w, ConstRows bits, Extent extent, std::byte* values, std::int64_t count) noexcept;
  // A row of whole groups: the half of its items that is stored, and their bits, in whole words. Returns the first column of a
  // group with too many non-zeros, or -1; what it has written is then of no use.
  using CompressHalf = std::int64_t(const std::byte* w, std::int64_t cols, Half half, std::uint64_t* bits,
                                    std::byte* values) noexcept;
  using Copy = void(const std::byte* from, std::byte* to, std::int64_t bytes, Store store) noexcept;
  // The next items where a bit is set, +0.0 elsewhere. Reads none beyond the `count` that there are from `values` on.
  using Expand = void(const std::byte* values, std::int64_t count, ConstRows bits, Rows out, Extent extent, Store store) noexcept;
  ByFloat<CompressNonzeros> compress_nonzeros;
  ByFloat<Compress> compress;
  ByFloat<CompressHalf> compress_half;
  Copy& copy;
  ByFloat<Expand> expand;
};

TERSOR_DECLARE_TABLE(CompressKernels, compress_kernels)

}  // namespace tersor::cpu
