#pragma once
// Which threads share a row, by its length: decided on the host, by plain arithmetic that host tests check.
//
//   - lanes: 2**n lanes of a warp each hold a few packets in registers.
//   - slices: a block, or a cluster of up to 8, holds the row in shared memory (softmax); a block holds it in registers
//     (quantize_int8).
//   - loop: a block reads a row of any length twice.
//   - across: 32 rows side by side in a warp, read twice: for rows whose neighbours are closer in memory than their items.

#include <algorithm>

#include "cuda/rows.h"

namespace tersor::cuda {

struct DeviceLimits {
  int multiprocessors;
  int shared_bytes;                      // that a block may ask for
  int shared_bytes_of_a_multiprocessor;  // that its blocks share; each takes kReservedSharedBytes more than it asks for
  bool has_clusters;
};

inline constexpr int kReservedSharedBytes = 1024;
inline constexpr int kLaneThreads = 128;  // of a block whose rows belong to lanes
inline constexpr int kSliceBlocks = 3;    // of a cluster's rows on a multiprocessor: while one computes, others read and write
inline constexpr int kMostSliceThreads = 512;
inline constexpr int kThreadsOfAMultiprocessor = 768;  // fastest on an H100, of 640 to 1280
inline constexpr int kRegisterWarps = 16;              // at most: 128 registers a thread, 32 of them for the row
inline constexpr int kLoopThreads = 512;
inline constexpr int kAcrossWarps = 8;
inline constexpr int kPruneThreads = 256;
inline constexpr int kPrunePackets = 4;  // of a thread: 64 bytes in flight

enum class MappingKind : std::uint8_t { kLanes, kSlices, kLoop, kAcross };

struct Mapping {
  MappingKind kind;
  int lanes_log2;      // kLanes
  int choice;          // kLanes: which number of packets a lane holds
  int threads;         // of a block
  int ranks;           // blocks of a cluster
  std::int64_t slots;  // packets that a block holds: kSlices
};

// Whether the next row lies closer than the next item.
inline bool rows_are_closer(const Extent& extent, const Rows& rows) noexcept {
  if (extent.outer_ndim == 0 || rows.item_stride == 1) return false;
  const int innermost = extent.outer_ndim - 1;
  const auto length = [](std::int64_t stride) { return stride < 0 ? -stride : stride; };
  return extent.outer_shape[innermost] >= 4 && length(rows.outer_stride[innermost]) < length(rows.item_stride);
}

inline int log2_at_least(std::int64_t count) noexcept {
  int log2 = 0;
  while ((std::int64_t{1} << log2) < count) ++log2;
  return log2;
}

// The fewest packets a lane that let a warp hold the row, and then the fewest lanes.
template <std::size_t kChoices>
bool map_to_lanes(std::int64_t packets, const int (&packets_of_a_lane)[kChoices], Mapping& mapping) noexcept {
  for (int choice = 0; choice < static_cast<int>(kChoices); ++choice) {
    if (packets > 32 * packets_of_a_lane[choice]) continue;
    mapping = {
        MappingKind::kLanes, log2_at_least(ceil_div<std::int64_t>(packets, packets_of_a_lane[choice])), choice, kLaneThreads, 1, 0};
    return true;
  }
  return false;
}

// A slice in shared memory. One block for a row as long as it can hold it: the blocks of a cluster wait for each other, which costs
// up to a tenth. Else clusters, kSliceBlocks blocks on a multiprocessor where possible. Where there are fewer rows than
// multiprocessors, they are cut further.
inline bool map_to_slices(std::int64_t rows, std::int64_t packets, int scratch_packets, const DeviceLimits& limits,
                          Mapping& mapping) noexcept {
  const auto slots_in = [&](int bytes) { return std::int64_t{bytes / 16 - scratch_packets}; };
  const auto slots_if = [&](int blocks) {
    return std::min(slots_in(limits.shared_bytes),
                    slots_in(limits.shared_bytes_of_a_multiprocessor / blocks - kReservedSharedBytes));
  };
  const int most_ranks = limits.has_clusters ? 8 : 1;
  int ranks = 1;
  const auto slice = [&] { return ceil_div<std::int64_t>(packets, ranks); };
  if (packets > slots_if(1))
    while (ranks < most_ranks && slice() > slots_if(kSliceBlocks)) ranks *= 2;
  if (slice() > slots_if(1)) return false;
  while (ranks < most_ranks && rows * ranks < limits.multiprocessors && slice() >= 2 * kMostSliceThreads) ranks *= 2;
  // Shared out among the blocks that shared memory has room for. Copies are under way without threads: a few are enough.
  const std::int64_t bytes = (scratch_packets + slice()) * 16 + kReservedSharedBytes;
  const std::int64_t blocks = std::max<std::int64_t>(limits.shared_bytes_of_a_multiprocessor / bytes, 1);
  const std::int64_t most_threads = rows * ranks <= limits.multiprocessors ? kMostSliceThreads : kThreadsOfAMultiprocessor / blocks;
  const std::int64_t warps =
      std::min({most_threads / 32, ceil_div<std::int64_t>(slice(), 4 * 32), std::int64_t{kMostSliceThreads} / 32});
  mapping = {MappingKind::kSlices, 0, 0, static_cast<int>(std::max<std::int64_t>(warps, 4)) * 32, ranks, slice()};
  return true;
}

// A block that keeps the row in registers.
inline bool map_to_registers(std::int64_t packets, int packets_of_a_thread, Mapping& mapping) noexcept {
  const std::int64_t warps = ceil_div<std::int64_t>(packets, packets_of_a_thread * 32);
  if (warps > kRegisterWarps) return false;
  mapping = {MappingKind::kSlices, 0, 0, static_cast<int>(warps) * 32, 1, packets};
  return true;
}

inline Mapping map_to_loop(const Extent& extent, const Rows& in) noexcept {
  const bool across = rows_are_closer(extent, in);
  return {across ? MappingKind::kAcross : MappingKind::kLoop, 0, 0, across ? kAcrossWarps * 32 : kLoopThreads, 1, 0};
}

// Pieces of 2**lanes_log2 * kPrunePackets packets; short rows share a block.
struct PruneMapping {
  int lanes_log2;
  std::int64_t pieces;  // of a row
  std::int64_t blocks;
};

inline PruneMapping map_prune(std::int64_t rows, std::int64_t packets) noexcept {
  const int lanes_log2 = std::min(log2_at_least(ceil_div<std::int64_t>(packets, kPrunePackets)), log2_at_least(kPruneThreads));
  const std::int64_t pieces = ceil_div<std::int64_t>(packets, std::int64_t{kPrunePackets} << lanes_log2);
  return {lanes_log2, pieces, ceil_div<std::int64_t>(rows * pieces, kPruneThreads >> lanes_log2)};
}

}  // namespace tersor::cuda
