#include "ops/formats_gguf.h"

#include <string>

#include "bind/array.h"
#include "bind/call.h"
#include "bind/families.h"

namespace tersor::bind {

namespace {

void bound_encode_gguf(py::handle w, const std::string& kind, py::handle data) {
  const ArrayArg w_arg(w, "w"), data_arg(data, "data", Use::kOutput);
  run_op([&] { encode_gguf(w_arg, kind, data_arg); }, w_arg, data_arg);
}

void bound_decode_gguf(py::handle data, const std::string& kind, py::handle out) {
  const ArrayArg data_arg(data, "data"), out_arg(out, "out", Use::kOutput);
  run_op([&] { decode_gguf(data_arg, kind, out_arg); }, data_arg, out_arg);
}

}  // namespace

void bind_formats_gguf(py::module_& module) {
  module.def("encode_gguf", bound_encode_gguf, py::arg("w"), py::arg("kind"), py::arg("data"));
  module.def("decode_gguf", bound_decode_gguf, py::arg("data"), py::arg("kind"), py::arg("out"));
}

}  // namespace tersor::bind
