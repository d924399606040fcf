#include "ops/bitmask.h"

#include "bind/argument.h"
#include "bind/array.h"
#include "bind/call.h"
#include "bind/families.h"

namespace tersor::bind {

namespace {

void bound_pack_mask(py::handle mask, py::handle out) {
  const ArrayArg mask_arg(mask, "mask"), out_arg(out, "out", Use::kOutput);
  run_op([&] { pack_mask(mask_arg, out_arg); }, mask_arg, out_arg);
}

void bound_unpack_mask(py::handle bits, py::handle cols, py::handle out) {
  const ArrayArg bits_arg(bits, "bits"), out_arg(out, "out", Use::kOutput);
  require_columns(out_arg, cols);
  run_op([&] { unpack_mask(bits_arg, out_arg); }, bits_arg, out_arg);
}

}  // namespace

void bind_bitmask(py::module_& module) {
  module.def("pack_mask", bound_pack_mask, py::arg("mask"), py::arg("out"));
  module.def("unpack_mask", bound_unpack_mask, py::arg("bits"), py::arg("cols"), py::arg("out"));
}

}  // namespace tersor::bind
