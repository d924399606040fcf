#include "bind/array.h"

#include <pybind11/numpy.h>

#include <algorithm>
#include <atomic>
#include <bit>
#include <cstdlib>
#include <optional>
#include <string>

#include "bind/argument.h"
#include "bind/cuda_loader.h"
#include "core/check.h"

namespace tersor::bind {

namespace {

PyTypeObject* ndarray_type = nullptr;  // set once, at import
PyObject* ndarray_array_ufunc = nullptr;

// ml_dtypes' bfloat16 has no fixed type number: NumPy gives one when ml_dtypes is imported, and it stays.
std::atomic<int> bfloat16_number{-1};

constexpr char kSwappedOrder = std::endian::native == std::endian::little ? '>' : '<';

// NumPy's type numbers are part of its ABI: NPY_BOOL, NPY_BYTE and so on. NPY_LONG has 64 bits on Linux.
std::optional<DType> dtype_from_number(int number) noexcept {
  switch (number) {
    case 0: return DType::kBool;
    case 1: return DType::kInt8;
    case 2: return DType::kUInt8;
    case 3: return DType::kInt16;
    case 5: return DType::kInt32;
    case 7:  // NPY_LONG, which has 64 bits on Linux, and NPY_LONGLONG
    case 9: return DType::kInt64;
    case 11: return DType::kFloat32;
    case 12: return DType::kFloat64;
    case 23: return DType::kFloat16;
    default: break;
  }
  if (number == bfloat16_number.load(std::memory_order_relaxed)) return DType::kBFloat16;
  return std::nullopt;
}

bool is_bfloat16(const py::dtype& dtype) {
  return dtype.itemsize() == 2 && py::str(dtype.attr("name")).cast<std::string>() == "bfloat16";
}

DType dtype_of(const py::array& array, const char* name) {
  const py::dtype dtype = array.dtype();
  if (const auto known = dtype_from_number(dtype.num())) {
    if (dtype.byteorder() != kSwappedOrder) return *known;
    throw TypeError(std::string(name) + " has the byte order of another machine; convert it with " + name + ".astype(" + name +
                    ".dtype.newbyteorder('='))");
  }
  if (is_bfloat16(dtype)) {
    bfloat16_number.store(dtype.num(), std::memory_order_relaxed);
    return DType::kBFloat16;
  }
  throw_unread_dtype(name, py::str(dtype).cast<std::string>(), "convert it with " + std::string(name) + ".astype");
}

// A subclass whose arithmetic differs from ndarray's (a mask, a unit) would lose that meaning here.
void reject_special_subclass(py::handle object, const char* name) {
  const py::handle type = py::type::handle_of(object);
  const auto ma = py::reinterpret_steal<py::object>(PyImport_GetModule(py::str("numpy.ma").ptr()));
  const bool masked = ma && py::isinstance(object, ma.attr("MaskedArray"));
  if (!masked && type.attr("__array_ufunc__").ptr() == ndarray_array_ufunc) return;
  throw TypeError(std::string(name) + " is a " + type_name(object) + ", which means more than its numbers; pass numpy.asarray(" +
                  name + ") for the numbers alone");
}

// Whether two entries share memory, as in a broadcast view: each thread would write its own result there. Each axis, from the
// least stride up, must step over everything within the axes before it; layouts that interlock more cleverly count as overlapping.
bool overlaps_itself(const View& view) {
  if (view.is_contiguous() || view.size() == 0) return false;
  struct Axis {
    std::int64_t stride, length;
  };
  Axis axes[kMaxDims];
  int count = 0;
  for (int i = 0; i < view.ndim; ++i)
    if (view.shape[i] > 1) axes[count++] = {std::abs(view.stride_bytes[i]), view.shape[i]};
  std::sort(axes, axes + count, [](const Axis& a, const Axis& b) { return a.stride < b.stride; });
  std::int64_t span = item_size(view.dtype);
  for (int i = 0; i < count; ++i) {
    if (axes[i].stride < span) return true;
    span += axes[i].stride * (axes[i].length - 1);
  }
  return false;
}

}  // namespace

void load_numpy() {
  const py::object ndarray = py::module_::import("numpy").attr("ndarray");
  ndarray_array_ufunc = py::object(ndarray.attr("__array_ufunc__")).release().ptr();
  ndarray_type = reinterpret_cast<PyTypeObject*>(ndarray.inc_ref().ptr());
}

ArrayArg::ArrayArg(py::handle object, const char* name, Use use) {
  view_.name = name;
  if (!read_numpy(object) && !read_torch(object, use) && !read_dlpack(object))
    throw TypeError(std::string(name) + " must be a NumPy array, a torch tensor or another DLPack array, not " + type_name(object) +
                    "; convert it with numpy.asarray(" + name + ")");
  if (view_.device.type == DeviceType::kCuda) require_cuda_backend(name);
  if (is_index(view_.dtype) && !takes_indices(use))
    throw_unread_dtype(name, name_of(view_.dtype), "convert it to one of them, with " + std::string(name) + ".astype in NumPy");
  if (!is_output(use)) return;
  if (!view_.writable) throw ValueError(std::string(name) + " is read-only, so no result can be written to it");
  if (overlaps_itself(view_))
    throw ValueError(std::string(name) + " overlaps itself: some of its entries share memory; pass an array without such views");
}

// The accessors of py::array cost 10 ns, and unlike the buffer protocol they show bfloat16 too.
bool ArrayArg::read_numpy(py::handle object) {
  if (Py_TYPE(object.ptr()) != ndarray_type) {
    if (!PyType_IsSubtype(Py_TYPE(object.ptr()), ndarray_type)) return false;
    reject_special_subclass(object, view_.name);
  }
  const auto array = py::reinterpret_borrow<py::array>(object);
  if (array.ndim() > kMaxDims)
    throw ValueError(std::string(view_.name) + " has more than " + std::to_string(kMaxDims) + " dimensions");
  view_.dtype = dtype_of(array, view_.name);
  view_.data = static_cast<std::byte*>(const_cast<void*>(array.data()));
  view_.ndim = static_cast<int>(array.ndim());
  view_.writable = array.writeable();
  const auto* shape = array.shape();
  const auto* strides = array.strides();
  for (int i = 0; i < view_.ndim; ++i) {
    view_.shape[i] = shape[i];
    view_.stride_bytes[i] = strides[i];
  }
  return true;
}

ArrayListArg::ArrayListArg(py::handle object, const char* name, Use use) {
  if (!PyList_Check(object.ptr()) && !PyTuple_Check(object.ptr())) {
    views_.push_back(arrays_.emplace_back(object, name, use));
    return;
  }
  const auto members = py::reinterpret_steal<py::tuple>(PySequence_Tuple(object.ptr()));
  if (!members) throw py::error_already_set();
  members_ = members;
  if (members.empty()) throw ValueError(std::string(name) + " is empty; pass an array, or a list of at least one");
  for (std::size_t i = 0; i < members.size(); ++i) {
    const std::string& member = names_.emplace_back(std::string(name) + "[" + std::to_string(i) + "]");
    views_.push_back(arrays_.emplace_back(members[i], member.c_str(), use));
  }
}

const View& ArrayListArg::only() const {
  if (members_) throw ValueError("out is a list, but w is one array; pass one array");
  return views_.front();
}

std::int64_t ArrayListArg::size_bytes() const noexcept {
  std::int64_t bytes = 0;
  for (const View& view : views_) bytes += view.size_bytes();
  return bytes;
}

}  // namespace tersor::bind
