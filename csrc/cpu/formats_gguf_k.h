#pragma once
// The super-blocks of ggml: 256 numbers, in parts whose scales are codes themselves.

#include "cpu/formats_gguf.h"

namespace tersor::cpu {

struct FormatsGgufKKernels {
  BlockKernels q4_k, q5_k, q6_k;
};

TERSOR_DECLARE_TABLE(FormatsGgufKKernels, formats_gguf_k_kernels)

}  // namespace tersor::cpu
