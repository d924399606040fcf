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
inline constexpr int kSliceBlocks = 2;    // at least, on a multiprocessor: while one computes, others read and write
inline constexpr int kSlicePackets = 8;   // of a thread, at least where rows are many: what a thread does once weighs less
inline constexpr int kMostSliceThreads = 512;
inline constexpr int kRegisterWarps = 16;  // at most: 128 registers a thread, 32 of them for the row
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

// The fewest packets a lane that let half a warp hold the row, or at last a whole one, and then the fewest lanes. What a thread
// does once weighs more than that rows side by side are read together.
template <std::size_t kChoices>
bool map_to_lanes(std::int64_t packets, const int (&packets_of_a_lane)[kChoices], Mapping& mapping) noexcept {
  for (int choice = 0; choice < static_cast<int>(kChoices); ++choice) {
    const int most_lanes = choice + 1 < static_cast<int>(kChoices) ? 16 : 32;
    if (packets > most_lanes * packets_of_a_lane[choice]) continue;
    mapping = {
        MappingKind::kLanes, log2_at_least(ceil_div<std::int64_t>(packets, packets_of_a_lane[choice])), choice, kLaneThreads, 1, 0};
    return true;
  }
  return false;
}

// A slice in shared memory: of a cluster of the fewest blocks that leave room for kSliceBlocks on a multiprocessor. Where there are
// fewer rows than multiprocessors, they are cut further. `threads` of a multiprocessor are shared out among the blocks that shared
// memory has room for: copies are under way without threads, so that a few are enough.
inline bool map_to_slices(std::int64_t rows, std::int64_t packets, int scratch_packets, int threads, const DeviceLimits& limits,
                          Mapping& mapping) noexcept {
  const auto slots_in = [&](int bytes) { return std::int64_t{bytes / 16 - scratch_packets}; };
  const auto slots_if = [&](int blocks) {
    return std::min(slots_in(limits.shared_bytes),
                    slots_in(limits.shared_bytes_of_a_multiprocessor / blocks - kReservedSharedBytes));
  };
  const int most_ranks = limits.has_clusters ? 8 : 1;
  int ranks = 1;
  const auto slice = [&] { return ceil_div<std::int64_t>(packets, ranks); };
  while (ranks < most_ranks && slice() > slots_if(kSliceBlocks)) ranks *= 2;
  if (slice() > slots_if(1)) return false;
  while (ranks < most_ranks && rows * ranks < limits.multiprocessors && slice() >= 2 * kMostSliceThreads) ranks *= 2;
  const bool is_alone = rows * ranks <= limits.multiprocessors;  // each block on its multiprocessor
  const std::int64_t bytes = (scratch_packets + slice()) * 16 + kReservedSharedBytes;
  const std::int64_t blocks = is_alone ? 1 : std::max<std::int64_t>(limits.shared_bytes_of_a_multiprocessor / bytes, 1);
  const std::int64_t most_threads = std::min<std::int64_t>(threads / blocks, kMostSliceThreads);
  const std::int64_t warps = std::min(most_threads / 32, ceil_div<std::int64_t>(slice(), kSlicePackets * (is_alone ? 2 : 1) * 32));
  mapping = {MappingKind::kSlices, 0, 0, static_cast<int>(std::max<std::int64_t>(warps, 1)) * 32, ranks, slice()};
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
