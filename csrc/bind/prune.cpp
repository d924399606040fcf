#include "ops/prune.h"

#include <string>

#include "bind/argument.h"
#include "bind/array.h"
#include "bind/call.h"
#include "bind/families.h"
#include "core/check.h"

namespace tersor::bind {

namespace {

void bound_prune_threshold(py::handle w, py::handle eps, py::handle out) {
  const ArrayArg w_arg(w, "w"), out_arg(out, "out", Use::kOutput);
  const double threshold = number_argument(eps, "eps");
  run_op([&] { prune_threshold(w_arg, threshold, out_arg); }, w_arg, out_arg);
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

double bound_mean_threshold(py::handle w, py::handle factor) {
  const ArrayArg w_arg(w, "w");
  const double share = number_argument(factor, "factor");
  if (!(share >= 0)) throw ValueError("factor must be a number >= 0, got " + std::to_string(share));
  return share * run_op([&] { return mean_magnitude(w_arg); }, w_arg);
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

}  // namespace

void bind_prune(py::module_& module) {
  module.def("prune_threshold", bound_prune_threshold, py::arg("w"), py::arg("eps"), py::arg("out"));
  module.def("mask_threshold", bound_mask_threshold, py::arg("w"), py::arg("eps"), py::arg("packed"), py::arg("out"));
  module.def("mean_threshold", bound_mean_threshold, py::arg("w"), py::arg("factor"));
  module.def("apply_mask", bound_apply_mask, py::arg("w"), py::arg("mask"), py::arg("out"));
  module.def("count_nonzero", bound_count_nonzero, py::arg("w"));
  module.def("sparsity", bound_sparsity, py::arg("w"));
}

}  // namespace tersor::bind
