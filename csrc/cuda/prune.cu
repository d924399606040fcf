// prune_threshold: one read, one write, on bits. A thread has four packets in flight; a block takes a piece of a row, or several
// short rows.

#include "cuda/group.h"
#include "cuda/launch.h"
#include "cuda/prune_word.h"

namespace tersor::cuda {

namespace {

struct PruneTask {
  Extent extent;
  Rows w, out;
  std::uint64_t threshold_bits;
  std::int64_t pieces;  // of a row
  bool plain;           // see rows_are_plain
  std::int64_t first_block;
};

template <class Bits>
__global__ void __launch_bounds__(kPruneThreads) prune_rows(PruneTask task, int lanes_log2) {
  constexpr int kPacket = static_cast<int>(sizeof(Packet) / sizeof(Bits));
  const int lanes = 1 << lanes_log2;
  const std::int64_t unit = ((task.first_block + blockIdx.x) * kPruneThreads + thread()) >> lanes_log2;
  const std::int64_t row = task.pieces == 1 ? unit : unit / task.pieces;
  if (row >= task.extent.rows) return;
  PacketRow<Bits, kPacket, std::int64_t> w, out;
  open_rows(task.extent, task.w, task.out, task.plain, row, w, out);
  const PruneThreshold<Bits> prune(task.threshold_bits);
  const std::int64_t packets = w.packets(), first = (unit - row * task.pieces) * kPrunePackets * lanes + (thread() & (lanes - 1));
  Packet packet[kPrunePackets];
#pragma unroll
  for (int k = 0; k < kPrunePackets; ++k)
    if (first + k * lanes < packets) packet[k] = w.load(first + k * lanes, Bits{0});
#pragma unroll
  for (int k = 0; k < kPrunePackets; ++k)
    if (first + k * lanes < packets) out.store(first + k * lanes, prune(packet[k]));
}

template <class Bits>
const char* run(const PruneThresholdParams& params, cudaStream_t stream) noexcept {
  constexpr int kPacket = static_cast<int>(sizeof(Packet) / sizeof(Bits));
  const bool on_grid = params.w.item_stride == 1 && is_on_grid(params.extent, params.w, sizeof(Bits));
  const std::int64_t packets = most_packets(params.extent.cols, kPacket, on_grid);
  const PruneMapping mapping = map_prune(params.extent.rows, packets);
  const PruneTask task{params.extent,
                       params.w,
                       params.out,
                       params.threshold_bits,
                       mapping.pieces,
                       rows_are_plain<kPacket, Bits, Bits>(params.extent, params.w, params.out),
                       0};
  return launch(prune_rows<Bits>, task, {mapping.blocks, kPruneThreads}, stream, mapping.lanes_log2);
}

}  // namespace

const char* prune_threshold(const PruneThresholdParams& params, const DeviceLimits&, cudaStream_t stream) noexcept {
  if (params.extent.rows == 0 || params.extent.cols == 0) return nullptr;
  switch (params.dtype) {
    case DType::kFloat32: return run<std::uint32_t>(params, stream);
    case DType::kFloat16:
    case DType::kBFloat16: return run<std::uint16_t>(params, stream);
    case DType::kFloat64: return run<std::uint64_t>(params, stream);
    default: return "prune_threshold takes floating-point dtypes only";
  }
}

const char* warm_up_prune(const DeviceLimits&) noexcept {
  const char* error = nullptr;
  for (const auto kernel : {prune_rows<std::uint32_t>, prune_rows<std::uint64_t>})
    if (!error) error = warm_up_kernel(kernel);
  return error ? error : warm_up_kernel(prune_rows<std::uint16_t>);
}

}  // namespace tersor::cuda
