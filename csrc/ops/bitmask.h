#pragma once
// bitmask: bool masks as bits, least significant first, each row of the last axis padded with 0 to whole bytes.

#include "core/view.h"

namespace tersor {

void pack_mask(const View& mask, const View& bits);    // bool [..., cols] -> uint8 [..., ceil(cols / 8)]
void unpack_mask(const View& bits, const View& mask);  // the other way round; padding bits are ignored

}  // namespace tersor
