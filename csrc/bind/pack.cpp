#include "ops/pack.h"

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

}  // namespace

void bind_pack(py::module_& module) {
  module.def("pack_int4", bound_pack_int4, py::arg("q"), py::arg("out"));
  module.def("unpack_int4", bound_unpack_int4, py::arg("p"), py::arg("cols"), py::arg("out"));
}

}  // namespace tersor::bind
