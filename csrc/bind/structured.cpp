#include "ops/structured.h"

#include <algorithm>
#include <iterator>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "bind/argument.h"
#include "bind/array.h"
#include "bind/call.h"
#include "bind/families.h"
#include "core/check.h"
#include "ops/remove_units.h"

namespace tersor::bind {

namespace {

UnitCriterion criterion_argument(py::handle criterion) {
  const std::pair<const char*, UnitCriterion> criteria[] = {
      {"l1", UnitCriterion::kL1}, {"l2", UnitCriterion::kL2}, {"max", UnitCriterion::kMax}, {"taylor", UnitCriterion::kTaylor}};
  const auto* found = std::find_if(std::begin(criteria), std::end(criteria), [&](const auto& known) {
    return py::isinstance<py::str>(criterion) && py::str(criterion).equal(py::str(known.first));
  });
  if (found == std::end(criteria))
    throw ValueError("criterion must be 'l1', 'l2', 'max' or 'taylor', not " + py::repr(criterion).cast<std::string>());
  return found->second;
}

void bound_score_units(py::handle w, py::handle criterion, py::handle axis, py::handle group_size, py::handle gradient,
                       py::handle out) {
  const ArrayArg w_arg(w, "w"), out_arg(out, "out", Use::kOutput);
  const OptionalArrayArg gradient_arg(gradient, "gradient");
  const UnitCriterion chosen = criterion_argument(criterion);
  const int along = axis_argument(axis, w_arg);
  const std::int64_t entries = integer_argument(group_size, "group_size");
  run_op([&] { score_units(w_arg, chosen, along, entries, gradient_arg.view(), out_arg); }, w_arg, out_arg);
}

void bound_select_units(py::handle scores, py::handle sparsity, py::handle multiple_of, py::handle keep) {
  const ArrayArg scores_arg(scores, "scores"), keep_arg(keep, "keep", Use::kOutput);
  const double share = number_argument(sparsity, "sparsity");
  const std::int64_t multiple = integer_argument(multiple_of, "multiple_of");
  run_op([&] { select_units(scores_arg, share, multiple, keep_arg); }, scores_arg, keep_arg);
}

// axes and group_sizes: one integer for each array of w.
void bound_remove_units(py::handle w, py::handle keep, const py::sequence& axes, const py::sequence& group_sizes, py::handle out) {
  const ArrayListArg w_arg(w, "w"), out_arg(out, "out", Use::kOutput);
  const ArrayArg keep_arg(keep, "keep");
  const std::span<const View> arrays = w_arg;
  std::vector<UnitAxis> units;
  for (std::size_t i = 0; i < arrays.size(); ++i)
    units.push_back({axis_argument(py::object(axes[i]), arrays[i]), integer_argument(py::object(group_sizes[i]), "group_size")});
  run_op([&] { remove_units(arrays, keep_arg, units, out_arg); }, w_arg, out_arg);
}

}  // namespace

void bind_structured(py::module_& module) {
  module.def("score_units", bound_score_units, py::arg("w"), py::arg("criterion"), py::arg("axis"), py::arg("group_size"),
             py::arg("gradient"), py::arg("out"));
  module.def("select_units", bound_select_units, py::arg("scores"), py::arg("sparsity"), py::arg("multiple_of"), py::arg("keep"));
  module.def("remove_units", bound_remove_units, py::arg("w"), py::arg("keep"), py::arg("axes"), py::arg("group_sizes"),
             py::arg("out"));
}

}  // namespace tersor::bind
