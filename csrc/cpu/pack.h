#pragma once
// Codes of a few bits, one after the other.

#include <cstdint>

#include "core/store.h"
#include "cpu/kernel_table.h"
#include "cpu/rows.h"

namespace tersor::cpu {

inline constexpr int kArrangedCodes = 32;

struct PackKernels {
  using PackInt4 = bool(ConstRows q, Rows packed, Extent extent, Store store) noexcept;  // whether all values fit
  using UnpackInt4 = void(ConstRows packed, Rows q, Extent extent, Store store) noexcept;
  // Codes of `bits` bits as one stream, least significant first, to whole bytes; bits beyond the last code are 0. Stored codes have
  // the bits of `flip` exchanged. pack_bits returns the bits that are set, in any code, where a code that fits has none: above
  // `bits`, once `bias` is added. Only codes of 4 bits are streamed.
  using PackBits = std::uint8_t(const std::uint8_t* q, std::int64_t cols, int bits, std::uint8_t flip, std::uint8_t bias,
                                std::uint8_t* packed, Store store) noexcept;
  using UnpackBits = void(const std::uint8_t* packed, std::int64_t cols, int bits, std::uint8_t flip, bool is_signed,
                          std::uint8_t* q, Store store) noexcept;
  // In each run of kArrangedCodes: to[i] = q[places[i]] + offset, wrapping. What is not among the `count` codes is 0.
  using ArrangeCodes = void(const std::uint8_t* q, std::int64_t count, const std::uint8_t* places, std::uint8_t offset,
                            std::uint8_t* to, std::int64_t to_count) noexcept;
  // Eight rows of nibbles, the even column in the low one, as a word a column, and back: the first row in the lowest bits.
  using JoinRows = void(const std::uint8_t* const* rows, std::int64_t cols, std::uint32_t* words) noexcept;
  using SplitRows = void(const std::uint32_t* words, std::int64_t cols, std::uint8_t* const* rows) noexcept;
  PackInt4& pack_int4;
  UnpackInt4& unpack_int4;
  PackBits& pack_bits;
  UnpackBits& unpack_bits;
  ArrangeCodes& arrange_codes;
  JoinRows& join_rows;
  SplitRows& split_rows;
};

TERSOR_DECLARE_TABLE(PackKernels, pack_kernels)

}  // namespace tersor::cpu
