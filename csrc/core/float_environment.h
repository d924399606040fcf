#pragma once
// Kernels run under the default floating-point environment: round to nearest even, subnormals kept. A host program may have
// changed it for its own threads (torch.set_flush_denormal, -ffast-math start-up code), which would move bits.
//
// Compilers do not know that arithmetic depends on it: what stands beside an environment, and not behind a call through a
// pointer, is to read its operands and write its result as volatiles, which stay where they are.

#include <cstdint>

#if defined(__x86_64__)
#include <xmmintrin.h>
#endif

namespace tersor {

class DefaultFloatEnvironment {
 public:
  DefaultFloatEnvironment() noexcept : saved_(read()) {
    if (saved_ != kDefault) write(kDefault);
  }
  ~DefaultFloatEnvironment() {
    if (saved_ != kDefault) write(saved_);
  }
  DefaultFloatEnvironment(const DefaultFloatEnvironment&) = delete;
  DefaultFloatEnvironment& operator=(const DefaultFloatEnvironment&) = delete;

 private:
#if defined(__x86_64__)
  using Word = std::uint32_t;
  static constexpr Word kDefault = 0x1f80;  // all exceptions masked, nearest even, no FTZ, no DAZ
  static constexpr Word kFlags = 0x3f;      // sticky exception flags: not part of the mode
  static Word read() noexcept { return _mm_getcsr() & ~kFlags; }
  static void write(Word word) noexcept { _mm_setcsr(word); }
#elif defined(__aarch64__)
  using Word = std::uint64_t;
  static constexpr Word kDefault = 0;
  static Word read() noexcept {
    Word word;
    asm volatile("mrs %0, fpcr" : "=r"(word));
    return word;
  }
  static void write(Word word) noexcept { asm volatile("msr fpcr, %0" : : "r"(word)); }
#endif
  Word saved_;
};

}  // namespace tersor
