#pragma once

#include <cstdint>

namespace tersor {

// Ordinary stores keep the output in cache for the caller's next step. Streaming stores skip the read for ownership, a third of the
// traffic of a copy, but are 4x slower where the output would have fitted.
enum class Store : std::uint8_t { kCached, kStreaming };

}  // namespace tersor
