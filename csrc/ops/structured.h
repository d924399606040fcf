#pragma once
// structured: scores of whole units. A unit is group_size neighbouring entries of an axis with all that belongs to them on the
// other axes: a row, a column, a channel, an attention head. The meaning of each score stands in python/tersor/reference/.

#include <cstdint>

#include "core/view.h"
#include "ops/grid.h"

namespace tersor {

// An array by its units: `outer` stretches of `units` times `length` items, in C order.
struct UnitShape {
  std::int64_t outer, units, length;
};

// axis is already normalized. ValueError where group_size does not divide it.
UnitShape unit_shape(const View& view, int axis, std::int64_t group_size);

// Units as rows, for arrays with outer = 1; or the outer stretches as rows.
Grid grid_of_units(const View& view, int axis, std::int64_t group_size);
Grid grid_of_stretches(const View& view, int axis, std::int64_t group_size);

enum class UnitCriterion : std::uint8_t { kL1, kL2, kMax, kTaylor };

// scores: float64, one a unit. gradient has w's dtype and shape; null but for kTaylor, which needs it.
void score_units(const View& w, UnitCriterion criterion, int axis, std::int64_t group_size, const View* gradient,
                 const View& scores);

}  // namespace tersor
