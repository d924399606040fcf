#pragma once
// Arguments that are not arrays, and what messages about arguments are made of.

#include <pybind11/pybind11.h>

#include <cstdint>
#include <string>

#include "core/view.h"

namespace tersor::bind {

namespace py = pybind11;

double number_argument(py::handle object, const char* name);
std::int64_t integer_argument(py::handle object, const char* name);
int int_argument(py::handle object, const char* name);
std::uint64_t seed_argument(py::handle object);  // in [0, 2**64)

// In [0, ndim): negative axes count from the end. Raises numpy.exceptions.AxisError.
int axis_argument(py::handle object, const View& view);

// Masks are bool, or where packed uint8.
void require_mask_dtype(const View& out, bool packed);

// What an output of w holds: None for values, of w's dtype; False for a mask; True for its bits.
void require_output_kind(const View& w, py::handle packed, const View& out);

// An unpacked array must have the number of columns that the call names.
void require_columns(const View& unpacked, py::handle cols, int axis = -1);

// "w has dtype int32; tersor reads ...: convert it".
[[noreturn]] void throw_unread_dtype(const std::string& name, const std::string& dtype, const std::string& remedy);

// The type as users write it: "list", "numpy.ma.MaskedArray".
std::string type_name(py::handle object);

// Raises TypeError with the Python exception in flight as its cause; KeyboardInterrupt and MemoryError pass unchanged.
[[noreturn]] void raise_type_error_from(py::error_already_set& cause, const std::string& message);

}  // namespace tersor::bind
