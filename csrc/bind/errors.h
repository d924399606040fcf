#pragma once
// C++ errors become Python's, and Ctrl-C becomes a C++ error.

#include <pybind11/pybind11.h>

namespace tersor::bind {

namespace py = pybind11;

void bind_errors(py::module_& module);

}  // namespace tersor::bind
