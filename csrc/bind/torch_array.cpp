// torch tensors, through DLPack's exchange table where torch has it (2.10), else through __dlpack__. torch is never linked or
// imported: where the caller has a tensor, the module is there.

#include <atomic>
#include <string>

#include "bind/argument.h"
#include "bind/array.h"
#include "core/check.h"

namespace tersor::bind {

namespace {

struct Torch {
  PyObject* tensor_type;
  PyObject* parameter_type;
  const dlpack::ExchangeApi* exchange;  // null before torch 2.10
  PyObject* increment_version;
  PyObject* requires_grad;  // interned names
  PyObject* is_neg;
};

const dlpack::ExchangeApi* exchange_api_of(py::handle type) {
  const py::object capsule = py::getattr(type, dlpack::kExchangeApiAttribute, py::none());
  if (!PyCapsule_IsValid(capsule.ptr(), dlpack::kExchangeApiCapsule)) return nullptr;
  const auto* api = static_cast<const dlpack::ExchangeApi*>(PyCapsule_GetPointer(capsule.ptr(), dlpack::kExchangeApiCapsule));
  while (api && api->version.major != dlpack::kMajorVersion) api = api->previous;
  return api && api->view_object ? api : nullptr;
}

// Null until torch has been imported. Never freed: types and names of a module that stays until the process ends.
const Torch* loaded_torch() {
  static std::atomic<const Torch*> loaded{nullptr};
  if (const Torch* torch = loaded.load(std::memory_order_acquire)) return torch;
  const auto module = py::reinterpret_steal<py::object>(PyImport_GetModule(py::str("torch").ptr()));
  // While torch is being imported its names are not all there yet.
  if (!module || !py::hasattr(module, "Tensor") || !py::hasattr(module, "nn") || !py::hasattr(module, "autograd")) return nullptr;
  py::object tensor = module.attr("Tensor"), parameter = module.attr("nn").attr("Parameter");
  py::object increment = module.attr("autograd").attr("graph").attr("increment_version");
  const dlpack::ExchangeApi* exchange = exchange_api_of(tensor);
  const auto* torch = new Torch{tensor.release().ptr(),
                                parameter.release().ptr(),
                                exchange,
                                increment.release().ptr(),
                                PyUnicode_InternFromString("requires_grad"),
                                PyUnicode_InternFromString("is_neg")};
  loaded.store(torch, std::memory_order_release);
  return torch;
}

bool is_true(PyObject* stolen_result) {
  const auto result = py::reinterpret_steal<py::object>(stolen_result);
  if (!result) throw py::error_already_set();
  return result.ptr() == Py_True;
}

// What a bare pointer cannot say, and the exchange table drops in silence.
void reject_hidden_state(const Torch& torch, py::handle tensor, const char* name) {
  if (is_true(PyObject_GetAttr(tensor.ptr(), torch.requires_grad)) &&
      py::module_::import("torch").attr("is_grad_enabled")().cast<bool>())
    throw TypeError(std::string(name) + " requires grad, and this call would not be recorded; pass " + name +
                    ".detach(), work under torch.no_grad(), or use torch.ops.tersor (import tersor.torch)");
  if (is_true(PyObject_CallMethodNoArgs(tensor.ptr(), torch.is_neg)))
    throw TypeError(std::string(name) + " has torch's negative bit set; pass " + name + ".resolve_neg()");
}

// An output that autograd has saved for a backward pass must be seen to have changed. Inference tensors have no version.
void increment_version(const Torch& torch, py::handle tensor) {
  if (const auto done = py::reinterpret_steal<py::object>(PyObject_CallOneArg(torch.increment_version, tensor.ptr()))) return;
  py::error_already_set error;
  if (!tensor.attr("is_inference")().cast<bool>()) throw error;
}

// The current stream, for torch before 2.10.
void* current_stream(py::handle tensor) {
  const py::object stream = py::module_::import("torch.cuda").attr("current_stream")(tensor.attr("device"));
  return reinterpret_cast<void*>(stream.attr("cuda_stream").cast<std::intptr_t>());
}

}  // namespace

bool ArrayArg::read_torch(py::handle object, Use use) {
  const Torch* torch = loaded_torch();
  if (!torch) return false;
  auto* const type = reinterpret_cast<PyObject*>(Py_TYPE(object.ptr()));
  if (type != torch->tensor_type && type != torch->parameter_type) {
    if (!PyType_IsSubtype(Py_TYPE(object.ptr()), reinterpret_cast<PyTypeObject*>(torch->tensor_type))) return false;
    throw TypeError(std::string(view_.name) + " is a " + type_name(object) +
                    ", and tersor reads the memory of plain torch.Tensor only; use torch.ops.tersor (import tersor.torch)");
  }
  reject_hidden_state(*torch, object, view_.name);
  try {
    if (torch->exchange) {
      dlpack::Tensor tensor;
      if (torch->exchange->view_object(object.ptr(), &tensor) != 0) throw py::error_already_set();
      read_tensor(tensor);
      if (view_.device.type == DeviceType::kCuda &&
          torch->exchange->current_stream(tensor.device.code, tensor.device.index, &view_.stream) != 0)
        throw py::error_already_set();
    } else {
      const bool cuda = object.attr("is_cuda").cast<bool>();
      if (cuda) view_.stream = current_stream(object);
      const py::object method = object.attr("detach")().attr("__dlpack__");  // it refuses what requires grad, under no_grad too
      // -1: no synchronization, since the op goes to the stream that made the tensor.
      hold_capsule(cuda ? method(py::arg("stream") = -1) : method(), /*legacy_is_writable=*/true);
    }
  } catch (py::error_already_set& cause) {
    raise_type_error_from(cause, std::string(view_.name) + " is a torch tensor whose memory cannot be read as strided numbers");
  }
  view_.writable = true;
  if (is_output(use)) increment_version(*torch, object);
  return true;
}

}  // namespace tersor::bind
