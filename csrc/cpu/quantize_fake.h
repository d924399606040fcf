#pragma once
// What codes stand for, without the codes, and gradients of it.

#include <cstddef>
#include <cstdint>

#include "core/store.h"
#include "cpu/kernel_table.h"
#include "cpu/quantize_groups.h"

namespace tersor::cpu {

// What gradients of a group add up to: of the scale, and those of numbers whose codes are clamped.
enum GradientTally : int { kScaleGradient, kClampedGradient, kGradientTallies };

struct QuantizeFakeKernels {
  // What decode_groups makes of the codes of encode_groups, by a plain rule; out may be w.
  using FakeGroups = void(const std::byte* w, std::int64_t cols, std::int64_t group_size, const std::byte* scales,
                          const std::byte* zero_points, const CodeRule& rule, std::byte* out, Store store,
                          const std::byte* next) noexcept;
  // grad_w: the gradient where the code of w is not clamped, else 0. Adds to tallies[k * stride + group]. Scales,
  // zero points and random as encode_groups takes them.
  using BackwardGroups = void(const std::byte* grad, const std::byte* w, std::int64_t cols, std::int64_t group_size,
                              const std::byte* scales, const std::byte* zero_points, const CodeRule& rule,
                              const std::uint32_t* random, std::byte* grad_w, double* tallies, std::int64_t stride) noexcept;
  using BackwardColumns = void(const std::byte* grad, const std::byte* w, std::int64_t cols, const std::byte* scales,
                               const std::byte* zero_points, const CodeRule& rule, const std::uint32_t* random, std::byte* grad_w,
                               double* tallies, std::int64_t stride) noexcept;
  ByFloat<FakeGroups> fake_groups;
  ByFloat<BackwardGroups> backward_groups;
  ByFloat<BackwardColumns> backward_columns;
};

TERSOR_DECLARE_TABLE(QuantizeFakeKernels, quantize_fake_kernels)

}  // namespace tersor::cpu
