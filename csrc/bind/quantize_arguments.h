#pragma once
// Arguments that the bindings of quantize share.

#include <string>

#include "bind/argument.h"
#include "ops/quantize_groups.h"

namespace tersor::bind {

// None: all entries are one group.
inline GroupAxis group_axis(py::handle axis, py::handle size, const View& view) {
  if (axis.is_none()) return {kNoAxis, 1};
  return {axis_argument(axis, view), integer_argument(size, "group_size")};
}

inline CodeFormat code_format(py::handle bits, bool symmetric, bool is_signed) {
  return {int_argument(bits, "bits"), symmetric, is_signed};
}

// None: the convention's own.
inline cpu::Rounding rounding_argument(py::handle rounding, Convention convention, CodeFormat format) {
  return rounding.is_none() ? rounding_of(convention, format.bits) : rounding_of(py::cast<std::string>(rounding));
}

}  // namespace tersor::bind
