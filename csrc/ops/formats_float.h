#pragma once
// formats: 4-bit codes that stand for 16 numbers, two a byte, with a scale for each run of entries in C order, the last one
// shorter.

#include <cstdint>
#include <string_view>

#include "core/view.h"

namespace tersor {

struct FloatFormat;  // a table of numbers, and what scales are stored as
const FloatFormat& float_format_of(std::string_view name);

float number_of(const FloatFormat& format, int code) noexcept;  // that a code below 16 stands for

// Runs have a power of two of entries. packed: uint8, ceil(n / 2) of them for n entries; scale: float32 for "nf4" and "fp4", else
// the bytes of float8 (uint8), one a run. Both in C order. `global` is the scale of all runs where the format has one, else 1.
void encode_float(const View& w, const FloatFormat& format, std::int64_t run, float global, const View& packed, const View& scale);

// Numbers times scales: float32, rounded once.
void decode_float(const View& packed, const View& scale, const FloatFormat& format, std::int64_t run, float global,
                  const View& out);

// The greatest finite magnitude in float32, 0 where there is none.
float greatest_magnitude(const View& w);

}  // namespace tersor
