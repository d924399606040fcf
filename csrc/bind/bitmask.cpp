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

template <BitLogic logic>
void bound_combine(py::handle a, py::handle b, py::handle out) {
  const ArrayArg a_arg(a, "a"), b_arg(b, "b"), out_arg(out, "out", Use::kOutput);
  run_op([&] { combine_masks(a_arg, b_arg, logic, out_arg); }, a_arg, out_arg);
}

void bound_invert_mask(py::handle bits, py::handle cols, py::handle out) {
  const ArrayArg bits_arg(bits, "bits"), out_arg(out, "out", Use::kOutput);
  const std::int64_t count = integer_argument(cols, "cols");
  run_op([&] { invert_mask(bits_arg, count, out_arg); }, bits_arg, out_arg);
}

std::int64_t bound_count_mask(py::handle bits, py::handle cols) {
  const ArrayArg bits_arg(bits, "bits");
  const std::int64_t count = integer_argument(cols, "cols");
  return run_op([&] { return count_mask(bits_arg, count); }, bits_arg);
}

}  // namespace

void bind_bitmask(py::module_& module) {
  module.def("pack_mask", bound_pack_mask, py::arg("mask"), py::arg("out"));
  module.def("unpack_mask", bound_unpack_mask, py::arg("bits"), py::arg("cols"), py::arg("out"));
  module.def("and_masks", bound_combine<BitLogic::kAnd>, py::arg("a"), py::arg("b"), py::arg("out"));
  module.def("or_masks", bound_combine<BitLogic::kOr>, py::arg("a"), py::arg("b"), py::arg("out"));
  module.def("xor_masks", bound_combine<BitLogic::kXor>, py::arg("a"), py::arg("b"), py::arg("out"));
  module.def("invert_mask", bound_invert_mask, py::arg("bits"), py::arg("cols"), py::arg("out"));
  module.def("count_mask", bound_count_mask, py::arg("bits"), py::arg("cols"));
}

}  // namespace tersor::bind
