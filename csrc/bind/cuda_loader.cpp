#include "bind/cuda_loader.h"

#include <atomic>
#include <string>

#include "bind/argument.h"
#include "core/check.h"
#include "cuda/backend.h"
#include "ops/cuda_launch.h"

namespace tersor::bind {

void require_cuda_backend(const char* name) {
  static std::atomic<bool> loaded{false};
  if (loaded.load(std::memory_order_acquire)) return;
  const cuda::Backend* backend = nullptr;
  try {
    const py::object capsule = py::module_::import("tersor._cuda").attr("backend");
    backend = static_cast<const cuda::Backend*>(PyCapsule_GetPointer(capsule.ptr(), cuda::kBackendCapsule));
    if (!backend) throw py::error_already_set();
  } catch (py::error_already_set& cause) {
    raise_type_error_from(cause, std::string(name) +
                                     " is a CUDA array, but this build of tersor has no CUDA kernels; build it where nvcc is "
                                     "found (-DTERSOR_CUDA=ON), or move the array to the CPU");
  }
  if (backend->version != cuda::Backend::kVersion)
    throw TypeError(std::string(name) + " is a CUDA array, but tersor._cuda is of version " + std::to_string(backend->version) +
                    " and tersor._core needs " + std::to_string(cuda::Backend::kVersion) + "; install both from one build");
  set_cuda_backend(backend);
  loaded.store(true, std::memory_order_release);
}

}  // namespace tersor::bind
