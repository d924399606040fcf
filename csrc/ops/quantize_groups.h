#pragma once
// quantize: codes of 2 to 8 bits, with a scale and perhaps a zero point for each group of entries.
//
// Groups are runs of `size` entries along an axis, the last one shorter; or all entries are one. Codes are int8 or uint8, one an
// entry, or `bits` bits each one after the other in whole bytes a row (uint8, packed). Where w has shape (..., n, ...) along the
// axis, scale and zero point have ceil(n / size) there; 1 everywhere where all entries are one group.

#include <cstdint>

#include "core/view.h"
#include "ops/quantize_convention.h"

namespace tersor {

inline constexpr int kNoAxis = -1;

struct GroupAxis {
  int axis;           // kNoAxis: one group of all entries
  std::int64_t size;  // of a group
};

struct CodeOptions {
  Convention convention;
  CodeFormat format;
  cpu::Rounding rounding;
  std::uint64_t seed;  // of stochastic rounding
  bool packed;
};

// Finds the scales, and the zero points where codes are not symmetric (zero_point is null where they are), then the codes.
void quantize_groups(const View& w, GroupAxis groups, const CodeOptions& options, const View& q, const View& scale,
                     const View* zero_point);

// Codes by scales and zero points that are given; without zero points codes are symmetric.
void encode_groups(const View& w, GroupAxis groups, const CodeOptions& options, const View& scale, const View* zero_point,
                   const View& q);

// (q - zero_point) * scale. out has the shape of w.
void decode_groups(const View& q, GroupAxis groups, CodeFormat format, bool packed, const View& scale, const View* zero_point,
                   const View& out);

}  // namespace tersor
