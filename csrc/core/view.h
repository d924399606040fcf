#pragma once
// A view: where an array's elements lie. It owns nothing; bind makes views, ops read them.

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>

#include "core/dtype.h"

namespace tersor {

// NumPy allows 64; nobody is known to use more than a dozen, and a view is copied on every call.
inline constexpr int kMaxDims = 32;

enum class DeviceType : std::uint8_t { kCpu, kCuda };

struct Device {
  DeviceType type = DeviceType::kCpu;
  int index = 0;
  bool operator==(const Device&) const = default;
};

struct View {
  const char* name = "";  // the argument's name, for messages
  std::byte* data = nullptr;
  DType dtype = DType::kFloat32;
  Device device;
  int ndim = 0;
  bool writable = false;
  void* stream = nullptr;  // the CUDA stream to work on; unused on the CPU
  std::int64_t shape[kMaxDims];
  std::int64_t stride_bytes[kMaxDims];

  std::int64_t size() const noexcept;
  std::int64_t size_bytes() const noexcept { return size() * item_size(dtype); }
  bool is_contiguous() const noexcept;  // in C order
};

// Items one after the other in memory, as one axis.
View view_of(const char* name, void* data, DType dtype, std::int64_t size) noexcept;

// The elements of all views together.
std::int64_t total_size(std::span<const View> views) noexcept;

// The half-open range of addresses that the elements of a view lie in.
struct AddressRange {
  std::uintptr_t begin, end;
};
AddressRange address_range(const View& view) noexcept;

bool same_shape(const View& a, const View& b) noexcept;

// Same elements in the same places: the one overlap that an in-place call may have.
bool same_elements(const View& a, const View& b) noexcept;

// Whether a write through one view can change an element of the other. Exact for disjoint ranges and for interleaved views
// (columns or every n-th element of one buffer); other intertwined layouts are reported as overlapping.
bool may_overlap(const View& a, const View& b) noexcept;

// The view with the shape of `like`, by NumPy's rules: axes are aligned at the end, and an axis of length 1 is repeated with a
// stride of 0. ValueError where the shapes do not go together.
View broadcast(const View& view, const View& like);

std::string shape_text(const View& view);  // "(3, 4)", as Python prints it

}  // namespace tersor
