#include "ops/check_views.h"

#include <algorithm>
#include <string>

#include "core/check.h"

namespace tersor {

namespace {

std::string shape_clause(const View& view) { return std::string(view.name) + " has shape " + shape_text(view); }

std::string dtype_clause(const View& view) { return std::string(view.name) + " has dtype " + name_of(view.dtype); }

std::string device_text(Device device) {
  return device.type == DeviceType::kCpu ? "the CPU" : "CUDA device " + std::to_string(device.index);
}

}  // namespace

void require_floating(const View& view) {
  if (!is_floating(view.dtype)) throw TypeError(dtype_clause(view) + "; it must be float32, float16, bfloat16 or float64");
}

void require_last_axis(const View& view) {
  if (view.ndim == 0) throw ValueError(std::string(view.name) + " has no axis of columns; it must have at least one dimension");
}

void require_dtype(const View& view, std::initializer_list<DType> allowed) {
  if (std::find(allowed.begin(), allowed.end(), view.dtype) != allowed.end()) return;
  std::string names;
  for (const DType dtype : allowed) names += (names.empty() ? "" : " or ") + std::string(name_of(dtype));
  throw TypeError(dtype_clause(view) + "; it must be " + names);
}

void require_same_dtype(const View& a, const View& b) {
  if (a.dtype != b.dtype) throw TypeError(dtype_clause(b) + "; it must be " + name_of(a.dtype) + ", as " + a.name + " is");
}

void require_same_shape(const View& a, const View& b) {
  if (!same_shape(a, b)) throw ValueError(shape_clause(b) + "; it must have the shape of " + a.name + ", " + shape_text(a));
}

void require_last(const View& a, const View& b, std::int64_t length) {
  View wanted = a;
  wanted.shape[a.ndim - 1] = length;
  if (!same_shape(b, wanted))
    throw ValueError(std::string(b.name) + " has shape " + shape_text(b) + "; for " + a.name + " it must have shape " +
                     shape_text(wanted));
}

void require_same_device(const View& a, const View& b) {
  if (a.device == b.device) return;
  throw ValueError(std::string(b.name) + " is on " + device_text(b.device) + ", but " + a.name + " is on " + device_text(a.device) +
                   "; move one of them");
}

void require_contiguous(const View& view) {
  if (view.size() > 0 && !view.is_contiguous())
    throw ValueError(std::string(view.name) + " is not contiguous in memory; pass numpy.ascontiguousarray(...) or .contiguous()");
}

void require_cpu(const char* op, const View& view) {
  if (view.device.type == DeviceType::kCpu) return;
  throw TypeError(std::string(view.name) + " is on " + device_text(view.device) + ", and " + op +
                  " has no CUDA kernel yet; pass a CPU array");
}

void require_packed_shape(const View& full, const View& packed, Columns columns, const View& input) {
  if (full.ndim == 0 || packed.ndim == 0)
    throw ValueError(std::string(input.name) + " has no axis to pack along; it must have at least one dimension");
  View wanted = full;
  wanted.shape[full.ndim - 1] = items_for(columns, full.shape[full.ndim - 1]);
  if (!same_shape(wanted, packed))
    throw ValueError(shape_clause(packed) + "; packed for " + full.name + " of shape " + shape_text(full) + " it must have shape " +
                     shape_text(wanted));
}

void require_no_overlap(const View& in, const View& out, InPlace in_place) {
  if (in_place == InPlace::kAllowed && same_elements(in, out)) return;
  if (!may_overlap(in, out)) return;
  const char* remedy =
      in_place == InPlace::kAllowed ? "; pass the very same array to work in place, or separate memory" : "; pass separate memory";
  throw ValueError(std::string(out.name) + " overlaps " + in.name + " in memory" + remedy);
}

}  // namespace tersor
