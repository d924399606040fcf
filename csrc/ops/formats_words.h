#pragma once
// formats: matrices of integer codes in words, as numbers at once.

#include <cstdint>

#include "core/view.h"
#include "ops/pack.h"

namespace tersor {

// Unsigned codes in int32 words, as `layout` has them of out's shape, with scales [rows, groups] and uint8 zero points like them,
// or null: 2**(bits - 1). Groups are runs of group_size columns, the last one shorter. What decode_groups makes of the codes.
void decode_words(const View& words, const BitLayout& layout, std::int64_t group_size, const View& scale, const View* zero_point,
                  const View& out);

}  // namespace tersor
