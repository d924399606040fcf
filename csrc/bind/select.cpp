#include "ops/select.h"

#include "bind/argument.h"
#include "bind/array.h"
#include "bind/call.h"
#include "bind/families.h"

namespace tersor::bind {

namespace {

template <KeyOrder order>
double bound_kth(py::handle w, py::handle k) {
  const ArrayListArg w_arg(w, "w");
  const std::int64_t count = integer_argument(k, "k");
  return run_op([&] { return kth(w_arg, order, count); }, w_arg);
}

double bound_magnitude_threshold(py::handle w, py::handle sparsity) {
  const ArrayListArg w_arg(w, "w");
  const double share = number_argument(sparsity, "sparsity");
  return run_op([&] { return magnitude_threshold(w_arg, share); }, w_arg);
}

py::tuple bound_kth_and_next(py::handle w, py::handle k) {
  const ArrayListArg w_arg(w, "w");
  const std::int64_t count = integer_argument(k, "k");
  const Neighbours found = run_op([&] { return kth_and_next(w_arg, count); }, w_arg);
  return py::make_tuple(found.low, found.high);
}

std::int64_t bound_element_count(py::handle w) { return ArrayListArg(w, "w").size(); }

}  // namespace

void bind_select(py::module_& module) {
  module.def("kth_magnitude", bound_kth<KeyOrder::kMagnitude>, py::arg("w"), py::arg("k"));
  module.def("kth_value", bound_kth<KeyOrder::kValue>, py::arg("w"), py::arg("k"));
  module.def("magnitude_threshold", bound_magnitude_threshold, py::arg("w"), py::arg("sparsity"));
  module.def("kth_and_next", bound_kth_and_next, py::arg("w"), py::arg("k"));
  module.def("element_count", bound_element_count, py::arg("w"));
}

}  // namespace tersor::bind
