#pragma once
// What arrays of a quantized one must be to each other.

#include "core/view.h"
#include "ops/quantize_groups.h"

namespace tersor {

void require_groups(GroupAxis groups, CodeFormat format);
void require_numbers(const View& w, const View& out);  // out must be as w is
void require_codes(const View& w, GroupAxis groups, CodeFormat format, bool packed, const View& q);
void require_scales(const View& w, GroupAxis groups, CodeFormat format, const View& scale, const View* zero_point);
void require_of_groups(const View& w, GroupAxis groups, const View& view);  // one entry a group

}  // namespace tersor
