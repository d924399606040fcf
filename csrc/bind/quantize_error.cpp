#include "ops/quantize_error.h"

#include "bind/argument.h"
#include "bind/array.h"
#include "bind/call.h"
#include "bind/families.h"
#include "bind/quantize_arguments.h"

namespace tersor::bind {

namespace {

py::tuple bound_quantization_error(py::handle w, py::handle q, py::handle axis, py::handle group_size, py::handle bits,
                                   bool is_signed, bool packed, py::handle scale, py::handle zero_point) {
  const ArrayArg w_arg(w, "w"), q_arg(q, "q"), scale_arg(scale, "scale");
  const OptionalArrayArg zero_point_arg(zero_point, "zero_point");
  const GroupAxis groups = group_axis(axis, group_size, w_arg);
  const QuantizedViews quantized{q_arg, packed, code_format(bits, zero_point.is_none(), is_signed), scale_arg,
                                 zero_point_arg.view()};
  const QuantizationError error = run_op([&] { return quantization_error(w_arg, groups, quantized); }, w_arg);
  return py::make_tuple(error.mse, error.largest, error.sqnr, error.cosine);
}

void bound_quantization_error_of_groups(py::handle w, py::handle q, py::handle axis, py::handle group_size, py::handle bits,
                                        bool is_signed, bool packed, py::handle scale, py::handle zero_point, py::handle mse,
                                        py::handle max, py::handle sqnr, py::handle cosine) {
  const ArrayArg w_arg(w, "w"), q_arg(q, "q"), scale_arg(scale, "scale");
  const OptionalArrayArg zero_point_arg(zero_point, "zero_point");
  const ArrayArg mse_arg(mse, "mse", Use::kOutput), max_arg(max, "max", Use::kOutput), sqnr_arg(sqnr, "sqnr", Use::kOutput),
      cosine_arg(cosine, "cosine", Use::kOutput);
  const GroupAxis groups = group_axis(axis, group_size, w_arg);
  const QuantizedViews quantized{q_arg, packed, code_format(bits, zero_point.is_none(), is_signed), scale_arg,
                                 zero_point_arg.view()};
  const QuantizationErrorViews errors{mse_arg, max_arg, sqnr_arg, cosine_arg};
  run_op([&] { quantization_error_of_groups(w_arg, groups, quantized, errors); }, w_arg);
}

}  // namespace

void bind_quantize_error(py::module_& module) {
  module.def("quantization_error", bound_quantization_error, py::arg("w"), py::arg("q"), py::arg("axis"), py::arg("group_size"),
             py::arg("bits"), py::arg("signed"), py::arg("packed"), py::arg("scale"), py::arg("zero_point"));
  module.def("quantization_error_of_groups", bound_quantization_error_of_groups, py::arg("w"), py::arg("q"), py::arg("axis"),
             py::arg("group_size"), py::arg("bits"), py::arg("signed"), py::arg("packed"), py::arg("scale"), py::arg("zero_point"),
             py::arg("mse"), py::arg("max"), py::arg("sqnr"), py::arg("cosine"));
}

}  // namespace tersor::bind
