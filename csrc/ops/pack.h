#pragma once
// pack: codes of a few bits each, one after the other, each row of the last axis in whole bytes or words.

#include "core/view.h"

namespace tersor {

// Two signed nibbles a byte, the even column in the low one, padded with 0.
void pack_int4(const View& q, const View& packed);    // int8 [..., cols] -> uint8 [..., ceil(cols / 2)]; ValueError outside [-8, 7]
void unpack_int4(const View& packed, const View& q);  // the other way round; the padding nibble is ignored

// How codes lie in words, least significant bits first: as one stream, or as many whole ones as go into a word.
struct BitLayout {
  int bits;  // 1 to 8
  bool padded;
};

// int8 or uint8 [..., cols] -> words (uint8 or int32) [..., word_count]; ValueError for codes that do not fit.
void pack_bits(const View& q, BitLayout layout, const View& packed);
void unpack_bits(const View& packed, BitLayout layout, const View& q);

}  // namespace tersor
