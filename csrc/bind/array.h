#pragma once
// A Python array as a View. The facts about one array are checked here and nowhere else: that it is one, that its memory can be
// read (and written, for an output), its dtype, its device. Nothing is ever converted or copied.

#include <pybind11/pybind11.h>

#include <deque>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "bind/dlpack.h"
#include "core/view.h"

namespace tersor::bind {

namespace py = pybind11;

// Indices, row offsets among them, may be of integers that no other argument may have.
enum class Use : std::uint8_t { kInput, kOutput, kIndices, kIndicesOutput };
constexpr bool is_output(Use use) noexcept { return use == Use::kOutput || use == Use::kIndicesOutput; }
constexpr bool takes_indices(Use use) noexcept { return use == Use::kIndices || use == Use::kIndicesOutput; }

// An argument of an op for the length of the call. Needs the GIL at both ends of its life, and the object to outlive it.
class ArrayArg {
 public:
  ArrayArg(py::handle object, const char* name, Use use = Use::kInput);
  ArrayArg(const ArrayArg&) = delete;
  ArrayArg& operator=(const ArrayArg&) = delete;

  const View& view() const noexcept { return view_; }
  operator const View&() const noexcept { return view_; }

 private:
  // Each reads the object if it is of its kind, else returns false.
  bool read_numpy(py::handle object);           // array.cpp
  bool read_torch(py::handle object, Use use);  // torch_array.cpp
  bool read_dlpack(py::handle object);          // dlpack_array.cpp

  void hold_capsule(py::handle capsule, bool legacy_is_writable);
  void read_tensor(const dlpack::Tensor& tensor);

  View view_;
  std::unique_ptr<void, void (*)(void*)> held_{nullptr, nullptr};  // the producer's managed tensor
};

// An array that may be None.
class OptionalArrayArg {
 public:
  OptionalArrayArg(py::handle object, const char* name, Use use = Use::kInput) {
    if (!object.is_none()) array_.emplace(object, name, use);
  }
  const View* view() const noexcept { return array_ ? &array_->view() : nullptr; }

 private:
  std::optional<ArrayArg> array_;
};

// An array, or a list or tuple of arrays that an op takes as one. Names its members "w[0]", "w[1]" and so on.
class ArrayListArg {
 public:
  ArrayListArg(py::handle object, const char* name, Use use = Use::kInput);
  ArrayListArg(const ArrayListArg&) = delete;
  ArrayListArg& operator=(const ArrayListArg&) = delete;

  std::span<const View> views() const noexcept { return views_; }
  operator std::span<const View>() const noexcept { return views_; }
  bool is_list() const noexcept { return static_cast<bool>(members_); }
  const View& only() const;  // ValueError where out is a list, for one array
  std::int64_t size() const noexcept { return total_size(views_); }
  std::int64_t size_bytes() const noexcept;

 private:
  py::object members_;  // a tuple: another thread may change the caller's list
  std::deque<std::string> names_;
  std::deque<ArrayArg> arrays_;
  std::vector<View> views_;
};

// Called at import: looks up what read_numpy compares with.
void load_numpy();

}  // namespace tersor::bind
