// The extension module tersor._cuda: the kernels behind a capsule that _core takes, and what a program may want to do before its
// first call. It never touches a driver when imported.

#include <pybind11/pybind11.h>

#include <stdexcept>

#include "cuda/launch.h"

namespace py = pybind11;

namespace {

void warmup(int device) {
  const char* error = nullptr;
  {
    const py::gil_scoped_release release;
    error = tersor::cuda::backend().warm_up(device);
  }
  if (error) throw std::runtime_error(std::string("CUDA device ") + std::to_string(device) + ": " + error);
}

}  // namespace

PYBIND11_MODULE(_cuda, module, py::mod_gil_not_used(), py::multiple_interpreters::not_supported()) {
  using tersor::cuda::Backend;
  module.attr("backend") = py::capsule(static_cast<const void*>(&tersor::cuda::backend()), tersor::cuda::kBackendCapsule);
  module.attr("architectures") = TERSOR_CUDA_ARCHITECTURES;
  module.def("warmup", warmup, py::arg("device") = 0,
             "Load every kernel on a device. The first call there does so too, but a CUDA graph cannot capture it.");
}
