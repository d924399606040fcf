#include "ops/quantize_fake.h"

#include <string>

#include "bind/argument.h"
#include "bind/array.h"
#include "bind/call.h"
#include "bind/families.h"
#include "bind/quantize_arguments.h"

namespace tersor::bind {

namespace {

void bound_fake_quantize(py::handle w, py::handle axis, py::handle group_size, py::handle bits, bool symmetric, bool is_signed,
                         const std::string& convention, py::handle rounding, py::handle seed, bool scale_is_given, py::handle scale,
                         py::handle zero_point, py::handle out) {
  const Use use = scale_is_given ? Use::kInput : Use::kOutput;
  const ArrayArg w_arg(w, "w"), scale_arg(scale, "scale", use), out_arg(out, "out", Use::kOutput);
  const OptionalArrayArg zero_point_arg(zero_point, "zero_point", use);
  const GroupAxis groups = group_axis(axis, group_size, w_arg);
  const Convention rules = convention_of(convention);
  const CodeFormat format = code_format(bits, symmetric, is_signed);
  const CodeOptions options{.convention = rules,
                            .format = format,
                            .rounding = rounding_argument(rounding, rules, format),
                            .seed = seed_argument(seed),
                            .packed = false,
                            .as_numbers = true};
  if (scale_is_given)
    run_op([&] { encode_groups(w_arg, groups, options, scale_arg, zero_point_arg.view(), out_arg); }, w_arg, out_arg);
  else
    run_op([&] { quantize_groups(w_arg, groups, kWholeRanges, options, out_arg, scale_arg, zero_point_arg.view()); }, w_arg,
           out_arg);
}

void bound_fake_quantize_backward(py::handle grad, py::handle w, py::handle axis, py::handle group_size, py::handle bits,
                                  bool is_signed, const std::string& convention, py::handle rounding, py::handle seed,
                                  py::handle scale, py::handle zero_point, py::handle gradient_scale, py::handle grad_w,
                                  py::handle grad_scale, py::handle grad_zero_point) {
  const ArrayArg grad_arg(grad, "grad"), w_arg(w, "w"), scale_arg(scale, "scale");
  const OptionalArrayArg zero_point_arg(zero_point, "zero_point");
  const ArrayArg grad_w_arg(grad_w, "grad_w", Use::kOutput), grad_scale_arg(grad_scale, "grad_scale", Use::kOutput);
  const OptionalArrayArg grad_zero_point_arg(grad_zero_point, "grad_zero_point", Use::kOutput);
  const GroupAxis groups = group_axis(axis, group_size, w_arg);
  const Convention rules = convention_of(convention);
  const CodeFormat format = code_format(bits, zero_point.is_none(), is_signed);
  const CodeOptions options{rules, format, rounding_argument(rounding, rules, format), seed_argument(seed), false};
  const double factor = number_argument(gradient_scale, "gradient_scale");
  const FakeQuantizeGradients gradients{grad_w_arg, grad_scale_arg, grad_zero_point_arg.view()};
  run_op([&] { fake_quantize_backward(grad_arg, w_arg, groups, options, scale_arg, zero_point_arg.view(), factor, gradients); },
         w_arg, grad_w_arg);
}

}  // namespace

void bind_quantize_fake(py::module_& module) {
  module.def("fake_quantize", bound_fake_quantize, py::arg("w"), py::arg("axis"), py::arg("group_size"), py::arg("bits"),
             py::arg("symmetric"), py::arg("signed"), py::arg("convention"), py::arg("rounding"), py::arg("seed"),
             py::arg("scale_is_given"), py::arg("scale"), py::arg("zero_point"), py::arg("out"));
  module.def("fake_quantize_backward", bound_fake_quantize_backward, py::arg("grad"), py::arg("w"), py::arg("axis"),
             py::arg("group_size"), py::arg("bits"), py::arg("signed"), py::arg("convention"), py::arg("rounding"), py::arg("seed"),
             py::arg("scale"), py::arg("zero_point"), py::arg("gradient_scale"), py::arg("grad_w"), py::arg("grad_scale"),
             py::arg("grad_zero_point"));
}

}  // namespace tersor::bind
