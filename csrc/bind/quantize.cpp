#include "ops/quantize.h"

#include "bind/argument.h"
#include "bind/array.h"
#include "bind/call.h"
#include "bind/families.h"

namespace tersor::bind {

namespace {

void bound_round_fixed(py::handle w, py::handle bits, py::handle out) {
  const ArrayArg w_arg(w, "w"), out_arg(out, "out", Use::kOutput);
  const int fraction_bits = int_argument(bits, "bits");
  run_op([&] { round_fixed(w_arg, fraction_bits, out_arg); }, w_arg, out_arg);
}

void bound_quantize_int8(py::handle w, py::handle axis, py::handle q, py::handle scale) {
  const ArrayArg w_arg(w, "w"), q_arg(q, "q", Use::kOutput), scale_arg(scale, "scale", Use::kOutput);
  const int row_axis = axis_argument(axis, w_arg);
  run_op([&] { quantize_int8(w_arg, row_axis, q_arg, scale_arg); }, w_arg, q_arg);
}

void bound_dequantize_int8(py::handle q, py::handle scale, py::handle out) {
  const ArrayArg q_arg(q, "q"), scale_arg(scale, "scale"), out_arg(out, "out", Use::kOutput);
  run_op([&] { dequantize_int8(q_arg, scale_arg, out_arg); }, q_arg, out_arg);
}

}  // namespace

void bind_quantize(py::module_& module) {
  module.def("round_fixed", bound_round_fixed, py::arg("w"), py::arg("bits"), py::arg("out"));
  module.def("quantize_int8", bound_quantize_int8, py::arg("w"), py::arg("axis"), py::arg("q"), py::arg("scale"));
  module.def("dequantize_int8", bound_dequantize_int8, py::arg("q"), py::arg("scale"), py::arg("out"));
}

}  // namespace tersor::bind
