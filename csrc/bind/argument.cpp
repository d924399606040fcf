#include "bind/argument.h"

#include <utility>

#include "core/check.h"
#include "ops/check_views.h"

namespace tersor::bind {

namespace {

[[noreturn]] void throw_out_of_range(py::handle number, const char* name) {
  throw ValueError(std::string(name) + " = " + py::str(number).cast<std::string>() + " is out of range");
}

// Floats are refused: PyNumber_Index takes what is an integer, not what can be cut down to one.
py::object index_argument(py::handle object, const char* name) {
  auto index = py::reinterpret_steal<py::object>(PyNumber_Index(object.ptr()));
  if (index) return index;
  py::error_already_set cause;
  raise_type_error_from(cause, std::string(name) + " must be an integer, not " + type_name(object));
}

}  // namespace

double number_argument(py::handle object, const char* name) {
  const double value = PyFloat_AsDouble(object.ptr());
  if (value == -1.0 && PyErr_Occurred()) {
    py::error_already_set cause;
    raise_type_error_from(cause, std::string(name) + " must be a number, not " + type_name(object));
  }
  return value;
}

std::int64_t integer_argument(py::handle object, const char* name) {
  const py::object index = index_argument(object, name);
  int overflow = 0;
  const long long value = PyLong_AsLongLongAndOverflow(index.ptr(), &overflow);
  if (overflow) throw_out_of_range(index, name);
  return value;
}

int int_argument(py::handle object, const char* name) {
  const std::int64_t value = integer_argument(object, name);
  if (!std::in_range<int>(value)) throw_out_of_range(object, name);
  return static_cast<int>(value);
}

std::uint64_t seed_argument(py::handle object) {
  const auto index = index_argument(object, "seed");
  const unsigned long long value = PyLong_AsUnsignedLongLong(index.ptr());
  if (value == static_cast<unsigned long long>(-1) && PyErr_Occurred()) {
    PyErr_Clear();
    throw ValueError("seed must be in [0, 2**64), got " + py::str(index).cast<std::string>());
  }
  return value;
}

int axis_argument(py::handle object, const View& view) {
  const std::int64_t axis = integer_argument(object, "axis");
  if (axis >= -view.ndim && axis < view.ndim) return static_cast<int>(axis < 0 ? axis + view.ndim : axis);
  const py::object error = py::module_::import("numpy.exceptions").attr("AxisError")(axis, view.ndim);
  PyErr_SetObject(reinterpret_cast<PyObject*>(Py_TYPE(error.ptr())), error.ptr());
  throw py::error_already_set();
}

void require_mask_dtype(const View& out, bool packed) {
  if (out.dtype == (packed ? DType::kUInt8 : DType::kBool)) return;
  throw TypeError(std::string(out.name) + (packed ? " must be uint8 where packed is True" : " must be bool where packed is False"));
}

void require_output_kind(const View& w, py::handle packed, const View& out) {
  if (packed.is_none())
    require_same_dtype(w, out);
  else
    require_mask_dtype(out, packed.cast<bool>());
}

void require_columns(const View& unpacked, py::handle cols, int axis) {
  const std::int64_t wanted = integer_argument(cols, "cols");
  if (axis < 0) axis += unpacked.ndim;
  if (axis < 0 || axis >= unpacked.ndim || unpacked.shape[axis] == wanted) return;  // the op refuses too few dimensions
  throw ValueError(std::string(unpacked.name) + " has shape " + shape_text(unpacked) + ", but cols = " + std::to_string(wanted));
}

void throw_unread_dtype(const std::string& name, const std::string& dtype, const std::string& remedy) {
  throw TypeError(name + " has dtype " + dtype +
                  "; tersor reads float32, float16, bfloat16, float64, int8, uint8 and bool: " + remedy);
}

std::string type_name(py::handle object) {
  const py::handle type = py::type::handle_of(object);
  const auto module = py::str(type.attr("__module__")).cast<std::string>();
  const auto name = py::str(type.attr("__qualname__")).cast<std::string>();
  return module == "builtins" ? name : module + "." + name;
}

void raise_type_error_from(py::error_already_set& cause, const std::string& message) {
  if (!cause.matches(PyExc_Exception) || cause.matches(PyExc_MemoryError)) throw cause;
  py::raise_from(cause, PyExc_TypeError, message.c_str());
  throw py::error_already_set();
}

}  // namespace tersor::bind
