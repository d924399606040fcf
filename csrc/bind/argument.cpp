#include "bind/argument.h"

#include "core/check.h"

namespace tersor::bind {

double number_argument(py::handle object, const char* name) {
  const double value = PyFloat_AsDouble(object.ptr());
  if (value == -1.0 && PyErr_Occurred()) {
    py::error_already_set cause;
    raise_type_error_from(cause, std::string(name) + " must be a number, not " + type_name(object));
  }
  return value;
}

std::int64_t integer_argument(py::handle object, const char* name) {
  // Floats are refused: PyNumber_Index takes what is an integer, not what can be cut down to one.
  const auto index = py::reinterpret_steal<py::object>(PyNumber_Index(object.ptr()));
  if (!index) {
    py::error_already_set cause;
    raise_type_error_from(cause, std::string(name) + " must be an integer, not " + type_name(object));
  }
  int overflow = 0;
  const long long value = PyLong_AsLongLongAndOverflow(index.ptr(), &overflow);
  if (overflow) throw ValueError(std::string(name) + " = " + py::str(index).cast<std::string>() + " is out of range");
  return value;
}

int axis_argument(py::handle object, const View& view) {
  const std::int64_t axis = integer_argument(object, "axis");
  if (axis >= -view.ndim && axis < view.ndim) return static_cast<int>(axis < 0 ? axis + view.ndim : axis);
  const py::object error = py::module_::import("numpy.exceptions").attr("AxisError")(axis, view.ndim);
  PyErr_SetObject(reinterpret_cast<PyObject*>(Py_TYPE(error.ptr())), error.ptr());
  throw py::error_already_set();
}

void require_columns(const View& unpacked, py::handle cols) {
  const std::int64_t wanted = integer_argument(cols, "cols");
  if (unpacked.ndim > 0 && unpacked.shape[unpacked.ndim - 1] == wanted) return;
  throw ValueError(std::string(unpacked.name) + " has shape " + shape_text(unpacked) + ", but cols = " + std::to_string(wanted));
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
