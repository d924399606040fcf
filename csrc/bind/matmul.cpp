#include "ops/matmul.h"

#include "bind/argument.h"
#include "bind/array.h"
#include "bind/call.h"
#include "bind/families.h"

namespace tersor::bind {

namespace {

void bound_matmul_bitmask(py::handle x, py::handle values, py::handle bits, py::handle row_offsets, py::handle rows,
                          py::handle cols, py::handle out) {
  const ArrayArg x_arg(x, "x"), values_arg(values, "t.values"), bits_arg(bits, "t.bits");
  const ArrayArg offsets_arg(row_offsets, "t.row_offsets", Use::kIndices), out_arg(out, "out", Use::kOutput);
  const BitmaskViews w{values_arg, bits_arg, offsets_arg, integer_argument(rows, "t.shape[0]"),
                       integer_argument(cols, "t.shape[1]")};
  run_op([&] { matmul_bitmask(x_arg, w, out_arg); }, x_arg, values_arg, bits_arg);
}

}  // namespace

void bind_matmul(py::module_& module) {
  module.def("matmul_bitmask", bound_matmul_bitmask, py::arg("x"), py::arg("values"), py::arg("bits"), py::arg("row_offsets"),
             py::arg("rows"), py::arg("cols"), py::arg("out"));
}

}  // namespace tersor::bind
