#include "core/view.h"

#include <cstdlib>
#include <numeric>

#include "core/check.h"

namespace tersor {

std::int64_t View::size() const noexcept {
  std::int64_t count = 1;
  for (int axis = 0; axis < ndim; ++axis) count *= shape[axis];
  return count;
}

bool View::is_contiguous() const noexcept {
  std::int64_t expected = item_size(dtype);
  for (int axis = ndim - 1; axis >= 0; --axis) {
    if (shape[axis] == 0) return true;
    if (shape[axis] != 1 && stride_bytes[axis] != expected) return false;
    expected *= shape[axis];
  }
  return true;
}

View view_of(const char* name, void* data, DType dtype, std::int64_t size) noexcept {
  View view;
  view.name = name;
  view.data = static_cast<std::byte*>(data);
  view.dtype = dtype;
  view.ndim = 1;
  view.writable = true;
  view.shape[0] = size;
  view.stride_bytes[0] = item_size(dtype);
  return view;
}

std::int64_t total_size(std::span<const View> views) noexcept {
  std::int64_t size = 0;
  for (const View& view : views) size += view.size();
  return size;
}

AddressRange address_range(const View& view) noexcept {
  const auto start = reinterpret_cast<std::uintptr_t>(view.data);
  if (view.size() == 0) return {start, start};
  std::uintptr_t begin = start, end = start + static_cast<std::uintptr_t>(item_size(view.dtype));
  for (int axis = 0; axis < view.ndim; ++axis) {
    const std::int64_t reach = (view.shape[axis] - 1) * view.stride_bytes[axis];
    (reach < 0 ? begin : end) += static_cast<std::uintptr_t>(reach);
  }
  return {begin, end};
}

bool same_shape(const View& a, const View& b) noexcept {
  if (a.ndim != b.ndim) return false;
  for (int axis = 0; axis < a.ndim; ++axis)
    if (a.shape[axis] != b.shape[axis]) return false;
  return true;
}

bool same_elements(const View& a, const View& b) noexcept {
  if (a.data != b.data || a.dtype != b.dtype || !same_shape(a, b)) return false;
  for (int axis = 0; axis < a.ndim; ++axis)
    if (a.shape[axis] > 1 && a.stride_bytes[axis] != b.stride_bytes[axis]) return false;
  return true;
}

namespace {

std::int64_t stride_gcd(const View& view, std::int64_t gcd) noexcept {
  for (int axis = 0; axis < view.ndim; ++axis)
    if (view.shape[axis] > 1) gcd = std::gcd(gcd, std::llabs(view.stride_bytes[axis]));
  return gcd;
}

}  // namespace

bool may_overlap(const View& a, const View& b) noexcept {
  if (a.device != b.device) return false;
  const AddressRange x = address_range(a), y = address_range(b);
  if (x.begin == x.end || y.begin == y.end) return false;
  if (x.end <= y.begin || y.end <= x.begin) return false;
  // Every element of a starts at a.data modulo the common stride, every element of b at b.data: where the two residues lie
  // an item apart on both sides, the elements never meet.
  const std::int64_t period = stride_gcd(b, stride_gcd(a, 0));
  if (period == 0) return true;
  const auto distance =
      static_cast<std::int64_t>(reinterpret_cast<std::uintptr_t>(b.data) - reinterpret_cast<std::uintptr_t>(a.data));
  const std::int64_t residue = ((distance % period) + period) % period;
  return residue < item_size(a.dtype) || period - residue < item_size(b.dtype);
}

View broadcast(const View& view, const View& like) {
  View spread = view;
  spread.ndim = like.ndim;
  const int missing = like.ndim - view.ndim;
  for (int axis = 0; axis < like.ndim; ++axis) {
    const int own = axis - missing;
    const std::int64_t length = own < 0 ? 1 : view.shape[own];
    spread.shape[axis] = like.shape[axis];
    spread.stride_bytes[axis] = length == 1 ? 0 : view.stride_bytes[own];
    if (length != 1 && length != like.shape[axis]) spread.ndim = -1;
    if (spread.ndim < 0) break;
  }
  if (missing < 0 || spread.ndim < 0)
    throw ValueError(std::string(view.name) + " has shape " + shape_text(view) + ", which does not broadcast to the shape of " +
                     like.name + ", " + shape_text(like));
  return spread;
}

std::string shape_text(const View& view) {
  std::string text = "(";
  for (int axis = 0; axis < view.ndim; ++axis) {
    if (axis) text += ", ";
    text += std::to_string(view.shape[axis]);
  }
  return text + (view.ndim == 1 ? ",)" : ")");
}

}  // namespace tersor
