#pragma once
// pack: two signed nibbles a byte, the even column in the low one, each row of the last axis padded with 0 to whole bytes.

#include "core/view.h"

namespace tersor {

void pack_int4(const View& q, const View& packed);    // int8 [..., cols] -> uint8 [..., ceil(cols / 2)]; ValueError outside [-8, 7]
void unpack_int4(const View& packed, const View& q);  // the other way round; the padding nibble is ignored

}  // namespace tersor
