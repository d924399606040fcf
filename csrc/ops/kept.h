#pragma once
// Writes what bits say of a row: its pruned values, a mask, or the bits themselves, by the dtype of the output.

#include <cstdint>

#include "core/store.h"
#include "core/view.h"
#include "cpu/prune.h"
#include "ops/loop_plan.h"

namespace tersor {

Columns kept_columns(const View& out) noexcept;

// w and its output go together; name is the op's, for messages.
void require_kept_output(const char* name, const View& w, const View& out);

class KeptWriter {
 public:
  KeptWriter(const View& w, const View& out);

  // Dense columns; one that bits of a byte are written to begins a byte of out.
  void write(const std::uint8_t* bits, const std::byte* w, std::byte* out, std::int64_t cols) const;

  std::int64_t out_bytes(std::int64_t cols) const noexcept { return items_for(columns_, cols) * out_item_bytes_; }

 private:
  cpu::PruneKernels::ApplyMask& apply_;
  bool is_mask_;
  Columns columns_;
  std::int64_t out_item_bytes_;
  Store store_;
};

}  // namespace tersor
