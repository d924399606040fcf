#pragma once
// A BitmaskTensor as views.

#include "bind/argument.h"
#include "bind/array.h"
#include "core/check.h"
#include "ops/bitmask_views.h"

namespace tersor::bind {

inline constexpr const char* kPartsOfT[3] = {"t.values", "t.bits", "t.row_offsets"};

// The parts of a BitmaskTensor, and its shape: rows are those of the last axis.
class BitmaskArg {
 public:
  BitmaskArg(py::handle values, py::handle bits, py::handle row_offsets, py::handle shape, const char* const (&names)[3],
             bool written = false)
      : values_(values, names[0], written ? Use::kOutput : Use::kInput),
        bits_(bits, names[1], written ? Use::kOutput : Use::kInput),
        row_offsets_(row_offsets, names[2], written ? Use::kIndicesOutput : Use::kIndices),
        views_{values_, bits_, row_offsets_, 1, 0},
        dense_(values_) {
    const auto lengths = py::reinterpret_borrow<py::tuple>(shape);
    dense_.ndim = static_cast<int>(lengths.size());
    if (dense_.ndim == 0) throw ValueError("t has no axis of columns; it must have at least one dimension");
    for (int axis = 0; axis < dense_.ndim; ++axis) {
      dense_.shape[axis] = integer_argument(py::object(lengths[static_cast<std::size_t>(axis)]), "t.shape");
      if (axis + 1 < dense_.ndim) views_.rows *= dense_.shape[axis];
    }
    dense_.name = "t";
    views_.cols = dense_.shape[dense_.ndim - 1];
  }
  operator const BitmaskViews&() const noexcept { return views_; }
  const ArrayArg& values() const noexcept { return values_; }
  const ArrayArg& bits() const noexcept { return bits_; }
  const View& dense() const noexcept { return dense_; }  // for its shape alone

 private:
  ArrayArg values_, bits_, row_offsets_;
  BitmaskViews views_;
  View dense_;
};

}  // namespace tersor::bind
