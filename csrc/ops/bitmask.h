#pragma once
// bitmask: bool masks as bits, least significant first, each row of the last axis padded with 0 to whole bytes.

#include "core/view.h"

namespace tersor {

void pack_mask(const View& mask, const View& bits);    // bool [..., cols] -> uint8 [..., ceil(cols / 8)]
void unpack_mask(const View& bits, const View& mask);  // the other way round; padding bits are ignored

// Masks of the same bytes; out may be one of them.
enum class BitLogic : std::uint8_t { kAnd, kOr, kXor };
void combine_masks(const View& a, const View& b, BitLogic logic, const View& out);
void invert_mask(const View& bits, std::int64_t cols, const View& out);  // padding becomes 0
std::int64_t count_mask(const View& bits, std::int64_t cols);            // padding is ignored

}  // namespace tersor
