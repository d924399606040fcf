#pragma once
// Ranges of groups of entries, for calibration.

#include "core/view.h"
#include "ops/quantize_groups.h"

namespace tersor {

// The least and the greatest finite entry of each group, infinity and -infinity where there is none. low, high: float64, one entry
// a group.
void measure_ranges(const View& x, GroupAxis groups, const View& low, const View& high);

}  // namespace tersor
