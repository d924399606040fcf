#include "ops/matmul.h"

#include "bind/array.h"
#include "bind/bitmask_arg.h"
#include "bind/call.h"
#include "bind/families.h"

namespace tersor::bind {

namespace {

void bound_matmul_bitmask(py::handle x, py::handle values, py::handle bits, py::handle row_offsets, py::handle shape,
                          py::handle out) {
  const ArrayArg x_arg(x, "x");
  const BitmaskArg t(values, bits, row_offsets, shape, kPartsOfT);
  const ArrayArg out_arg(out, "out", Use::kOutput);
  run_op([&] { matmul_bitmask(x_arg, t, out_arg); }, x_arg, t.values(), t.bits());
}

}  // namespace

void bind_matmul(py::module_& module) {
  module.def("matmul_bitmask", bound_matmul_bitmask, py::arg("x"), py::arg("values"), py::arg("bits"), py::arg("row_offsets"),
             py::arg("shape"), py::arg("out"));
}

}  // namespace tersor::bind
