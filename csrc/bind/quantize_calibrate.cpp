#include "ops/quantize_calibrate.h"

#include "bind/argument.h"
#include "bind/array.h"
#include "bind/call.h"
#include "bind/families.h"
#include "bind/quantize_arguments.h"

namespace tersor::bind {

namespace {

void bound_measure_ranges(py::handle x, py::handle axis, py::handle group_size, py::handle low, py::handle high) {
  const ArrayArg x_arg(x, "x"), low_arg(low, "low", Use::kOutput), high_arg(high, "high", Use::kOutput);
  const GroupAxis groups = group_axis(axis, group_size, x_arg);
  run_op([&] { measure_ranges(x_arg, groups, low_arg, high_arg); }, x_arg);
}

}  // namespace

void bind_quantize_calibrate(py::module_& module) {
  module.def("measure_ranges", bound_measure_ranges, py::arg("x"), py::arg("axis"), py::arg("group_size"), py::arg("low"),
             py::arg("high"));
}

}  // namespace tersor::bind
