#include "ops/softmax.h"

#include "bind/argument.h"
#include "bind/array.h"
#include "bind/call.h"
#include "bind/families.h"

namespace tersor::bind {

namespace {

void bound_softmax(py::handle x, py::handle temperature, py::handle axis, py::handle out) {
  const ArrayArg x_arg(x, "x"), out_arg(out, "out", Use::kOutput);
  const int row_axis = axis_argument(axis, x_arg);
  if (PyFloat_Check(temperature.ptr()) || PyLong_Check(temperature.ptr())) {
    const double value = number_argument(temperature, "temperature");
    run_op([&] { softmax(x_arg, value, row_axis, out_arg); }, x_arg, out_arg);
  } else {
    const ArrayArg temperature_arg(temperature, "temperature");
    run_op([&] { softmax(x_arg, temperature_arg, row_axis, out_arg); }, x_arg, out_arg);
  }
}

}  // namespace

void bind_softmax(py::module_& module) {
  module.def("softmax", bound_softmax, py::arg("x"), py::arg("temperature"), py::arg("axis"), py::arg("out"));
}

}  // namespace tersor::bind
