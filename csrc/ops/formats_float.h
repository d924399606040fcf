#pragma once
// formats: 4-bit codes that stand for 16 numbers, two a byte, with a scale for each run of entries in C order, the last one
// shorter.

#include <cstdint>
#include <string_view>

#include "core/view.h"

namespace tersor {

struct FloatFormat;  // a table of numbers, or steps of integers, and what scales are stored as
const FloatFormat& float_format_of(std::string_view name);

float number_of(const FloatFormat& format, int code) noexcept;  // that a code below 16 stands for

// Runs have a power of two of entries. packed: uint8, ceil(n / 2) of them for n entries; scale: float32 for "nf4", "fp4" and
// "int4", else the bytes of float8 (uint8), one a run. Both in C order. `global` is the scale of all runs where the format has one,
// else 1. offset: for "int4" alone, float32, one a run, what is added to numbers times scales; null where runs have none.
void encode_float(const View& w, const FloatFormat& format, std::int64_t run, float global, const View& packed, const View& scale,
                  const View* offset = nullptr);

// Numbers times scales: float32, rounded once; with offsets added, twice. For "int4" scales and offsets are float32, float16 or
// bfloat16 and lie as they like.
void decode_float(const View& packed, const View& scale, const FloatFormat& format, std::int64_t run, float global, const View& out,
                  const View* offset = nullptr);

// The greatest finite magnitude in float32, 0 where there is none.
float greatest_magnitude(const View& w);

}  // namespace tersor
