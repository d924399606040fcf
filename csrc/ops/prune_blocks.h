#pragma once
// prune: blocks of rows x cols entries go whole, those of the lowest norm. The output's dtype says what is written, as in
// prune_ranked.h.

#include <cstdint>

#include "core/view.h"

namespace tersor {

enum class BlockNorm : std::uint8_t { kL1, kL2, kMax };

struct BlockShape {
  std::int64_t rows, cols;
};

// Of the blocks of all matrices (the last two axes), round_half_even(sparsity * blocks) go; of those that tie the first ones.
// Blocks at the edges are as large as there are entries for. A block that holds NaN ranks highest.
void prune_blocks(const View& w, BlockShape block, double sparsity, BlockNorm norm, const View& out);

}  // namespace tersor
