#include "ops/softmax.h"

#include "bind/argument.h"
#include "bind/array.h"
#include "bind/call.h"
#include "bind/families.h"
#include "ops/softmax_backward.h"
#include "ops/softmax_log.h"
#include "ops/softmax_rows.h"

namespace tersor::bind {

namespace {

bool is_number(py::handle temperature) { return PyFloat_Check(temperature.ptr()) || PyLong_Check(temperature.ptr()); }

// Calls body(view) with an array of temperatures, or a number as one of no dimensions.
template <class Body>
void with_temperature(py::handle temperature, Body body) {
  if (is_number(temperature)) {
    double value = number_argument(temperature, "temperature");
    body(view_of_temperature(value));
  } else {
    body(ArrayArg(temperature, "temperature"));
  }
}

void bound_softmax(py::handle x, py::handle temperature, py::handle axis, py::handle out) {
  const ArrayArg x_arg(x, "x"), out_arg(out, "out", Use::kOutput);
  const int row_axis = axis_argument(axis, x_arg);
  if (is_number(temperature)) {
    const double value = number_argument(temperature, "temperature");
    run_op([&] { softmax(x_arg, value, row_axis, out_arg); }, x_arg, out_arg);
  } else {
    const ArrayArg temperature_arg(temperature, "temperature");
    run_op([&] { softmax(x_arg, temperature_arg, row_axis, out_arg); }, x_arg, out_arg);
  }
}

using OfRows = void(const View& x, const View& temperature, int axis, const View& out);
template <OfRows& op>
void bound_of_rows(py::handle x, py::handle temperature, py::handle axis, py::handle out) {
  const ArrayArg x_arg(x, "x"), out_arg(out, "out", Use::kOutput);
  const int row_axis = axis_argument(axis, x_arg);
  with_temperature(temperature,
                   [&](const View& of_rows) { run_op([&] { op(x_arg, of_rows, row_axis, out_arg); }, x_arg, out_arg); });
}

// `other`: what the gradient is computed from beside that of the result.
using Backward = void(const View& gradient, const View& other, const View& temperature, int axis, const View& out);
template <Backward& op>
void define_backward(py::module_& module, const char* name, const char* other_name) {
  const auto backward = [other_name](py::handle gradient, py::handle other, py::handle temperature, py::handle axis,
                                     py::handle out) {
    const ArrayArg gradient_arg(gradient, "grad"), other_arg(other, other_name), out_arg(out, "out", Use::kOutput);
    const int row_axis = axis_argument(axis, other_arg);
    with_temperature(temperature, [&](const View& of_rows) {
      run_op([&] { op(gradient_arg, other_arg, of_rows, row_axis, out_arg); }, gradient_arg, other_arg, out_arg);
    });
  };
  module.def(name, backward, py::arg("grad"), py::arg(other_name), py::arg("temperature"), py::arg("axis"), py::arg("out"));
}

}  // namespace

void bind_softmax(py::module_& module) {
  const auto define_of_rows = [&](const char* name, auto function) {
    module.def(name, function, py::arg("x"), py::arg("temperature"), py::arg("axis"), py::arg("out"));
  };
  define_of_rows("softmax", bound_softmax);
  define_of_rows("log_softmax", bound_of_rows<log_softmax>);
  define_of_rows("logsumexp", bound_of_rows<logsumexp>);
  define_backward<softmax_backward>(module, "softmax_backward", "y");
  define_backward<log_softmax_backward>(module, "log_softmax_backward", "y");
  define_backward<logsumexp_backward>(module, "logsumexp_backward", "x");
}

}  // namespace tersor::bind
