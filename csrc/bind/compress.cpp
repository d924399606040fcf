#include "ops/compress.h"

#include "bind/argument.h"
#include "bind/array.h"
#include "bind/bitmask_arg.h"
#include "bind/call.h"
#include "bind/families.h"
#include "ops/check_views.h"
#include "ops/compress_nm.h"

namespace tersor::bind {

namespace {

constexpr const char* kNewParts[3] = {"out", "bits", "row_offsets"};
constexpr const char* kPartsOfRows[3] = {"values", "bits", "row_offsets"};

std::int64_t bound_compress_bitmask(py::handle w, py::handle values, py::handle bits, py::handle row_offsets, py::handle shape) {
  const ArrayArg w_arg(w, "w");
  const BitmaskArg t(values, bits, row_offsets, shape, kNewParts, /*written=*/true);
  return run_op([&] { return compress_bitmask(w_arg, t); }, w_arg);
}

void bound_decompress_bitmask(py::handle values, py::handle bits, py::handle row_offsets, py::handle shape, py::handle out) {
  const BitmaskArg t(values, bits, row_offsets, shape, kPartsOfT);
  const ArrayArg out_arg(out, "out", Use::kOutput);
  require_same_shape(t.dense(), out_arg);
  run_op([&] { decompress_bitmask(t, out_arg); }, out_arg);
}

void bound_find_columns(py::handle values, py::handle bits, py::handle row_offsets, py::handle shape, py::handle columns) {
  const BitmaskArg t(values, bits, row_offsets, shape, kPartsOfT);
  const ArrayArg columns_arg(columns, "columns", Use::kIndicesOutput);
  run_op([&] { find_columns(t, columns_arg); }, columns_arg);
}

void bound_mark_columns(py::handle values, py::handle columns, py::handle row_pointers, py::handle bits, py::handle row_offsets,
                        py::handle shape) {
  const ArrayArg columns_arg(columns, "columns", Use::kIndices), pointers_arg(row_pointers, "row_pointers", Use::kIndices);
  const BitmaskArg t(values, bits, row_offsets, shape, kPartsOfRows);
  run_op([&] { mark_columns(columns_arg, pointers_arg, t); }, columns_arg);
}

// --- n of m ------------------------------------------------------------------------------------------------------------------

template <auto compress>
void bound_compress_24(py::handle w, py::handle values, py::handle metadata) {
  const ArrayArg w_arg(w, "w"), values_arg(values, "values", Use::kOutput), metadata_arg(metadata, "metadata", Use::kIndicesOutput);
  run_op([&] { compress(w_arg, values_arg, metadata_arg); }, w_arg);
}

template <auto decompress>
void bound_decompress_24(py::handle values, py::handle metadata, py::handle out) {
  const ArrayArg values_arg(values, "values"), metadata_arg(metadata, "metadata", Use::kIndices), out_arg(out, "out", Use::kOutput);
  run_op([&] { decompress(values_arg, metadata_arg, out_arg); }, out_arg);
}

void bound_compress_nm(py::handle w, py::handle n, py::handle m, py::handle values, py::handle indices) {
  const ArrayArg w_arg(w, "w"), values_arg(values, "values", Use::kOutput), indices_arg(indices, "indices", Use::kOutput);
  const int kept = int_argument(n, "n"), group = int_argument(m, "m");
  run_op([&] { compress_nm(w_arg, kept, group, values_arg, indices_arg); }, w_arg);
}

void bound_decompress_nm(py::handle values, py::handle indices, py::handle n, py::handle m, py::handle cols, py::handle out) {
  const ArrayArg values_arg(values, "values"), indices_arg(indices, "indices"), out_arg(out, "out", Use::kOutput);
  require_columns(out_arg, cols);
  const int kept = int_argument(n, "n"), group = int_argument(m, "m");
  run_op([&] { decompress_nm(values_arg, indices_arg, kept, group, out_arg); }, out_arg);
}

}  // namespace

void bind_compress(py::module_& module) {
  module.def("compress_bitmask", bound_compress_bitmask, py::arg("w"), py::arg("values"), py::arg("bits"), py::arg("row_offsets"),
             py::arg("shape"));
  module.def("decompress_bitmask", bound_decompress_bitmask, py::arg("values"), py::arg("bits"), py::arg("row_offsets"),
             py::arg("shape"), py::arg("out"));
  module.def("find_columns", bound_find_columns, py::arg("values"), py::arg("bits"), py::arg("row_offsets"), py::arg("shape"),
             py::arg("columns"));
  module.def("mark_columns", bound_mark_columns, py::arg("values"), py::arg("columns"), py::arg("row_pointers"), py::arg("bits"),
             py::arg("row_offsets"), py::arg("shape"));
  module.def("compress_24_bitmask", bound_compress_24<compress_24_bitmask>, py::arg("w"), py::arg("values"), py::arg("metadata"));
  module.def("compress_24_cutlass", bound_compress_24<compress_24_cutlass>, py::arg("w"), py::arg("values"), py::arg("metadata"));
  module.def("decompress_24_bitmask", bound_decompress_24<decompress_24_bitmask>, py::arg("values"), py::arg("metadata"),
             py::arg("out"));
  module.def("decompress_24_cutlass", bound_decompress_24<decompress_24_cutlass>, py::arg("values"), py::arg("metadata"),
             py::arg("out"));
  module.def("compress_nm", bound_compress_nm, py::arg("w"), py::arg("n"), py::arg("m"), py::arg("values"), py::arg("indices"));
  module.def("decompress_nm", bound_decompress_nm, py::arg("values"), py::arg("indices"), py::arg("n"), py::arg("m"),
             py::arg("cols"), py::arg("out"));
}

}  // namespace tersor::bind
