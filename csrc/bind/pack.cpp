#include "ops/pack.h"

#include <string>

#include "bind/argument.h"
#include "bind/array.h"
#include "bind/call.h"
#include "bind/families.h"

namespace tersor::bind {

namespace {

void bound_pack_int4(py::handle q, py::handle out) {
  const ArrayArg q_arg(q, "q"), out_arg(out, "out", Use::kOutput);
  run_op([&] { pack_int4(q_arg, out_arg); }, q_arg, out_arg);
}

void bound_unpack_int4(py::handle p, py::handle cols, py::handle out) {
  const ArrayArg p_arg(p, "p"), out_arg(out, "out", Use::kOutput);
  require_columns(out_arg, cols);
  run_op([&] { unpack_int4(p_arg, out_arg); }, p_arg, out_arg);
}

BitLayout bit_layout(py::handle bits, bool padded, const std::string& order, bool offset, py::handle axis, const View& input) {
  const int last = input.ndim == 0 ? 0 : axis_argument(axis, input);  // the op refuses no dimensions
  return {int_argument(bits, "bits"), padded, code_order_of(order), offset, last};
}

// Words may be int32, as indices may.
void bound_pack_bits(py::handle q, py::handle bits, bool padded, const std::string& order, bool offset, py::handle axis,
                     py::handle out) {
  const ArrayArg q_arg(q, "q"), out_arg(out, "out", Use::kIndicesOutput);
  const BitLayout layout = bit_layout(bits, padded, order, offset, axis, q_arg);
  run_op([&] { pack_bits(q_arg, layout, out_arg); }, q_arg, out_arg);
}

void bound_unpack_bits(py::handle p, py::handle bits, py::handle cols, bool padded, const std::string& order, bool offset,
                       py::handle axis, py::handle out) {
  const ArrayArg p_arg(p, "p", Use::kIndices), out_arg(out, "out", Use::kOutput);
  const BitLayout layout = bit_layout(bits, padded, order, offset, axis, p_arg);
  require_columns(out_arg, cols, layout.axis);
  run_op([&] { unpack_bits(p_arg, layout, out_arg); }, p_arg, out_arg);
}

}  // namespace

void bind_pack(py::module_& module) {
  module.def("pack_int4", bound_pack_int4, py::arg("q"), py::arg("out"));
  module.def("unpack_int4", bound_unpack_int4, py::arg("p"), py::arg("cols"), py::arg("out"));
  module.def("pack_bits", bound_pack_bits, py::arg("q"), py::arg("bits"), py::arg("padded"), py::arg("order"), py::arg("offset"),
             py::arg("axis"), py::arg("out"));
  module.def("unpack_bits", bound_unpack_bits, py::arg("p"), py::arg("bits"), py::arg("cols"), py::arg("padded"), py::arg("order"),
             py::arg("offset"), py::arg("axis"), py::arg("out"));
}

}  // namespace tersor::bind
