#pragma once

#include <cstdint>

namespace tersor {

// Ordinary stores keep the output in cache for the caller's next step. Streaming stores skip the read for ownership, a third of the
// traffic of a copy, but are 4x slower where the output would have fitted.
enum class Store : std::uint8_t { kCached, kStreaming };

// Streaming stores are weakly ordered: they must be done before another thread is told so. parallel_for sees to it, once for all
// chunks that a thread works on; a kernel that did would wait for memory after each of its rows.
inline void finish_streaming() noexcept {
#if defined(__x86_64__)
  __builtin_ia32_sfence();
#endif
}

}  // namespace tersor
