#include "ops/information.h"

#include <cstring>
#include <string>
#include <vector>

#include "bind/argument.h"
#include "bind/array.h"
#include "bind/call.h"
#include "bind/families.h"
#include "core/check.h"
#include "ops/check_views.h"
#include "ops/distribution.h"
#include "ops/logarithm.h"
#include "ops/unit_information.h"

namespace tersor::bind {

namespace {

BinKind kind_argument(py::handle kind) {
  if (py::isinstance<py::str>(kind)) {
    if (py::str(kind).equal(py::str("uniform"))) return BinKind::kUniform;
    if (py::str(kind).equal(py::str("quantile"))) return BinKind::kQuantile;
  }
  throw ValueError("kind must be 'uniform' or 'quantile', not " + py::repr(kind).cast<std::string>());
}

std::vector<double> edges_argument(py::handle edges, const char* name) { return read_edges(ArrayArg(edges, name)); }

// bins: a number of bins, or a float64 array of edges.
BinRule bins_argument(py::handle bins, py::handle kind) {
  BinRule rule{0, kind_argument(kind), {}};
  if (PyIndex_Check(bins.ptr()) && !py::hasattr(bins, "shape"))
    rule.bins = integer_argument(bins, "bins");
  else
    rule.edges = edges_argument(bins, "bins");
  return rule;
}

void fill(const View& out, const std::vector<double>& numbers) {
  require_dtype(out, {DType::kFloat64});
  require_cpu("binning", out);
  if (out.ndim != 1 || out.shape[0] != std::ssize(numbers))
    throw ValueError(std::string(out.name) + " has shape " + shape_text(out) + "; it must be (" + std::to_string(numbers.size()) +
                     ",)");
  for (std::size_t i = 0; i < numbers.size(); ++i)
    std::memcpy(out.data + static_cast<std::int64_t>(i) * out.stride_bytes[0], &numbers[i], sizeof(double));
}

void bound_bin_edges(py::handle x, const char* name, py::handle bins, py::handle kind, py::handle edges) {
  const ArrayArg x_arg(x, name), edges_arg(edges, "edges", Use::kOutput);
  const BinRule rule = bins_argument(bins, kind);
  fill(edges_arg, rule.edges.empty() ? run_op([&] { return edges_of_data(x_arg, rule.bins, rule.kind); }, x_arg) : rule.edges);
}

void bound_uniform_edges(py::handle low, py::handle high, py::handle edges) {
  const ArrayArg edges_arg(edges, "edges", Use::kOutput);
  const View& out = edges_arg;
  fill(out, uniform_edges(number_argument(low, "range"), number_argument(high, "range"), out.size() - 1, "range"));
}

void bound_histogram(py::handle x, py::handle edges, py::handle counts) {
  const ArrayArg x_arg(x, "x"), counts_arg(counts, "out", Use::kIndicesOutput);
  const std::vector<double> numbers = edges_argument(edges, "bins");
  run_op([&] { histogram(x_arg, numbers, counts_arg); }, x_arg, counts_arg);
}

void bound_histogram2d(py::handle x, py::handle y, py::handle x_edges, py::handle y_edges, py::handle counts) {
  const ArrayArg x_arg(x, "x"), y_arg(y, "y"), counts_arg(counts, "out", Use::kIndicesOutput);
  const std::vector<double> x_numbers = edges_argument(x_edges, "bins"), y_numbers = edges_argument(y_edges, "bins");
  run_op([&] { histogram2d(x_arg, y_arg, x_numbers, y_numbers, counts_arg); }, x_arg, y_arg, counts_arg);
}

double bound_entropy(py::handle x, py::handle bins, py::handle kind) {
  const ArrayArg x_arg(x, "x");
  const BinRule rule = bins_argument(bins, kind);
  return run_op([&] { return entropy(x_arg, rule); }, x_arg);
}

void bound_entropy_rows(py::handle x, py::handle bins, py::handle kind, py::handle axis, py::handle out) {
  const ArrayArg x_arg(x, "x"), out_arg(out, "out", Use::kOutput);
  const BinRule rule = bins_argument(bins, kind);
  const int along = axis_argument(axis, x_arg);
  run_op([&] { entropy_rows(x_arg, along, rule, out_arg); }, x_arg, out_arg);
}

void bound_mutual_information(py::handle x, py::handle y, py::handle bins, py::handle kind, py::handle out) {
  const ArrayArg x_arg(x, "x"), y_arg(y, "y", Use::kIndices), out_arg(out, "out", Use::kOutput);
  const BinRule rule = bins_argument(bins, kind);
  run_op([&] { mutual_information(x_arg, y_arg, rule, out_arg); }, x_arg, y_arg, out_arg);
}

void require_written(const View& out, DType dtype, const char* when) {
  if (out.dtype == dtype) return;
  throw TypeError(std::string(out.name) + " must be " + name_of(dtype) + when);
}

void prune_by_information(const ArrayArg& w, py::handle activations, py::handle sparsity, py::handle target, py::handle bins,
                          py::handle kind, py::handle axis, const ArrayArg& out) {
  const ArrayArg activations_arg(activations, "activations");
  const OptionalArrayArg target_arg(target, "target", Use::kIndices);
  const double share = number_argument(sparsity, "sparsity");
  const BinRule rule = bins_argument(bins, kind);
  const int along = axis_argument(axis, w);
  run_op([&] { prune_information(w, activations_arg, target_arg.view(), rule, share, along, out); }, w, activations_arg);
}

void bound_prune_information(py::handle w, py::handle activations, py::handle sparsity, py::handle target, py::handle bins,
                             py::handle kind, py::handle axis, py::handle out) {
  const ArrayArg w_arg(w, "w"), out_arg(out, "out", Use::kOutput);
  require_same_dtype(w_arg, out_arg);
  prune_by_information(w_arg, activations, sparsity, target, bins, kind, axis, out_arg);
}

void bound_mask_information(py::handle w, py::handle activations, py::handle sparsity, py::handle target, py::handle bins,
                            py::handle kind, py::handle axis, bool packed, py::handle out) {
  const ArrayArg w_arg(w, "w"), out_arg(out, "out", Use::kOutput);
  if (packed)
    require_written(out_arg, DType::kUInt8, " where packed is True");
  else
    require_written(out_arg, DType::kBool, " where packed is False");
  prune_by_information(w_arg, activations, sparsity, target, bins, kind, axis, out_arg);
}

double bound_divergence(py::handle p, py::handle q) {
  const ArrayArg p_arg(p, "p"), q_arg(q, "q");
  return run_op([&] { return divergence(p_arg, q_arg); }, p_arg, q_arg);
}

double bound_distribution_entropy(py::handle p) {
  const ArrayArg p_arg(p, "p");
  return run_op([&] { return distribution_entropy(p_arg); }, p_arg);
}

}  // namespace

void bind_information(py::module_& module) {
  module.def("bin_edges", bound_bin_edges, py::arg("x"), py::arg("name"), py::arg("bins"), py::arg("kind"), py::arg("edges"));
  module.def("uniform_edges", bound_uniform_edges, py::arg("low"), py::arg("high"), py::arg("edges"));
  module.def("histogram", bound_histogram, py::arg("x"), py::arg("edges"), py::arg("counts"));
  module.def("histogram2d", bound_histogram2d, py::arg("x"), py::arg("y"), py::arg("x_edges"), py::arg("y_edges"),
             py::arg("counts"));
  module.def("entropy", bound_entropy, py::arg("x"), py::arg("bins"), py::arg("kind"));
  module.def("entropy_rows", bound_entropy_rows, py::arg("x"), py::arg("bins"), py::arg("kind"), py::arg("axis"), py::arg("out"));
  module.def("mutual_information", bound_mutual_information, py::arg("x"), py::arg("y"), py::arg("bins"), py::arg("kind"),
             py::arg("out"));
  module.def("mask_information", bound_mask_information, py::arg("w"), py::arg("activations"), py::arg("sparsity"),
             py::arg("target"), py::arg("bins"), py::arg("kind"), py::arg("axis"), py::arg("packed"), py::arg("out"));
  module.def("prune_information", bound_prune_information, py::arg("w"), py::arg("activations"), py::arg("sparsity"),
             py::arg("target"), py::arg("bins"), py::arg("kind"), py::arg("axis"), py::arg("out"));
  module.def("divergence", bound_divergence, py::arg("p"), py::arg("q"));
  module.def("distribution_entropy", bound_distribution_entropy, py::arg("p"));
  module.def("natural_logarithm", natural_logarithm, py::arg("x"));
}

}  // namespace tersor::bind
