#pragma once
// How kernels are declared. Those of a family form a table of function references, in cpu/<family>.h, filled in once per CPU level
// at the end of cpu/<family>.cpp: a kernel that a level forgets, or gives the wrong type, does not compile. Kernels are noexcept
// and allocate nothing.

#include "core/dtype.h"

namespace tersor::cpu {

// One kernel for each floating-point element type.
template <class Function>
struct ByFloat {
  Function& float32;
  Function& float16;
  Function& bfloat16;
  Function& float64;
  Function& operator[](DType dtype) const noexcept {
    switch (dtype) {
      case DType::kFloat16: return float16;
      case DType::kBFloat16: return bfloat16;
      case DType::kFloat64: return float64;
      default: return float32;
    }
  }
};

}  // namespace tersor::cpu

// The table of each level, and name(): that of the level in use, which dispatch.cpp picks.
#if defined(__aarch64__)
#define TERSOR_DECLARE_TABLE(Table, name) \
  const Table& name();                    \
  namespace neon {                        \
  extern const Table name;                \
  }
#else
#define TERSOR_DECLARE_TABLE(Table, name) \
  const Table& name();                    \
  namespace baseline {                    \
  extern const Table name;                \
  }                                       \
  namespace avx2 {                        \
  extern const Table name;                \
  }                                       \
  namespace avx512 {                      \
  extern const Table name;                \
  }
#endif
