#pragma once
// Strided arrays for the tests of emulated kernels: values by index, and whether the memory between them was left alone.

#include <algorithm>
#include <cstring>
#include <string>
#include <vector>

#include "core/view.h"
#include "cuda/formats.h"
#include "cuda_check.h"

namespace arrays {

using tersor::DType;
using tersor::View;

inline double decode(DType dtype, const void* from) {
  std::uint16_t half;
  std::memcpy(&half, from, sizeof half);
  switch (dtype) {
    case DType::kFloat16: return tersor::cuda::half::widen(half);
    case DType::kBFloat16: return tersor::cuda::brain::widen(half);
    case DType::kFloat64: {
      double value;
      std::memcpy(&value, from, sizeof value);
      return value;
    }
    case DType::kInt8: return *static_cast<const std::int8_t*>(from);
    default: {
      float value;
      std::memcpy(&value, from, sizeof value);
      return value;
    }
  }
}

inline void encode(DType dtype, void* to, double value) {
  const auto single = static_cast<float>(value);
  const std::uint16_t nan = dtype == DType::kFloat16 ? 0x7e01 : 0x7fc1;  // not the canonical one
  std::uint16_t half = dtype == DType::kFloat16 ? tersor::cuda::half::narrow(single) : tersor::cuda::brain::narrow(single);
  if (value != value) half = nan;
  switch (dtype) {
    case DType::kFloat16:
    case DType::kBFloat16: std::memcpy(to, &half, sizeof half); break;
    case DType::kFloat64: std::memcpy(to, &value, sizeof value); break;
    default: std::memcpy(to, &single, sizeof single);
  }
}

// How an array lies in memory: strides in items, by multiplying the lengths of the axes in `order` (innermost first), each length
// padded, each step taken `step` items apart, the first item `offset` items into a buffer aligned to 64 bytes.
struct Layout {
  std::string name;
  std::vector<int> order;  // axes, innermost first; empty: C order
  std::int64_t padding = 0, step = 1, offset = 0;
  bool reversed = false;
};

class Array {
 public:
  Array(DType dtype, const std::vector<std::int64_t>& shape, const Layout& layout = {}) {
    view_.dtype = dtype;
    view_.device = {tersor::DeviceType::kCuda, 0};
    view_.ndim = static_cast<int>(shape.size());
    view_.writable = true;
    std::vector<int> order = layout.order;
    if (order.empty())
      for (int axis = view_.ndim - 1; axis >= 0; --axis) order.push_back(axis);
    const std::int64_t item = tersor::item_size(dtype);
    std::int64_t reach = layout.step;
    for (const int axis : order) {
      view_.shape[axis] = shape[static_cast<std::size_t>(axis)];
      view_.stride_bytes[axis] = reach * item;
      reach *= std::max<std::int64_t>(1, view_.shape[axis]) + layout.padding;
    }
    const std::int64_t bytes = (reach + layout.offset) * item;
    memory_.assign(static_cast<std::size_t>(bytes + 64), kUntouched);
    const auto base = reinterpret_cast<std::uintptr_t>(memory_.data());
    view_.data = reinterpret_cast<std::byte*>(memory_.data()) + (64 - base % 64) % 64 + layout.offset * item;
    if (layout.reversed)
      for (int axis = 0; axis < view_.ndim; ++axis) {
        view_.data += (view_.shape[axis] - 1) * view_.stride_bytes[axis];
        view_.stride_bytes[axis] = -view_.stride_bytes[axis];
      }
  }

  const View& view() const { return view_; }
  View& view() { return view_; }
  std::int64_t size() const { return view_.size(); }

  // The address of the i-th item in C order.
  std::byte* at(std::int64_t i) const {
    std::byte* address = view_.data;
    for (int axis = view_.ndim - 1; axis >= 0; --axis) {
      address += i % view_.shape[axis] * view_.stride_bytes[axis];
      i /= view_.shape[axis];
    }
    return address;
  }
  double get(std::int64_t i) const { return decode(view_.dtype, at(i)); }
  void set(std::int64_t i, double value) { encode(view_.dtype, at(i), value); }
  std::uint64_t bits(std::int64_t i) const {
    std::uint64_t bits = 0;
    std::memcpy(&bits, at(i), static_cast<std::size_t>(tersor::item_size(view_.dtype)));
    return bits;
  }

  // Whether nothing but the array's own items was written.
  bool surroundings_are_untouched() const {
    std::vector<unsigned char> rest = memory_;
    const auto item = static_cast<std::size_t>(tersor::item_size(view_.dtype));
    for (std::int64_t i = 0; i < size(); ++i)
      std::memset(rest.data() + (reinterpret_cast<unsigned char*>(at(i)) - memory_.data()), kUntouched, item);
    return std::all_of(rest.begin(), rest.end(), [](unsigned char byte) { return byte == kUntouched; });
  }

 private:
  static constexpr unsigned char kUntouched = 0xa5;
  std::vector<unsigned char> memory_;
  View view_;
};

// Positions of the items of row `row` along `axis`, in C order of the other axes.
inline std::vector<std::int64_t> row_items(const View& view, int axis, std::int64_t row) {
  std::int64_t inner = 1;
  for (int i = axis + 1; i < view.ndim; ++i) inner *= view.shape[i];
  std::vector<std::int64_t> items;
  for (std::int64_t k = 0; k < view.shape[axis]; ++k) items.push_back((row / inner * view.shape[axis] + k) * inner + row % inner);
  return items;
}

inline const char* text(const std::vector<std::int64_t>& shape) {
  static std::string text;
  text = "(";
  for (const std::int64_t length : shape) text += std::to_string(length) + ", ";
  text += ")";
  return text.c_str();
}

}  // namespace arrays
