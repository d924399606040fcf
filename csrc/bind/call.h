#pragma once

#include <pybind11/pybind11.h>

#include <cstdint>
#include <utility>

#include "core/view.h"

namespace tersor::bind {

// Releasing the GIL costs 60 ns, so calls on arrays that take less than a few microseconds keep it.
inline constexpr std::int64_t kReleaseGilBytes = 32 << 10;

// Runs an op of csrc/ops on views of these arguments.
template <class Op, class... Views>
auto run_op(Op&& op, const Views&... views) {
  if ((static_cast<const View&>(views).size_bytes() + ...) < kReleaseGilBytes) return op();
  const pybind11::gil_scoped_release released;
  return op();
}

}  // namespace tersor::bind
