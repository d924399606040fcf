#pragma once
// What module.cpp puts together: one function a family, each in the file of that name.

#include <pybind11/pybind11.h>

namespace tersor::bind {

namespace py = pybind11;

void bind_prune(py::module_& module);
void bind_prune_ranked(py::module_& module);
void bind_prune_pattern(py::module_& module);
void bind_bitmask(py::module_& module);
void bind_compress(py::module_& module);
void bind_quantize(py::module_& module);
void bind_quantize_groups(py::module_& module);
void bind_quantize_error(py::module_& module);
void bind_quantize_fake(py::module_& module);
void bind_quantize_calibrate(py::module_& module);
void bind_pack(py::module_& module);
void bind_formats_float(py::module_& module);
void bind_formats_gguf(py::module_& module);
void bind_formats_words(py::module_& module);
void bind_select(py::module_& module);
void bind_softmax(py::module_& module);
void bind_structured(py::module_& module);
void bind_information(py::module_& module);
void bind_matmul(py::module_& module);
void bind_runtime(py::module_& module);

}  // namespace tersor::bind
