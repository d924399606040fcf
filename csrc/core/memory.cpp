#include "core/memory.h"

#include <cstdio>
#include <cstdlib>
#include <memory>
#include <new>

namespace tersor {

namespace {

constexpr std::size_t kAlignment = 64;

// As the kernel tells it of one last-level cache, "32768K". sysconf multiplies what CPUID says by guesses: on a virtual machine
// with a cache of 32 MiB it returned 320.
std::int64_t last_level_cache_bytes() noexcept {
  long long kibibytes = 0;
  if (std::FILE* file = std::fopen("/sys/devices/system/cpu/cpu0/cache/index3/size", "r")) {
    if (std::fscanf(file, "%lldK", &kibibytes) != 1) kibibytes = 0;
    std::fclose(file);
  }
  return kibibytes > 0 ? kibibytes << 10 : std::int64_t{16} << 20;
}

std::int64_t cache_share_bytes() noexcept {
  // Half of the last level: the input passes through it too, and other processes share it.
  static const std::int64_t share = last_level_cache_bytes() / 2;
  return share;
}

std::byte* allocate(std::size_t bytes) {
  void* data = std::aligned_alloc(kAlignment, (bytes + kAlignment - 1) / kAlignment * kAlignment);
  if (!data) throw std::bad_alloc();
  return static_cast<std::byte*>(data);
}

struct Free {
  void operator()(std::byte* data) const noexcept { std::free(data); }
};

struct KeptBuffer {
  std::unique_ptr<std::byte, Free> data;
  bool in_use = false;
};
thread_local KeptBuffer kept;

}  // namespace

Store store_for(std::int64_t output_bytes) noexcept {
  return output_bytes > cache_share_bytes() ? Store::kStreaming : Store::kCached;
}

Scratch::Scratch(std::size_t bytes) : borrowed_(bytes <= kKeptScratchBytes && !kept.in_use) {
  if (!borrowed_) {
    data_ = allocate(bytes ? bytes : 1);
    return;
  }
  if (!kept.data) kept.data.reset(allocate(kKeptScratchBytes));
  kept.in_use = true;
  data_ = kept.data.get();
}

Scratch::~Scratch() {
  if (borrowed_)
    kept.in_use = false;
  else
    std::free(data_);
}

}  // namespace tersor
