#pragma once
// What cuts the range of a group, that of its finite entries, to a part of it that depends on how the entries lie within.

#include <cstdint>
#include <variant>

#include "core/view.h"
#include "ops/quantize_codes.h"
#include "ops/quantize_entropy.h"
#include "ops/quantize_percentile.h"

namespace tersor {

using RangeCut = std::variant<Percentile, Entropy>;

// Of runs of a dense row, of the columns of a tile (scratch holds one), and of one group alone, wherever its entries lie. `found`
// holds the ranges, which stay as they are where nothing is finite.
void cut_runs(const std::byte* row, std::int64_t cols, std::int64_t group_size, DType dtype, const RangeCut& how,
              const GroupNumbers& found);
void cut_columns(cpu::ConstRows rows, cpu::Extent extent, DType dtype, const RangeCut& how, const GroupNumbers& found,
                 std::byte* scratch);
void cut_group(const View& entries, const RangeCut& how, const GroupNumbers& found);

// Where a range reaches as far to either side of zero, the side that the first entry so far out lies on stays, and the other ends
// at zero. Of entries stride_bytes apart: a whole group, or its pieces in their order, of which those without such an entry change
// nothing.
void keep_first_side(const std::byte* entries, std::int64_t stride_bytes, std::int64_t count, DType dtype,
                     const GroupNumbers& found);

}  // namespace tersor
