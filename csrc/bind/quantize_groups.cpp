#include "ops/quantize_groups.h"

#include <optional>
#include <string>

#include "bind/argument.h"
#include "bind/array.h"
#include "bind/call.h"
#include "bind/families.h"
#include "bind/quantize_arguments.h"

namespace tersor::bind {

namespace {

void bound_quantize_groups(py::handle w, py::handle axis, py::handle group_size, const std::string& range_method,
                           py::handle percentile, py::handle max_shrink, py::handle grid, py::handle importance, py::handle bins,
                           py::handle bits, bool symmetric, bool is_signed, const std::string& convention, py::handle rounding,
                           py::handle seed, bool packed, bool scale_is_given, py::handle scale, py::handle zero_point,
                           py::handle q) {
  const Use use = scale_is_given ? Use::kInput : Use::kOutput;
  const ArrayArg w_arg(w, "w"), scale_arg(scale, "scale", use), q_arg(q, "q", Use::kOutput);
  const OptionalArrayArg zero_point_arg(zero_point, "zero_point", use);
  const OptionalArrayArg importance_arg(importance, "importance");
  const GroupAxis groups = group_axis(axis, group_size, w_arg);
  const RangeOptions ranges{range_method_of(range_method),
                            number_argument(percentile, "percentile"),
                            {number_argument(max_shrink, "max_shrink"), int_argument(grid, "grid")},
                            importance_arg.view(),
                            bins.is_none() ? std::nullopt : std::optional(integer_argument(bins, "bins"))};
  const Convention rules = convention_of(convention);
  const CodeFormat format = code_format(bits, symmetric, is_signed);
  const CodeOptions options{rules, format, rounding_argument(rounding, rules, format), seed_argument(seed), packed};
  if (scale_is_given)
    run_op([&] { encode_groups(w_arg, groups, options, scale_arg, zero_point_arg.view(), q_arg); }, w_arg, q_arg);
  else
    run_op([&] { quantize_groups(w_arg, groups, ranges, options, q_arg, scale_arg, zero_point_arg.view()); }, w_arg, q_arg);
}

void bound_dequantize_groups(py::handle q, py::handle axis, py::handle group_size, py::handle bits, bool is_signed, bool packed,
                             py::handle scale, py::handle zero_point, py::handle out) {
  const ArrayArg q_arg(q, "q"), scale_arg(scale, "scale"), out_arg(out, "out", Use::kOutput);
  const OptionalArrayArg zero_point_arg(zero_point, "zero_point");
  const GroupAxis groups = group_axis(axis, group_size, out_arg);
  const CodeFormat format = code_format(bits, zero_point.is_none(), is_signed);
  run_op([&] { decode_groups(q_arg, groups, format, packed, scale_arg, zero_point_arg.view(), out_arg); }, q_arg, out_arg);
}

}  // namespace

void bind_quantize_groups(py::module_& module) {
  module.def("quantize_groups", bound_quantize_groups, py::arg("w"), py::arg("axis"), py::arg("group_size"),
             py::arg("range_method"), py::arg("percentile"), py::arg("max_shrink"), py::arg("grid"), py::arg("importance"),
             py::arg("bins"), py::arg("bits"), py::arg("symmetric"), py::arg("signed"), py::arg("convention"), py::arg("rounding"),
             py::arg("seed"), py::arg("packed"), py::arg("scale_is_given"), py::arg("scale"), py::arg("zero_point"), py::arg("q"));
  module.def("dequantize_groups", bound_dequantize_groups, py::arg("q"), py::arg("axis"), py::arg("group_size"), py::arg("bits"),
             py::arg("signed"), py::arg("packed"), py::arg("scale"), py::arg("zero_point"), py::arg("out"));
}

}  // namespace tersor::bind
