#pragma once
// A magnitude threshold as the bits of the least magnitude that stays, in the array's own dtype.

#include <cstdint>

#include "core/dtype.h"

namespace tersor {

// eps rounded to dtype, half to even, as NumPy and torch round a Python scalar. ValueError where eps is negative or NaN.
std::uint64_t threshold_bits(double eps, DType dtype);

}  // namespace tersor
