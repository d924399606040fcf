#pragma once
// Random numbers by their place.

#include <cstdint>

#include "cpu/kernel_table.h"

namespace tersor::cpu {

struct RandomKernels {
  // The word of each of the elements numbered `position` and on, shifted right.
  using Words = void(std::int64_t position, std::int64_t count, std::uint64_t seed, int shift, std::uint32_t* words) noexcept;
  Words& words;
};

TERSOR_DECLARE_TABLE(RandomKernels, random_kernels)

}  // namespace tersor::cpu
