#include "ops/quantize_convention.h"

#include <string>

#include "core/check.h"
#include "core/named.h"

namespace tersor {

namespace {

constexpr Named<Convention> kConventions[] = {
    {"tersor", Convention::kTersor},
    {"compressed-tensors", Convention::kCompressedTensors},
    {"onnx", Convention::kOnnx},
    {"torch", Convention::kTorch},
    {"gptq", Convention::kGptq},
    {"awq", Convention::kAwq},
    {"matmulnbits", Convention::kMatMulNBits},
    {"ggml", Convention::kGgml},
    {"bitsandbytes", Convention::kBitsAndBytes},
};
constexpr Named<cpu::Rounding> kRoundings[] = {
    {"half_even", cpu::Rounding::kHalfEven}, {"half_away", cpu::Rounding::kHalfAway},    {"half_up", cpu::Rounding::kHalfUp},
    {"truncate", cpu::Rounding::kTruncate},  {"stochastic", cpu::Rounding::kStochastic},
};

// From 1 to the next number.
double epsilon_of(DType dtype) noexcept {
  switch (dtype) {
    case DType::kFloat16: return 0x1p-10;
    case DType::kBFloat16: return 0x1p-7;
    case DType::kFloat64: return 0x1p-52;
    default: return 0x1p-23;
  }
}

// Below this onnxruntime replaces a scale; float16 is replaced only where nothing is left of it.
double least_normal_of(DType dtype) noexcept {
  if (dtype == DType::kFloat16) return 0;
  return dtype == DType::kFloat64 ? 0x1p-1022 : 0x1p-126;
}

int least_code(Convention convention, CodeFormat format) noexcept {
  const int least = format.is_signed ? -(1 << (format.bits - 1)) : 0;
  return convention == Convention::kTersor && format.symmetric ? least + 1 : least;
}
int most_code(CodeFormat format) noexcept { return (1 << (format.bits - (format.is_signed ? 1 : 0))) - 1; }

// Of reciprocals that are multiplied by; 0 where numbers are divided.
double numerator_of(Convention convention) noexcept {
  switch (convention) {
    case Convention::kTorch:
    case Convention::kMatMulNBits:
    case Convention::kGgml: return 1;
    case Convention::kBitsAndBytes: return 127;
    default: return 0;
  }
}

// torch rounds each step to the dtype of its tensors. float32 and float64 are what steps are in anyway.
DType step_of(Convention convention, DType w) noexcept {
  const bool rounds = convention == Convention::kCompressedTensors || convention == Convention::kAwq;
  return rounds && item_size(w) == 2 ? w : DType::kFloat64;
}

}  // namespace

Convention convention_of(std::string_view name) { return find_named(kConventions, name, "convention"); }
cpu::Rounding rounding_of(Convention convention, int bits) noexcept {
  if (convention == Convention::kGgml) return bits < kMostBits ? cpu::Rounding::kHalfUp : cpu::Rounding::kHalfAway;
  return convention == Convention::kMatMulNBits ? cpu::Rounding::kHalfAway : cpu::Rounding::kHalfEven;
}
cpu::Rounding rounding_of(std::string_view name) { return find_named(kRoundings, name, "rounding"); }

void require_convention(Convention convention, CodeFormat format) {
  if (convention == Convention::kGgml && !format.symmetric)
    throw ValueError(
        "convention=\"ggml\" has symmetric codes alone, since its others have a minimum in place of a zero point; pass "
        "symmetric=True, or encode with tersor.formats as \"gguf-q4_1\" or \"gguf-q5_1\"");
  if (convention != Convention::kBitsAndBytes) return;
  if (format.bits != kMostBits)
    throw ValueError("convention=\"bitsandbytes\" has codes of 8 bits, got " + std::to_string(format.bits) +
                     "; its 4 bits are \"bitsandbytes-nf4\" and \"bitsandbytes-fp4\" of tersor.formats");
  if (!format.symmetric) throw ValueError("convention=\"bitsandbytes\" has symmetric codes alone; pass symmetric=True");
}

bool keeps_first_side(Convention convention, CodeFormat format) noexcept {
  return convention == Convention::kGgml && format.bits < kMostBits;
}

cpu::ScaleRule scale_rule(Convention convention, CodeFormat format, DType w, DType scale) noexcept {
  const double steps = (1 << format.bits) - 1, most_of_half = (1 << (format.bits - 1)) - 1;
  cpu::ScaleRule rule{};
  rule.symmetric = format.symmetric;
  rule.includes_zero = true;
  rule.divisor = format.symmetric ? steps / 2 : steps;
  rule.instead = 1;
  rule.least = least_code(convention, format);
  rule.most = most_code(format);
  rule.middle = middle_of(format);
  rule.step = step_of(convention, w);
  switch (convention) {
    case Convention::kTersor:
      rule.sides_apart = !format.symmetric;
      if (format.symmetric) rule.divisor = most_of_half;
      break;
    case Convention::kCompressedTensors:
      rule.instead = epsilon_of(scale);
      rule.zero_point_first = true;
      break;
    case Convention::kOnnx:
      rule.in_float64 = rule.exact_zero_point = true;
      rule.least_scale = least_normal_of(scale);
      if (format.symmetric && format.is_signed && format.bits == 8) rule.divisor = most_of_half;
      break;
    case Convention::kTorch:
      rule.rounds_quotient = true;
      rule.least_scale = rule.instead = epsilon_of(DType::kFloat32);
      break;
    case Convention::kGptq:
      rule.one_sided = rule.widens_nothing = rule.rounds_quotient = true;
      rule.divisor = steps;
      rule.instead = 2 / steps;
      break;
    case Convention::kAwq:
      rule.includes_zero = false;
      rule.rounds_quotient = true;
      rule.least_range = 1e-5;
      if (format.symmetric) rule.divisor = most_of_half;
      break;
    case Convention::kMatMulNBits:
      rule.keeps_sign = format.symmetric;
      rule.half_up = rule.exact_zero_point = true;
      rule.instead = 0;
      if (format.symmetric) rule.divisor = -(1 << (format.bits - 1));
      break;
    case Convention::kGgml:
      rule.keeps_sign = format.bits < kMostBits;
      rule.instead = 0;
      rule.divisor = rule.keeps_sign ? -(1 << (format.bits - 1)) : most_of_half;
      break;
    case Convention::kBitsAndBytes:
      rule.instead = 0;
      rule.divisor = most_of_half;
      break;
  }
  return rule;
}

cpu::CodeRule code_rule(Convention convention, CodeFormat format, cpu::Rounding rounding, DType w) noexcept {
  const bool zero_point_first = convention == Convention::kCompressedTensors || convention == Convention::kMatMulNBits ||
                                keeps_first_side(convention, format);
  return {.least = least_code(convention, format),
          .most = most_code(format),
          .flip = flip_of(format),
          .rounding = rounding,
          .numerator = numerator_of(convention),
          .zero_point_first = zero_point_first,
          .step = step_of(convention, w)};
}

}  // namespace tersor
