#include "ops/formats_float.h"

#include <string>

#include "bind/argument.h"
#include "bind/array.h"
#include "bind/call.h"
#include "bind/families.h"

namespace tersor::bind {

namespace {

void bound_encode_float(py::handle w, const std::string& format, py::handle group_size, double global_scale, py::handle packed,
                        py::handle scale, py::handle offset) {
  const ArrayArg w_arg(w, "w"), packed_arg(packed, "packed", Use::kOutput), scale_arg(scale, "scale", Use::kOutput);
  const OptionalArrayArg offset_arg(offset, "offset", Use::kOutput);
  const FloatFormat& of = float_format_of(format);
  const std::int64_t run = integer_argument(group_size, "group_size");
  run_op([&] { encode_float(w_arg, of, run, static_cast<float>(global_scale), packed_arg, scale_arg, offset_arg.view()); }, w_arg);
}

void bound_decode_float(py::handle packed, py::handle scale, const std::string& format, py::handle group_size, double global_scale,
                        py::handle out, py::handle offset) {
  const ArrayArg packed_arg(packed, "packed"), scale_arg(scale, "scale"), out_arg(out, "out", Use::kOutput);
  const OptionalArrayArg offset_arg(offset, "offset");
  const FloatFormat& of = float_format_of(format);
  const std::int64_t run = integer_argument(group_size, "group_size");
  run_op([&] { decode_float(packed_arg, scale_arg, of, run, static_cast<float>(global_scale), out_arg, offset_arg.view()); },
         out_arg);
}

double bound_greatest_magnitude(py::handle w) {
  const ArrayArg w_arg(w, "w");
  return static_cast<double>(run_op([&] { return greatest_magnitude(w_arg); }, w_arg));
}

py::list bound_code_table(const std::string& format) {
  py::list numbers;
  for (int code = 0; code < 16; ++code) numbers.append(static_cast<double>(number_of(float_format_of(format), code)));
  return numbers;
}

}  // namespace

void bind_formats_float(py::module_& module) {
  module.def("encode_float", bound_encode_float, py::arg("w"), py::arg("format"), py::arg("group_size"), py::arg("global_scale"),
             py::arg("packed"), py::arg("scale"), py::arg("offset") = py::none());
  module.def("decode_float", bound_decode_float, py::arg("packed"), py::arg("scale"), py::arg("format"), py::arg("group_size"),
             py::arg("global_scale"), py::arg("out"), py::arg("offset") = py::none());
  module.def("code_table", bound_code_table, py::arg("format"));
  module.def("greatest_magnitude", bound_greatest_magnitude, py::arg("w"));
}

}  // namespace tersor::bind
