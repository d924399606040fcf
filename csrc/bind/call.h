#pragma once

#include <pybind11/pybind11.h>

#include <cstdint>
#include <utility>

#include "bind/array.h"

namespace tersor::bind {

// Releasing the GIL costs 60 ns, so calls on arrays that take less than a few microseconds keep it.
inline constexpr std::int64_t kReleaseGilBytes = 32 << 10;

inline std::int64_t bytes_of(const ArrayArg& array) noexcept { return array.view().size_bytes(); }
inline std::int64_t bytes_of(const ArrayListArg& arrays) noexcept { return arrays.size_bytes(); }

// Runs an op of csrc/ops on views of these arguments.
template <class Op, class... Arguments>
auto run_op(Op&& op, const Arguments&... arguments) {
  if ((bytes_of(arguments) + ...) < kReleaseGilBytes) return op();
  const pybind11::gil_scoped_release released;
  return op();
}

}  // namespace tersor::bind
