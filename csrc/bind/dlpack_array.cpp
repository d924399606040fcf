// Arrays that come through __dlpack__: JAX, CuPy, TensorFlow, array-api-strict and whoever else speaks it.

#include <optional>
#include <string>

#include "bind/argument.h"
#include "bind/array.h"
#include "core/check.h"

namespace tersor::bind {

namespace {

std::optional<DType> dtype_from_dlpack(dlpack::DataType from) noexcept {
  if (from.lanes != 1) return std::nullopt;
  switch (from.code << 8 | from.bits) {
    case dlpack::kFloat << 8 | 16: return DType::kFloat16;
    case dlpack::kFloat << 8 | 32: return DType::kFloat32;
    case dlpack::kFloat << 8 | 64: return DType::kFloat64;
    case dlpack::kBfloat << 8 | 16: return DType::kBFloat16;
    case dlpack::kInt << 8 | 8: return DType::kInt8;
    case dlpack::kInt << 8 | 16: return DType::kInt16;
    case dlpack::kInt << 8 | 32: return DType::kInt32;
    case dlpack::kInt << 8 | 64: return DType::kInt64;
    case dlpack::kUInt << 8 | 8: return DType::kUInt8;
    case dlpack::kBool << 8 | 8: return DType::kBool;
    default: return std::nullopt;
  }
}

std::string text_of(dlpack::DataType dtype) {
  const std::string bits = std::to_string(dtype.bits);
  switch (dtype.code) {
    case dlpack::kInt: return "int" + bits;
    case dlpack::kUInt: return "uint" + bits;
    case dlpack::kFloat: return "float" + bits;
    case dlpack::kComplex: return "complex" + bits;
    default: return "DLPack type code " + std::to_string(dtype.code) + " of " + bits + " bits";
  }
}

dlpack::Device device_of(py::handle object, const char* name) {
  try {
    const auto pair = py::object(object.attr("__dlpack_device__")()).cast<std::pair<py::object, py::object>>();
    return {static_cast<std::int32_t>(integer_argument(pair.first, "device type")),
            static_cast<std::int32_t>(integer_argument(pair.second, "device id"))};
  } catch (py::error_already_set& cause) {
    raise_type_error_from(cause, std::string(name) + " does not tell its device through __dlpack_device__");
  }
}

// The stream that the op shall run on. The producer makes its own work wait for it, so any stream would be right for the inputs;
// for the result to be in order too it must be the one that the caller works on, which CuPy tells and DLPack does not.
std::intptr_t stream_for(py::handle object) {
  constexpr std::intptr_t kLegacyDefaultStream = 1;  // as DLPack and CUDA number it
  const auto cupy = py::reinterpret_steal<py::object>(PyImport_GetModule(py::str("cupy").ptr()));
  if (!cupy || !py::isinstance(object, cupy.attr("ndarray"))) return kLegacyDefaultStream;
  const auto stream = cupy.attr("cuda").attr("get_current_stream")().attr("ptr").cast<std::intptr_t>();
  return stream == 0 ? kLegacyDefaultStream : stream;
}

py::object export_capsule(py::handle object, const py::dict& stream, const char* name) {
  const py::object export_method = object.attr("__dlpack__");
  try {
    try {
      return export_method(**stream, py::arg("max_version") = py::make_tuple(dlpack::kMajorVersion, 0));
    } catch (py::error_already_set& error) {
      // Producers older than DLPack 1.0 do not know the keyword.
      if (!error.matches(PyExc_TypeError)) throw;
    }
    return export_method(**stream);
  } catch (py::error_already_set& cause) {
    raise_type_error_from(cause, std::string(name) + " cannot be read through __dlpack__");
  }
}

template <class Managed>
void delete_managed(void* held) {
  auto* managed = static_cast<Managed*>(held);
  if (managed->deleter) managed->deleter(managed);
}

}  // namespace

bool ArrayArg::read_dlpack(py::handle object) {
  if (!py::hasattr(py::type::handle_of(object), "__dlpack__")) return false;
  const dlpack::Device device = device_of(object, view_.name);
  py::dict stream;
  if (device.code == dlpack::kCuda || device.code == dlpack::kCudaManaged) {
    const std::intptr_t value = stream_for(object);
    view_.stream = reinterpret_cast<void*>(value);
    stream["stream"] = value;
  }
  hold_capsule(export_capsule(object, stream, view_.name), /*legacy_is_writable=*/false);
  return true;
}

void ArrayArg::hold_capsule(py::handle capsule, bool legacy_is_writable) {
  PyObject* const pointer = capsule.ptr();
  if (PyCapsule_IsValid(pointer, dlpack::kCapsule)) {
    auto* managed = static_cast<dlpack::ManagedTensor*>(PyCapsule_GetPointer(pointer, dlpack::kCapsule));
    PyCapsule_SetName(pointer, dlpack::kUsedCapsule);
    held_ = {managed, delete_managed<dlpack::ManagedTensor>};
    if (managed->version.major != dlpack::kMajorVersion)
      throw TypeError(std::string(view_.name) + " speaks DLPack " + std::to_string(managed->version.major) + ", tersor DLPack 1");
    read_tensor(managed->tensor);
    view_.writable = (managed->flags & (dlpack::kReadOnly | dlpack::kIsCopied)) == 0;
  } else if (PyCapsule_IsValid(pointer, dlpack::kLegacyCapsule)) {
    auto* managed = static_cast<dlpack::LegacyManagedTensor*>(PyCapsule_GetPointer(pointer, dlpack::kLegacyCapsule));
    PyCapsule_SetName(pointer, dlpack::kUsedLegacyCapsule);
    held_ = {managed, delete_managed<dlpack::LegacyManagedTensor>};
    read_tensor(managed->tensor);
    view_.writable = legacy_is_writable;
  } else {
    throw TypeError(std::string(view_.name) + ".__dlpack__() returned no DLPack capsule");
  }
}

void ArrayArg::read_tensor(const dlpack::Tensor& tensor) {
  const std::string name = view_.name;
  const auto dtype = dtype_from_dlpack(tensor.dtype);
  if (!dtype) throw_unread_dtype(name, text_of(tensor.dtype), "convert it to one of them");
  view_.dtype = *dtype;
  if (tensor.ndim > kMaxDims) throw ValueError(name + " has more than " + std::to_string(kMaxDims) + " dimensions");
  switch (tensor.device.code) {
    case dlpack::kCpu:
    case dlpack::kCudaHost: view_.device = {DeviceType::kCpu, 0}; break;  // pinned memory is the host's
    case dlpack::kCuda:
    case dlpack::kCudaManaged: view_.device = {DeviceType::kCuda, tensor.device.index}; break;
    default:
      throw TypeError(name + " lies on a device that tersor does not work on (DLPack device type " +
                      std::to_string(tensor.device.code) + "); move it to the CPU or to CUDA");
  }
  const std::int64_t item_bytes = item_size(view_.dtype);
  view_.ndim = tensor.ndim;
  std::int64_t dense_stride = item_bytes;
  for (int i = tensor.ndim - 1; i >= 0; --i) {
    view_.shape[i] = tensor.shape[i];
    view_.stride_bytes[i] = tensor.strides ? tensor.strides[i] * item_bytes : dense_stride;
    dense_stride *= tensor.shape[i];
  }
  if (!tensor.data && view_.size() > 0) throw TypeError(name + " has no memory behind it; pass a real tensor");
  view_.data = static_cast<std::byte*>(tensor.data) + tensor.byte_offset;
}

}  // namespace tersor::bind
