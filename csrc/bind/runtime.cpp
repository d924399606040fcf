// Threads, CPU levels, and memory for outputs.

#include <pybind11/numpy.h>

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "bind/argument.h"
#include "bind/array.h"
#include "bind/families.h"
#include "core/cpu_level.h"
#include "core/parallel.h"

// For threadpoolctl, which finds a library by its file name and calls C functions.
extern "C" {
__attribute__((visibility("default"))) int tersor_get_num_threads() { return tersor::num_threads(); }
__attribute__((visibility("default"))) void tersor_set_num_threads(int count) { tersor::set_num_threads(count < 1 ? 1 : count); }
}

namespace tersor::bind {

namespace {

constexpr std::uintptr_t kAlignment = 64;

py::tuple bound_cpu_levels() {
  py::list names;
  for (const CpuLevel level : supported_cpu_levels()) names.append(name_of(level));
  return py::tuple(names);
}

void bound_check_array(py::handle object, const std::string& name) { const ArrayArg checked(object, name.c_str()); }

// Of arrays that speak DLPack and have no shape of their own to tell.
py::tuple bound_array_shape(py::handle object, const std::string& name) {
  const ArrayArg array(object, name.c_str());
  py::tuple shape(array.view().ndim);
  for (int i = 0; i < array.view().ndim; ++i) shape[static_cast<std::size_t>(i)] = array.view().shape[i];
  return shape;
}

// Lays an array of this shape over NumPy's own buffer of kAlignment - 1 spare bytes, from the first aligned address on. The
// buffer is NumPy's so that its huge pages and its tracemalloc accounting stay.
py::array bound_aligned_array(const py::array& buffer, const py::dtype& dtype, const py::tuple& shape) {
  const auto address = reinterpret_cast<std::uintptr_t>(buffer.data());
  const auto* aligned = reinterpret_cast<const void*>((address + kAlignment - 1) / kAlignment * kAlignment);
  std::vector<py::ssize_t> lengths;
  for (const py::handle length : shape) lengths.push_back(length.cast<py::ssize_t>());
  return py::array(dtype, std::move(lengths), aligned, buffer);
}

}  // namespace

void bind_runtime(py::module_& module) {
  module.def("num_threads", [] { return num_threads(); });
  module.def("set_num_threads", [](py::handle count) { set_num_threads(int_argument(count, "count")); }, py::arg("count"));
  module.def("cpu_level", [] { return name_of(cpu_level()); });
  module.def("cpu_levels", bound_cpu_levels);
  module.def("set_cpu_level", [](const std::string& name) { set_cpu_level(name); }, py::arg("name"));
  module.def("check_array", bound_check_array, py::arg("object"), py::arg("name"));
  module.def("array_shape", bound_array_shape, py::arg("object"), py::arg("name"));
  module.def("aligned_array", bound_aligned_array, py::arg("buffer"), py::arg("dtype"), py::arg("shape"));
}

}  // namespace tersor::bind
