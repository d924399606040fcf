#pragma once
// Loops over tiles: parts of an array that are worked on one by one, several a chunk.

#include <cstddef>
#include <cstdint>

#include "core/function_ref.h"

namespace tersor {

struct Tiles {
  std::int64_t count, bytes_each, scratch_bytes;
};

// Calls body(tile, scratch of scratch_bytes), on several threads at once.
void for_each_tile(const Tiles& tiles, FunctionRef<void(std::int64_t, std::byte*)> body);

}  // namespace tersor
