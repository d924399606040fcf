#include "ops/tiles.h"

#include <algorithm>

#include "core/integers.h"
#include "core/memory.h"
#include "core/parallel.h"

namespace tersor {

namespace {

constexpr std::int64_t kChunkBytes = 1 << 20;

}  // namespace

void for_each_tile(const Tiles& tiles, FunctionRef<void(std::int64_t, std::byte*)> body) {
  const std::int64_t tiles_each = std::max<std::int64_t>(1, kChunkBytes / std::max<std::int64_t>(1, tiles.bytes_each));
  parallel_for(ceil_div(tiles.count, tiles_each), [&](std::int64_t chunk) {
    const Scratch scratch(static_cast<std::size_t>(tiles.scratch_bytes));
    for (std::int64_t tile = chunk * tiles_each; tile < std::min(tiles.count, (chunk + 1) * tiles_each); ++tile)
      body(tile, scratch.data());
  });
}

}  // namespace tersor
