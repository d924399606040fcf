#include "ops/formats_words.h"

#include <string>

#include "bind/argument.h"
#include "bind/array.h"
#include "bind/call.h"
#include "bind/families.h"

namespace tersor::bind {

namespace {

void bound_decode_words(py::handle words, py::handle bits, bool padded, const std::string& order, py::handle axis,
                        py::handle group_size, py::handle scale, py::handle zero_point, py::handle out) {
  const ArrayArg words_arg(words, "words", Use::kIndices), scale_arg(scale, "scale"), out_arg(out, "out", Use::kOutput);
  const OptionalArrayArg zero_point_arg(zero_point, "zero_point");
  const BitLayout layout{int_argument(bits, "bits"), padded, code_order_of(order), false, axis_argument(axis, words_arg)};
  const std::int64_t size = integer_argument(group_size, "group_size");
  run_op([&] { decode_words(words_arg, layout, size, scale_arg, zero_point_arg.view(), out_arg); }, words_arg, out_arg);
}

}  // namespace

void bind_formats_words(py::module_& module) {
  module.def("decode_words", bound_decode_words, py::arg("words"), py::arg("bits"), py::arg("padded"), py::arg("order"),
             py::arg("axis"), py::arg("group_size"), py::arg("scale"), py::arg("zero_point"), py::arg("out"));
}

}  // namespace tersor::bind
