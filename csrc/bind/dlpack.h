#pragma once
// The part of the DLPack ABI, major version 1, that tersor reads: https://dmlc.github.io/dlpack/latest/c_api.html.
// The layout is fixed within a major version; tests compare it with torch's header. Where a comment stands, the specification
// leaves a trap.

#include <cstddef>
#include <cstdint>

namespace tersor::dlpack {

inline constexpr std::uint32_t kMajorVersion = 1;

struct Version {
  std::uint32_t major, minor;
};

enum DeviceCode : std::int32_t { kCpu = 1, kCuda = 2, kCudaHost = 3, kCudaManaged = 13 };

struct Device {
  std::int32_t code;
  std::int32_t index;
};

enum TypeCode : std::uint8_t { kInt = 0, kUInt = 1, kFloat = 2, kBfloat = 4, kComplex = 5, kBool = 6 };

struct DataType {
  std::uint8_t code;
  std::uint8_t bits;
  std::uint16_t lanes;
};

struct Tensor {
  void* data;
  Device device;
  std::int32_t ndim;
  DataType dtype;
  std::int64_t* shape;
  std::int64_t* strides;  // in items; null means C order (before DLPack 1.2)
  std::uint64_t byte_offset;
};

// What a capsule named "dltensor" holds. It cannot say "read-only", so nothing that came this way may be written.
struct LegacyManagedTensor {
  Tensor tensor;
  void* context;
  void (*deleter)(LegacyManagedTensor* self);  // may be null
};

inline constexpr std::uint64_t kReadOnly = 1;
inline constexpr std::uint64_t kIsCopied = 2;  // a write would not reach the producer's array

// What a capsule named "dltensor_versioned" holds. With another major version, nothing behind `deleter` may be read.
struct ManagedTensor {
  Version version;
  void* context;
  void (*deleter)(ManagedTensor* self);  // may be null
  std::uint64_t flags;
  Tensor tensor;
};

inline constexpr const char* kLegacyCapsule = "dltensor";
inline constexpr const char* kUsedLegacyCapsule = "used_dltensor";
inline constexpr const char* kCapsule = "dltensor_versioned";
inline constexpr const char* kUsedCapsule = "used_dltensor_versioned";

// DLPack 1.3: a table of functions on a type, as the capsule attribute __dlpack_c_exchange_api__. 30 times faster than a call of
// __dlpack__ on a torch tensor. Functions return 0, or set a Python exception.
struct ExchangeApi {
  Version version;
  const ExchangeApi* previous;  // the same table in an older major version, or null
  void* allocate;
  void* export_managed;
  void* import_managed;
  // Fills `view` without ownership: valid while the object lives and is not changed. May be null.
  int (*view_object)(void* object, Tensor* view);
  // The stream that the producer's own work on a device goes to at the moment.
  int (*current_stream)(std::int32_t device_code, std::int32_t device_index, void** stream);
};

inline constexpr const char* kExchangeApiAttribute = "__dlpack_c_exchange_api__";
inline constexpr const char* kExchangeApiCapsule = "dlpack_exchange_api";

}  // namespace tersor::dlpack
