// quantize_int8: a row is read from memory once and kept in registers, as it came, between its maximum and its codes. Rows too long
// for that, or strided across the items, are read twice.
//
// Budget (20 instructions an entry at bfloat16 and full bandwidth on an H200): 1 for the maximum, 1 to unpack, 3 for the
// quotient, 1 to round, 0.75 to pack the codes.

#include "cuda/group.h"
#include "cuda/launch.h"
#include "cuda/quantize_row.h"

namespace tersor::cuda {

namespace {

struct QuantizeTask {
  Extent extent;
  Rows w, q, scale;
  bool plain;  // see rows_are_plain
  std::int64_t first_block;
};

template <class Format>
struct QuantizeRow {
  using Bits = typename Format::Bits;
  using Math = typename Format::Math;
  static constexpr int kPacket = Format::kPacket;

  PacketRow<Bits, kPacket, int> w;
  PacketRow<std::uint8_t, kPacket, int> q;
  Math* scale;  // null for a row beyond the last, whose threads only keep the others company

  __device__ __forceinline__ QuantizeRow(const QuantizeTask& task, std::int64_t row) {
    open_rows(task.extent, task.w, task.q, task.plain, row, w, q);
    scale = row < task.extent.rows ? row_begin<Math>(task.extent, task.scale, row) : nullptr;
  }
  __device__ __forceinline__ Packet load(int packet) const { return w.load(packet, Bits{0}); }

  __device__ __forceinline__ void store(int packet, const Codes<kPacket>& codes) const {
    if (q.is_whole(packet)) {
      std::uint8_t* const to = q.whole(packet);
      if constexpr (kPacket == 8)
        *reinterpret_cast<uint2*>(to) = make_uint2(codes.word[0], codes.word[1]);
      else if constexpr (kPacket == 4)
        *reinterpret_cast<unsigned*>(to) = codes.word[0];
      else
        *reinterpret_cast<unsigned short*>(to) = static_cast<unsigned short>(codes.word[0]);
      return;
    }
#pragma unroll
    for (int i = 0; i < kPacket; ++i)
      if (q.holds(packet, i)) *q.at(packet, i) = static_cast<std::uint8_t>(codes.word[i / 4] >> (i % 4 * 8));
  }
};

// --- a row in registers, of 2**lanes_log2 lanes or of a whole block -------------------------------------------------------

template <class Format, int kPackets>
__device__ __forceinline__ void load_all(const QuantizeRow<Format>& row, int first, int step, Packet (&raw)[kPackets]) {
  const int packets = row.w.packets();
#pragma unroll
  for (int k = 0; k < kPackets; ++k) raw[k] = first + k * step < packets ? row.load(first + k * step) : Packet{};
}

// The slow ways read the row again: rare, and they leave the registers to the fast one.
template <class Format>
__device__ __forceinline__ typename Format::Math finite_absmax(const QuantizeRow<Format>& row, int first, int step) {
  const int packets = row.w.packets();
  typename Format::Math absmax = 0;
#pragma unroll 2
  for (int p = first; p < packets; p += step) {
    typename Format::Math value[Format::kPacket];
    Format::unpack(row.load(p), value);
#pragma unroll
    for (int i = 0; i < Format::kPacket; ++i) absmax = max_finite(absmax, value[i]);
  }
  return absmax;
}

template <class Format>
__device__ __forceinline__ void store_codes(const QuantizeRow<Format>& row, int first, int step,
                                            const Int8Scale<typename Format::Math>& scale) {
  const int packets = row.w.packets();
#pragma unroll 1
  for (int p = first; p < packets; p += step) row.store(p, scale.template codes<Format, false>(row.load(p)));
}

template <class Format, int kPackets>
__device__ __forceinline__ void store_all(const QuantizeRow<Format>& row, int first, int step, const Packet (&raw)[kPackets],
                                          typename Format::Math absmax, bool all_finite) {
  const Int8Scale<typename Format::Math> scale(absmax);
  if (first == 0 && row.scale) *row.scale = scale.scale();
  if (!(all_finite && scale.is_moderate())) return store_codes(row, first, step, scale);
  const int packets = row.w.packets();
#pragma unroll
  for (int k = 0; k < kPackets; ++k)
    if (first + k * step < packets) row.store(first + k * step, scale.template codes<Format, true>(raw[k]));
}

template <class Format, int kPackets>
__global__ void __launch_bounds__(kLaneThreads, 4) quantize_lanes(QuantizeTask task, int lanes_log2) {
  using Math = typename Format::Math;
  const int lanes = 1 << lanes_log2, first = thread() & (lanes - 1);
  const QuantizeRow<Format> row(task, ((task.first_block + blockIdx.x) * kLaneThreads + thread()) >> lanes_log2);
  const LaneGroup group(lanes);
  Packet raw[kPackets];
  load_all(row, first, lanes, raw);
  Math absmax = group.max(absmax_or_nan<Format>(raw));
  const bool all_finite = absmax < kInfinity<Math>;
  // Decided by the whole warp: its other rows take part in the shuffles.
  if (__any_sync(~0u, !all_finite)) absmax = group.max(finite_absmax(row, first, lanes));
  store_all(row, first, lanes, raw, absmax, all_finite);
}

inline constexpr int kBlockPackets = 8;

template <class Format>
__global__ void __launch_bounds__(kRegisterWarps* kWarp, sizeof(typename Format::Math) == 8 ? 1 : 2)
    quantize_block(QuantizeTask task) {
  using Math = typename Format::Math;
  const QuantizeRow<Format> row(task, task.first_block + blockIdx.x);
  const BlockGroup<Math> group(shared_memory());
  Packet raw[kBlockPackets];
  load_all(row, thread(), threads(), raw);
  Math absmax = group.max(absmax_or_nan<Format>(raw));
  const bool all_finite = absmax < kInfinity<Math>;
  if (!all_finite) absmax = group.max(finite_absmax(row, thread(), threads()), 1);
  store_all(row, thread(), threads(), raw, absmax, all_finite);
}

// --- rows read twice ------------------------------------------------------------------------------------------------------

template <class Format, class Group>
__device__ __forceinline__ void quantize_in_two_reads(const QuantizeRow<Format>& row, const Group& group, int first, int step) {
  const Int8Scale<typename Format::Math> scale(group.max(finite_absmax(row, first, step)));
  if (first == 0 && row.scale) *row.scale = scale.scale();
  store_codes(row, first, step, scale);
}

template <class Format>
__global__ void __launch_bounds__(kLoopThreads, 1) quantize_loop(QuantizeTask task) {
  const QuantizeRow<Format> row(task, task.first_block + blockIdx.x);
  quantize_in_two_reads(row, BlockGroup<typename Format::Math>(shared_memory()), thread(), threads());
}

template <class Format>
__global__ void __launch_bounds__(kAcrossWarps* kWarp, 2) quantize_across(QuantizeTask task) {
  const QuantizeRow<Format> row(task, (task.first_block + blockIdx.x) * kWarp + lane());
  quantize_in_two_reads(row, ColumnGroup<typename Format::Math, kAcrossWarps>(shared_memory()), warp(), kAcrossWarps);
}

// --- launching ------------------------------------------------------------------------------------------------------------

template <class Format>
struct QuantizeKernels {
  using Math = typename Format::Math;
  static constexpr int kPackets[2] = {2, 8};  // that a lane holds
  using Lanes = void (*)(QuantizeTask, int);
  static constexpr Lanes kLanes[2] = {quantize_lanes<Format, kPackets[0]>, quantize_lanes<Format, kPackets[1]>};
  static constexpr int kBlockBytes = kScratchPackets<BlockScratch<Math>> * 16;
  static constexpr int kAcrossBytes = kScratchPackets<typename ColumnGroup<Math, kAcrossWarps>::Scratch> * 16;

  static Mapping choose(const QuantizeInt8Params& params) noexcept {
    const Extent& extent = params.extent;
    if (rows_are_closer(extent, params.w)) return map_to_loop(extent, params.w);
    const bool on_grid = params.w.item_stride == 1 && is_on_grid(extent, params.w, sizeof(typename Format::Bits));
    const std::int64_t packets = most_packets(extent.cols, Format::kPacket, on_grid);
    Mapping mapping;
    if (map_to_lanes(packets, kPackets, mapping) || map_to_registers(packets, kBlockPackets, mapping)) return mapping;
    return map_to_loop(extent, params.w);
  }

  static const char* run(const QuantizeInt8Params& params, cudaStream_t stream) noexcept {
    const bool plain = rows_are_plain<Format::kPacket, typename Format::Bits, std::uint8_t>(params.extent, params.w, params.q);
    const QuantizeTask task{params.extent, params.w, params.q, params.scale, plain, 0};
    const std::int64_t rows = params.extent.rows;
    const Mapping mapping = choose(params);
    switch (mapping.kind) {
      case MappingKind::kLanes:
        return launch(kLanes[mapping.choice], task,
                      {ceil_div<std::int64_t>(rows, kLaneThreads >> mapping.lanes_log2), kLaneThreads}, stream, mapping.lanes_log2);
      case MappingKind::kSlices: return launch(quantize_block<Format>, task, {rows, mapping.threads, 1, kBlockBytes}, stream);
      case MappingKind::kLoop: return launch(quantize_loop<Format>, task, {rows, mapping.threads, 1, kBlockBytes}, stream);
      case MappingKind::kAcross:
        return launch(quantize_across<Format>, task, {ceil_div<std::int64_t>(rows, kWarp), mapping.threads, 1, kAcrossBytes},
                      stream);
    }
    return "no such mapping";
  }

  static const char* warm_up() noexcept {
    const char* error = nullptr;
    for (const Lanes kernel : kLanes)
      if (!error) error = warm_up_kernel(kernel);
    for (const auto kernel : {quantize_block<Format>, quantize_loop<Format>, quantize_across<Format>})
      if (!error) error = warm_up_kernel(kernel);
    return error;
  }
};

}  // namespace

const char* quantize_int8(const QuantizeInt8Params& params, const DeviceLimits&, cudaStream_t stream) noexcept {
  if (params.extent.rows == 0) return nullptr;  // rows without columns still have a scale
  if (params.extent.cols >= kMostColumns) return kTooManyColumns;
  switch (params.dtype) {
    case DType::kFloat32: return QuantizeKernels<Float32>::run(params, stream);
    case DType::kFloat16: return QuantizeKernels<Float16>::run(params, stream);
    case DType::kBFloat16: return QuantizeKernels<BFloat16>::run(params, stream);
    case DType::kFloat64: return QuantizeKernels<Float64>::run(params, stream);
    default: return "quantize_int8 takes floating-point dtypes only";
  }
}

const char* warm_up_quantize(const DeviceLimits&) noexcept {
  const char* error = QuantizeKernels<Float32>::warm_up();
  if (!error) error = QuantizeKernels<Float16>::warm_up();
  if (!error) error = QuantizeKernels<BFloat16>::warm_up();
  if (!error) error = QuantizeKernels<Float64>::warm_up();
  return error;
}

}  // namespace tersor::cuda
