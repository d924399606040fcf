#pragma once
// The element types that tersor reads and writes, and what every layer may ask about them. int64 is for counts and labels alone:
// other arguments refuse it.

#include <cstdint>

namespace tersor {

enum class DType : std::uint8_t { kFloat32, kFloat16, kBFloat16, kFloat64, kInt8, kUInt8, kBool, kInt64, kInt32, kInt16 };

constexpr std::int64_t item_size(DType dtype) noexcept {
  switch (dtype) {
    case DType::kInt64:
    case DType::kFloat64: return 8;
    case DType::kInt32:
    case DType::kFloat32: return 4;
    case DType::kInt16:
    case DType::kFloat16:
    case DType::kBFloat16: return 2;
    default: return 1;
  }
}

constexpr bool is_floating(DType dtype) noexcept { return dtype <= DType::kFloat64; }

// The integers that count and index; weights and codes have none of these.
constexpr bool is_index(DType dtype) noexcept { return dtype >= DType::kInt64; }

constexpr const char* name_of(DType dtype) noexcept {
  switch (dtype) {
    case DType::kFloat32: return "float32";
    case DType::kFloat16: return "float16";
    case DType::kBFloat16: return "bfloat16";
    case DType::kFloat64: return "float64";
    case DType::kInt8: return "int8";
    case DType::kUInt8: return "uint8";
    case DType::kBool: return "bool";
    case DType::kInt64: return "int64";
    case DType::kInt32: return "int32";
    case DType::kInt16: return "int16";
  }
  return "unknown";
}

// The type that arithmetic on `dtype` happens in: float64 stays, every narrower float widens to float32.
constexpr DType arithmetic_dtype(DType dtype) noexcept { return dtype == DType::kFloat64 ? DType::kFloat64 : DType::kFloat32; }

}  // namespace tersor
