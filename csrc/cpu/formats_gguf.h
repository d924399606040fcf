#pragma once
// The blocks of ggml: runs of numbers as scales and codes, one block after the other.

#include <cstddef>
#include <cstdint>

#include "core/store.h"
#include "cpu/kernel_table.h"

namespace tersor::cpu {

// Of one type of blocks, by the dtype of the numbers.
struct BlockKernels {
  using Encode = void(const std::byte* numbers, std::int64_t blocks, std::byte* to, Store store) noexcept;
  using Decode = void(const std::byte* from, std::int64_t blocks, std::byte* numbers, Store store) noexcept;
  ByFloat<Encode> encode;
  ByFloat<Decode> decode;
};

// Of 32 numbers.
struct FormatsGgufKernels {
  BlockKernels q4_0, q4_1, q5_0, q5_1, q8_0;
};

TERSOR_DECLARE_TABLE(FormatsGgufKernels, formats_gguf_kernels)

}  // namespace tersor::cpu
