#pragma once
// The rules by which libraries make scales and codes, as kernels take them. python/tersor/reference/quantize_conventions.py names
// their sources.

#include <cstdint>
#include <string_view>

#include "core/dtype.h"
#include "cpu/quantize_groups.h"

namespace tersor {

enum class Convention : std::uint8_t {
  kTersor,
  kCompressedTensors,
  kOnnx,
  kTorch,
  kGptq,
  kAwq,
  kMatMulNBits,
  kGgml,
  kBitsAndBytes
};

// ValueError, with the names that there are.
Convention convention_of(std::string_view name);
cpu::Rounding rounding_of(Convention convention, int bits) noexcept;  // its own
cpu::Rounding rounding_of(std::string_view name);

struct CodeFormat {
  int bits;  // 2 to 8
  bool symmetric, is_signed;
};

// ValueError where the convention has no such codes.
void require_convention(Convention convention, CodeFormat format);
// Whether a symmetric range that reaches as far to either side of zero counts as that of the entry which comes first.
bool keeps_first_side(Convention convention, CodeFormat format) noexcept;

inline constexpr int kLeastBits = 2, kMostBits = 8;

// The zero point of symmetric codes.
constexpr int middle_of(CodeFormat format) noexcept { return format.is_signed ? 0 : 1 << (format.bits - 1); }
// What stored bytes differ by from int8.
constexpr int flip_of(CodeFormat format) noexcept { return format.is_signed ? 0 : 128; }

cpu::ScaleRule scale_rule(Convention convention, CodeFormat format, DType w, DType scale) noexcept;
cpu::CodeRule code_rule(Convention convention, CodeFormat format, cpu::Rounding rounding, DType w) noexcept;

}  // namespace tersor
