#pragma once
// What ops ask of their views before they start. Each message names the argument and says what it must be.

#include <initializer_list>

#include "core/view.h"
#include "ops/loop_plan.h"

namespace tersor {

void require_floating(const View& view);
void require_last_axis(const View& view);  // at least one dimension
void require_dtype(const View& view, std::initializer_list<DType> allowed);
void require_same_dtype(const View& a, const View& b);                 // b must have a's
void require_same_shape(const View& a, const View& b);                 // b must have a's
void require_last(const View& a, const View& b, std::int64_t length);  // b must have a's but for the last axis
void require_same_device(const View& a, const View& b);
void require_contiguous(const View& view);
void require_cpu(const char* op, const View& view);

// packed has full's shape but for its last axis, which holds ceil(cols / columns a byte) bytes. input is the one of them that the
// caller brings: where it has no axis to pack along, the message names it.
void require_packed_shape(const View& full, const View& packed, Columns columns, const View& input);

// Out may not overlap an input; where `in_place` is allowed it may be that input itself.
enum class InPlace : std::uint8_t { kNo, kAllowed };
void require_no_overlap(const View& in, const View& out, InPlace in_place = InPlace::kNo);

}  // namespace tersor
