#pragma once
// What kernels are handed: rows of plain memory. Items of a row are dense; rows lie a constant stride apart.
// Everything here is always inlined: kernels are compiled with instruction-set flags and may leave no shared symbol behind.

#include <cstddef>
#include <cstdint>

namespace tersor::cpu {

struct ConstRows {
  const std::byte* data;
  std::int64_t stride_bytes;
  template <class T>
  __attribute__((always_inline)) const T* row(std::int64_t index) const noexcept {
    return reinterpret_cast<const T*>(data + index * stride_bytes);
  }
};

struct Rows {
  std::byte* data;
  std::int64_t stride_bytes;
  template <class T>
  __attribute__((always_inline)) T* row(std::int64_t index) const noexcept {
    return reinterpret_cast<T*>(data + index * stride_bytes);
  }
  __attribute__((always_inline)) operator ConstRows() const noexcept { return {data, stride_bytes}; }
};

struct Extent {
  std::int64_t rows, cols;
};

}  // namespace tersor::cpu
