#include <string>

#include "bind/argument.h"
#include "bind/array.h"
#include "bind/call.h"
#include "bind/families.h"
#include "core/check.h"
#include "ops/prune_blocks.h"
#include "ops/prune_nm.h"

namespace tersor::bind {

namespace {

void bound_prune_nm(py::handle w, py::handle n, py::handle m, py::handle axis, py::handle packed, py::handle out) {
  const ArrayArg w_arg(w, "w"), out_arg(out, "out", Use::kOutput);
  require_output_kind(w_arg, packed, out_arg);
  const int kept = int_argument(n, "n"), group = int_argument(m, "m"), along = axis_argument(axis, w_arg);
  run_op([&] { prune_nm(w_arg, kept, group, along, out_arg); }, w_arg, out_arg);
}

void bound_prune_transposable(py::handle w, py::handle packed, py::handle out) {
  const ArrayArg w_arg(w, "w"), out_arg(out, "out", Use::kOutput);
  require_output_kind(w_arg, packed, out_arg);
  run_op([&] { prune_transposable(w_arg, out_arg); }, w_arg, out_arg);
}

BlockNorm norm_argument(py::handle norm) {
  const std::string name = py::isinstance<py::str>(norm) ? norm.cast<std::string>() : "";
  if (name == "l1") return BlockNorm::kL1;
  if (name == "l2") return BlockNorm::kL2;
  if (name == "max") return BlockNorm::kMax;
  throw ValueError("norm must be 'l1', 'l2' or 'max', not " + py::repr(norm).cast<std::string>());
}

BlockShape block_argument(py::handle block) {
  if (!py::isinstance<py::sequence>(block) || py::isinstance<py::str>(block) || py::len(block) != 2)
    throw TypeError("block must be two integers, (rows, cols), not " + py::repr(block).cast<std::string>());
  const auto sides = py::reinterpret_borrow<py::sequence>(block);
  return {integer_argument(py::object(sides[0]), "block[0]"), integer_argument(py::object(sides[1]), "block[1]")};
}

void bound_prune_blocks(py::handle w, py::handle block, py::handle sparsity, py::handle norm, py::handle packed, py::handle out) {
  const ArrayArg w_arg(w, "w"), out_arg(out, "out", Use::kOutput);
  require_output_kind(w_arg, packed, out_arg);
  const BlockShape shape = block_argument(block);
  const double share = number_argument(sparsity, "sparsity");
  const BlockNorm by = norm_argument(norm);
  run_op([&] { prune_blocks(w_arg, shape, share, by, out_arg); }, w_arg, out_arg);
}

}  // namespace

void bind_prune_pattern(py::module_& module) {
  module.def("prune_nm", bound_prune_nm, py::arg("w"), py::arg("n"), py::arg("m"), py::arg("axis"), py::arg("packed"),
             py::arg("out"));
  module.def("prune_transposable", bound_prune_transposable, py::arg("w"), py::arg("packed"), py::arg("out"));
  module.def("prune_blocks", bound_prune_blocks, py::arg("w"), py::arg("block"), py::arg("sparsity"), py::arg("norm"),
             py::arg("packed"), py::arg("out"));
}

}  // namespace tersor::bind
