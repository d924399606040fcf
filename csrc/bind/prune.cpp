#include "ops/prune.h"

#include <algorithm>
#include <iterator>
#include <span>
#include <string>
#include <utility>

#include "bind/argument.h"
#include "bind/array.h"
#include "bind/call.h"
#include "bind/families.h"
#include "core/check.h"
#include "ops/check_views.h"
#include "ops/prune_magnitude.h"
#include "ops/select.h"

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

// What entries are compared with one another.
enum class Scope : std::uint8_t { kTensor, kGlobal, kRow, kColumn };

Scope scope_argument(py::handle scope, const ArrayListArg& w) {
  const std::pair<const char*, Scope> scopes[] = {
      {"tensor", Scope::kTensor}, {"global", Scope::kGlobal}, {"row", Scope::kRow}, {"column", Scope::kColumn}};
  const auto* found = std::find_if(std::begin(scopes), std::end(scopes), [&](const auto& known) {
    return py::isinstance<py::str>(scope) && py::str(scope).equal(py::str(known.first));
  });
  if (found == std::end(scopes))
    throw ValueError("scope must be 'tensor', 'row', 'column' or 'global', not " + py::repr(scope).cast<std::string>());
  if ((found->second == Scope::kGlobal) != w.is_list())
    throw ValueError("w must be a list of arrays for scope=\"global\", and one array for every other scope");
  return found->second;
}

void prune_magnitude_of(const ArrayListArg& w, py::handle sparsity, py::handle scope, const ArrayListArg& out) {
  const double share = number_argument(sparsity, "sparsity");
  const Scope chosen = scope_argument(scope, w);
  if (chosen == Scope::kTensor || chosen == Scope::kGlobal) {
    const std::int64_t count = count_to_prune(share, w.size());
    return run_op([&] { prune_magnitude(w, count, out); }, w, out);
  }
  const View &view = w.only(), &out_view = out.only();
  const int from_end = chosen == Scope::kRow ? 1 : 2;
  if (view.ndim < from_end)
    throw ValueError("w has " + std::to_string(view.ndim) + " dimensions; this scope needs at least " + std::to_string(from_end));
  const int axis = view.ndim - from_end;
  const std::int64_t count = count_to_prune(share, view.shape[axis]);
  run_op([&] { prune_magnitude_rows(view, count, axis, out_view); }, w, out);
}

void bound_prune_magnitude(py::handle w, py::handle sparsity, py::handle scope, py::handle out) {
  const ArrayListArg w_arg(w, "w"), out_arg(out, "out", Use::kOutput);
  const std::span<const View> arrays = w_arg, outputs = out_arg;
  for (std::size_t i = 0; i < std::min(arrays.size(), outputs.size()); ++i) require_same_dtype(arrays[i], outputs[i]);
  prune_magnitude_of(w_arg, sparsity, scope, out_arg);
}

void bound_mask_magnitude(py::handle w, py::handle sparsity, py::handle scope, bool packed, py::handle out) {
  const ArrayListArg w_arg(w, "w"), out_arg(out, "out", Use::kOutput);
  for (const View& view : std::span<const View>(out_arg)) require_mask_dtype(view, packed);
  prune_magnitude_of(w_arg, sparsity, scope, out_arg);
}

}  // namespace

void bind_prune(py::module_& module) {
  module.def("prune_threshold", bound_prune_threshold, py::arg("w"), py::arg("eps"), py::arg("out"));
  module.def("mask_threshold", bound_mask_threshold, py::arg("w"), py::arg("eps"), py::arg("packed"), py::arg("out"));
  module.def("prune_magnitude", bound_prune_magnitude, py::arg("w"), py::arg("sparsity"), py::arg("scope"), py::arg("out"));
  module.def("mask_magnitude", bound_mask_magnitude, py::arg("w"), py::arg("sparsity"), py::arg("scope"), py::arg("packed"),
             py::arg("out"));
  module.def("apply_mask", bound_apply_mask, py::arg("w"), py::arg("mask"), py::arg("out"));
  module.def("count_nonzero", bound_count_nonzero, py::arg("w"));
  module.def("sparsity", bound_sparsity, py::arg("w"));
}

}  // namespace tersor::bind
