#pragma once
// prune: thresholds and masks. The meaning of each op, NaN and -0.0 included, stands in python/tersor/reference/.

#include <cstdint>

#include "core/view.h"

namespace tersor {

// out may be w itself, or not overlap it. eps is rounded to w's dtype; negative or NaN is a ValueError.
void prune_threshold(const View& w, double eps, const View& out);

// mask: bool with w's shape, or uint8 with the bits of each row of the last axis, ceil(cols / 8) bytes each.
void mask_threshold(const View& w, double eps, const View& mask);

// mask as above; out may be w itself.
void apply_mask(const View& w, const View& mask, const View& out);

// The mean of |w| in float64, summed in a fixed order; 0 for an empty array. ValueError where it is not finite.
double mean_magnitude(const View& w);

// w of any dtype.
std::int64_t count_nonzero(const View& w);

}  // namespace tersor
