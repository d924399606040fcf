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

}  // namespace tersor
