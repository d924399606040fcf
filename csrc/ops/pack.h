#pragma once
// pack: codes of a few bits each, one after the other, each row of the last axis in whole bytes or words.

#include <string_view>

#include "core/view.h"

namespace tersor {

// Two signed nibbles a byte, the even column in the low one, padded with 0.
void pack_int4(const View& q, const View& packed);    // int8 [..., cols] -> uint8 [..., ceil(cols / 2)]; ValueError outside [-8, 7]
void unpack_int4(const View& packed, const View& q);  // the other way round; the padding nibble is ignored

// In which order codes of 4 bits lie in the nibbles of a byte or word, the lowest first.
enum class CodeOrder : std::uint8_t {
  kLowFirst,
  kHighFirst,  // two of a byte exchanged
  kAwq,        // of each 8: 0, 2, 4, 6, 1, 3, 5, 7
  kHalves,     // of each 32: a byte holds one of the first 16 and one of the last
};
CodeOrder code_order_of(std::string_view name);

// How codes lie in words, least significant bits first: as one stream, or as many whole ones as go into a word.
struct BitLayout {
  int bits;  // 1 to 8
  bool padded;
  CodeOrder order;
  bool offset;  // int8 codes are stored as code + 2**(bits - 1)
  int axis;     // along which codes follow one another
};

// int8 or uint8 codes -> words (uint8 or int32), word_count along the axis; ValueError for codes that do not fit.
void pack_bits(const View& q, const BitLayout& layout, const View& packed);
void unpack_bits(const View& packed, const BitLayout& layout, const View& q);

}  // namespace tersor
