#include "ops/prune.h"

#include <algorithm>
#include <span>
#include <string>

#include "bind/argument.h"
#include "bind/array.h"
#include "bind/call.h"
#include "bind/families.h"
#include "core/check.h"
#include "ops/check_views.h"
#include "ops/prune_magnitude.h"

namespace tersor::bind {

namespace {

void bound_prune_threshold(py::handle w, py::handle eps, py::handle out) {
  const ArrayArg w_arg(w, "w"), out_arg(out, "out", Use::kOutput);
  const double threshold = number_argument(eps, "eps");
  run_op([&] { prune_threshold(w_arg, threshold, out_arg); }, w_arg, out_arg);
}

// The ops go by the dtype of out alone; the caller has said it twice.
void require_mask_dtype(const View& out, bool packed) {
  if (out.dtype == (packed ? DType::kUInt8 : DType::kBool)) return;
  throw TypeError(std::string(out.name) + (packed ? " must be uint8 where packed is True" : " must be bool where packed is False"));
}

void bound_mask_threshold(py::handle w, py::handle eps, bool packed, py::handle out) {
  const ArrayArg w_arg(w, "w"), out_arg(out, "out", Use::kOutput);
  const double threshold = number_argument(eps, "eps");
  require_mask_dtype(out_arg, packed);
  run_op([&] { mask_threshold(w_arg, threshold, out_arg); }, w_arg, out_arg);
}

void bound_apply_mask(py::handle w, py::handle mask, py::handle out) {
  const ArrayArg w_arg(w, "w"), mask_arg(mask, "mask"), out_arg(out, "out", Use::kOutput);
  run_op([&] { apply_mask(w_arg, mask_arg, out_arg); }, w_arg, mask_arg, out_arg);
}

std::int64_t bound_count_nonzero(py::handle w) {
  const ArrayArg w_arg(w, "w");
  return run_op([&] { return count_nonzero(w_arg); }, w_arg);
}

double bound_sparsity(py::handle w) {
  const ArrayArg w_arg(w, "w");
  const std::int64_t nonzero = run_op([&] { return count_nonzero(w_arg); }, w_arg);
  const std::int64_t total = w_arg.view().size();
  return total == 0 ? 0.0 : static_cast<double>(total - nonzero) / static_cast<double>(total);
}

// axis: None where all entries are compared with one another.
void prune_magnitude_of(const ArrayListArg& w, py::handle count, py::handle axis, const ArrayListArg& out) {
  const std::int64_t number = integer_argument(count, "count");
  if (axis.is_none()) return run_op([&] { prune_magnitude(w, number, out); }, w, out);
  const View &view = w.only(), &out_view = out.only();
  const int row_axis = axis_argument(axis, view);
  run_op([&] { prune_magnitude_rows(view, number, row_axis, out_view); }, w, out);
}

void bound_prune_magnitude(py::handle w, py::handle count, py::handle axis, py::handle out) {
  const ArrayListArg w_arg(w, "w"), out_arg(out, "out", Use::kOutput);
  const std::span<const View> arrays = w_arg, outputs = out_arg;
  for (std::size_t i = 0; i < std::min(arrays.size(), outputs.size()); ++i) require_same_dtype(arrays[i], outputs[i]);
  prune_magnitude_of(w_arg, count, axis, out_arg);
}

void bound_mask_magnitude(py::handle w, py::handle count, py::handle axis, bool packed, py::handle out) {
  const ArrayListArg w_arg(w, "w"), out_arg(out, "out", Use::kOutput);
  for (const View& view : std::span<const View>(out_arg)) require_mask_dtype(view, packed);
  prune_magnitude_of(w_arg, count, axis, out_arg);
}

}  // namespace

void bind_prune(py::module_& module) {
  module.def("prune_threshold", bound_prune_threshold, py::arg("w"), py::arg("eps"), py::arg("out"));
  module.def("mask_threshold", bound_mask_threshold, py::arg("w"), py::arg("eps"), py::arg("packed"), py::arg("out"));
  module.def("prune_magnitude", bound_prune_magnitude, py::arg("w"), py::arg("count"), py::arg("axis"), py::arg("out"));
  module.def("mask_magnitude", bound_mask_magnitude, py::arg("w"), py::arg("count"), py::arg("axis"), py::arg("packed"),
             py::arg("out"));
  module.def("apply_mask", bound_apply_mask, py::arg("w"), py::arg("mask"), py::arg("out"));
  module.def("count_nonzero", bound_count_nonzero, py::arg("w"));
  module.def("sparsity", bound_sparsity, py::arg("w"));
}

}  // namespace tersor::bind
