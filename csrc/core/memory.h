#pragma once
// Scratch memory for kernels, and the rule for streaming stores.

#include <cstddef>
#include <cstdint>

#include "core/store.h"

namespace tersor {

// kStreaming for outputs larger than this process's likely share of the last-level cache.
Store store_for(std::int64_t output_bytes) noexcept;

inline constexpr std::size_t kKeptScratchBytes = 1 << 20;

// A 64-byte aligned buffer for the length of a scope. Each thread keeps one buffer of up to kKeptScratchBytes for the next scope;
// larger ones, and nested ones, are allocated and freed. Throws std::bad_alloc.
class Scratch {
 public:
  explicit Scratch(std::size_t bytes);
  ~Scratch();
  Scratch(const Scratch&) = delete;
  Scratch& operator=(const Scratch&) = delete;
  std::byte* data() const noexcept { return data_; }

 private:
  std::byte* data_;
  bool borrowed_;
};

}  // namespace tersor
