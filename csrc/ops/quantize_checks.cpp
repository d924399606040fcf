#include "ops/quantize_checks.h"

#include <algorithm>
#include <string>

#include "core/check.h"
#include "core/integers.h"
#include "ops/check_views.h"

namespace tersor {

namespace {

bool same_shape_as(const View& view, const View& like, int axis, std::int64_t length) noexcept {
  View wanted = like;
  if (axis == kNoAxis)
    std::fill_n(wanted.shape, wanted.ndim, 1);
  else
    wanted.shape[axis] = length;
  return same_shape(view, wanted);
}

// Where packed codes of a group begin and end within a byte, groups cannot be written apart.
void require_whole_bytes(const View& w, GroupAxis groups, int bits) {
  const bool last = groups.axis == w.ndim - 1 || groups.axis == kNoAxis;
  const std::int64_t cols = w.shape[w.ndim - 1], run = groups.axis == kNoAxis ? cols : groups.size;
  if (!last || (run * bits % 8 != 0 && (groups.axis == kNoAxis || groups.size < cols)))
    throw ValueError("packed codes must have their groups in whole bytes along the last axis; use pack_bits");
}

}  // namespace

void require_of_groups(const View& w, GroupAxis groups, const View& view) {
  const std::int64_t count = groups.axis == kNoAxis ? 1 : ceil_div(w.shape[groups.axis], groups.size);
  if (!same_shape_as(view, w, groups.axis, count))
    throw ValueError(
        std::string(view.name) + " has shape " + shape_text(view) + "; for the groups of " + w.name + ", of shape " +
        shape_text(w) + ", it must have " +
        (groups.axis == kNoAxis ? "1 everywhere" : std::to_string(count) + " along axis " + std::to_string(groups.axis)));
}

void require_groups(GroupAxis groups, CodeFormat format) {
  if (format.bits < kLeastBits || format.bits > kMostBits)
    throw ValueError("bits must lie in [" + std::to_string(kLeastBits) + ", " + std::to_string(kMostBits) + "], got " +
                     std::to_string(format.bits));
  if (groups.size < 1) throw ValueError("group_size must be at least 1, got " + std::to_string(groups.size));
}

void require_numbers(const View& w, const View& out) {
  require_same_dtype(w, out);
  require_same_device(w, out);
  require_same_shape(w, out);
}

void require_codes(const View& w, GroupAxis groups, CodeFormat format, bool packed, const View& q) {
  require_dtype(q, {format.is_signed && !packed ? DType::kInt8 : DType::kUInt8});
  require_same_device(w, q);
  if (!packed) return require_same_shape(w, q);
  require_last_axis(w);
  require_whole_bytes(w, groups, format.bits);
  require_last(w, q, ceil_div(w.shape[w.ndim - 1] * format.bits, 8));
}

void require_scales(const View& w, GroupAxis groups, CodeFormat format, const View& scale, const View* zero_point) {
  require_floating(scale);
  require_of_groups(w, groups, scale);
  require_same_device(w, scale);
  if (!zero_point) return;
  require_dtype(*zero_point, {format.is_signed ? DType::kInt8 : DType::kUInt8});
  require_of_groups(w, groups, *zero_point);
  require_same_device(w, *zero_point);
}

}  // namespace tersor
