// softmax: a row is read from memory once, as long as registers or shared memory can hold it. Its maximum is found while it comes
// in; then its terms, which replace it where it is kept; then their sum; then it leaves. One exponential an entry.
//
// Instructions an entry, counted in sm_90 machine code, against those that an H200 issues in the time of its bytes (GPU.md):
// bfloat16 about 22 of 27 (load and maximum 3.5, term and sum 13.9, share and store 5), float32 about 36 of 54.

#include "cuda/group.h"
#include "cuda/launch.h"
#include "cuda/softmax_row.h"

namespace tersor::cuda {

namespace {

template <class Math>
struct SoftmaxTask {
  Extent extent;
  Rows x, out, temperatures;
  Temperature<Math> temperature;  // where temperatures.data is null
  std::int64_t first_block;
};

// A row's input and output, and its temperature.
template <class Format>
struct SoftmaxRow {
  using Bits = typename Format::Bits;
  using Math = typename Format::Math;
  static constexpr int kPacket = Format::kPacket;
  static constexpr bool kNarrow = sizeof(Bits) == 2;  // where instructions are short
  using Terms = RowTerms<Math, !kNarrow, kNarrow>;

  PacketRow<Bits, kPacket, int> x, out;
  Temperature<Math> temperature;

  // Threads of a row beyond the last only keep the others company.
  __device__ __forceinline__ SoftmaxRow(const SoftmaxTask<Math>& task, std::int64_t row) : temperature(task.temperature) {
    open_rows(task.extent, task.x, task.out, row, x, out);
    if (task.temperatures.data && row < task.extent.rows)
      temperature = temperature_from<Math>(*row_begin<const double>(task.extent, task.temperatures, row));
  }
  __device__ __forceinline__ Packet load(int packet) const { return x.load(packet, Format::kLowest); }

  // Stores packets first, first + step, ... before `end`, all of them NaN.
  __device__ __forceinline__ void store_nan(int first, int end, int step) const {
    for (int p = first; p < end; p += step) out.store(p, splat(Format::kNan));
  }
};

template <class Format>
__device__ __forceinline__ typename Format::Math max_of(const Packet& packet, typename Format::Math top) {
  typename Format::Math value[Format::kPacket];
  Format::unpack(packet, value);
#pragma unroll
  for (int i = 0; i < Format::kPacket; ++i) top = max_or_nan(top, value[i]);
  return top;
}

// The terms of a packet, which are added to the sum too.
template <class Format, class Math, class TermOf>
__device__ __forceinline__ void terms_of(const Packet& packet, Math (&term)[Format::kPacket], TermSum<Math>& sum, TermOf term_of) {
  Math value[Format::kPacket];
  Format::unpack(packet, value);
  add_terms<!SoftmaxRow<Format>::kNarrow>(value, term, sum, term_of);
}

template <class Format>
__device__ __forceinline__ Packet shares_of(const typename Format::Math (&term)[Format::kPacket],
                                            Share<typename Format::Math> share) {
  typename Format::Math value[Format::kPacket];
#pragma unroll
  for (int i = 0; i < Format::kPacket; ++i) value[i] = share(term[i]);
  return Format::pack(value);
}

// --- a row in the registers of 2**lanes_log2 lanes --------------------------------------------------------------------------

template <class Format, int kPackets>
__global__ void __launch_bounds__(kLaneThreads, 3) softmax_lanes(SoftmaxTask<typename Format::Math> task, int lanes_log2) {
  using Row = SoftmaxRow<Format>;
  using Math = typename Format::Math;
  const int lanes = 1 << lanes_log2, first = thread() % lanes;
  const Row row(task, ((task.first_block + blockIdx.x) * kLaneThreads + thread()) >> lanes_log2);
  const LaneGroup group(lanes);
  const int packets = row.x.packets();

  Packet raw[kPackets];
#pragma unroll
  for (int k = 0; k < kPackets; ++k) raw[k] = first + k * lanes < packets ? row.load(first + k * lanes) : splat(Format::kLowest);
  Math top = -kInfinity<Math>;
#pragma unroll
  for (int k = 0; k < kPackets; ++k) top = max_of<Format>(raw[k], top);

  const typename Row::Terms terms(row.temperature, group.max(top));
  Math term[kPackets][Format::kPacket];
  TermSum<Math> sum;
  terms.visit([&](auto term_of) {
#pragma unroll
    for (int k = 0; k < kPackets; ++k) {
      if (first + k * lanes >= packets) break;
      terms_of<Format>(raw[k], term[k], sum, term_of);
    }
  });
  const Share<Math> share(group.sum(sum.total()));
  if (terms.is_nan()) return row.store_nan(first, packets, lanes);
#pragma unroll
  for (int k = 0; k < kPackets; ++k)
    if (first + k * lanes < packets) row.out.store(first + k * lanes, shares_of<Format>(term[k], share));
}

// --- a row in the shared memory of a block or a cluster ---------------------------------------------------------------------

// The part of a row that a block keeps. A thread comes back to the packets that it brought, so that no barrier is needed; a packet
// of float32 terms for 16-bit entries is kept in two halves, far apart, which keeps the banks free of conflicts.
template <class Format>
class Slice {
 public:
  using Math = typename Format::Math;
  static constexpr int kHalves = static_cast<int>(Format::kPacket * sizeof(Math) / sizeof(Packet));
  static constexpr int kSlotBytes = kHalves * static_cast<int>(sizeof(Packet));
  static constexpr int kScratch = kScratchPackets<BlockScratch<Math>>;

  __device__ __forceinline__ Slice(Packet* memory, int slots) : memory_(memory + kScratch), slots_(slots) {}
  __device__ __forceinline__ Packet& raw(int slot) const { return memory_[slot]; }
  __device__ __forceinline__ void keep(int slot, const Math (&term)[Format::kPacket]) const {
    if constexpr (kHalves == 1) {
      memory_[slot] = Format::pack(term);
    } else {
#pragma unroll
      for (int half = 0; half < 2; ++half)
        memory_[slot + half * slots_] = {
            {bits_of(term[4 * half]), bits_of(term[4 * half + 1]), bits_of(term[4 * half + 2]), bits_of(term[4 * half + 3])}};
    }
  }
  __device__ __forceinline__ void recall(int slot, Math (&term)[Format::kPacket]) const {
    if constexpr (kHalves == 1) {
      Format::unpack(memory_[slot], term);
    } else {
#pragma unroll
      for (int half = 0; half < 2; ++half) {
        const Packet packet = memory_[slot + half * slots_];
#pragma unroll
        for (int i = 0; i < 4; ++i) term[4 * half + i] = from_bits(packet.word[i]);
      }
    }
  }

 private:
  Packet* memory_;
  int slots_;
};

template <class Format>
__device__ __forceinline__ typename Format::Math read_slice(const SoftmaxRow<Format>& row, const Slice<Format>& slice, int begin,
                                                            int count) {
  constexpr int kAtOnce = 4;
  typename Format::Math top = -kInfinity<typename Format::Math>;
  for (int slot = thread(); slot < count; slot += kAtOnce * threads()) {
    Packet raw[kAtOnce];
#pragma unroll
    for (int k = 0; k < kAtOnce; ++k)
      if (slot + k * threads() < count) raw[k] = row.load(begin + slot + k * threads());
#pragma unroll
    for (int k = 0; k < kAtOnce; ++k) {
      if (slot + k * threads() >= count) break;
      slice.raw(slot + k * threads()) = raw[k];
      top = max_of<Format>(raw[k], top);
    }
  }
  return top;
}

template <class Format>
__global__ void __launch_bounds__(kSliceThreads, 3) softmax_slices(SoftmaxTask<typename Format::Math> task, int ranks, int slots) {
  using Row = SoftmaxRow<Format>;
  using Math = typename Format::Math;
  const std::int64_t block = task.first_block + blockIdx.x;
  const int rank = static_cast<int>(block % ranks);
  const ClusterGroup<Math> group(shared_memory(), rank, ranks);
  const Slice<Format> slice(shared_memory(), slots);
  const Row row(task, block / ranks);
  const int packets = row.x.packets(), each = ceil_div(packets, ranks);
  const int begin = rank * each, count = packets - begin < each ? packets - begin : each;

  const typename Row::Terms terms(row.temperature, group.max(read_slice(row, slice, begin, count)));
  TermSum<Math> sum;
  terms.visit([&](auto term_of) {
    for (int slot = thread(); slot < count; slot += threads()) {
      Math term[Format::kPacket];
      terms_of<Format>(slice.raw(slot), term, sum, term_of);
      slice.keep(slot, term);
    }
  });
  const Share<Math> share(group.sum(sum.total()));
  if (terms.is_nan()) return row.store_nan(begin + thread(), begin + count, threads());
  for (int slot = thread(); slot < count; slot += threads()) {
    Math term[Format::kPacket];
    slice.recall(slot, term);
    row.out.store(begin + slot, shares_of<Format>(term, share));
  }
}

// --- rows read twice --------------------------------------------------------------------------------------------------------

// visit(packet number, packet) for every step-th packet from `first`, a few loads at once.
template <class Row, class Visit>
__device__ __forceinline__ void each_packet(const Row& row, int first, int step, Visit visit) {
  constexpr int kAtOnce = Row::kNarrow ? 2 : 4;
  const int packets = row.x.packets();
  for (int p = first; p < packets; p += kAtOnce * step) {
    Packet raw[kAtOnce];
#pragma unroll
    for (int k = 0; k < kAtOnce; ++k)
      if (p + k * step < packets) raw[k] = row.load(p + k * step);
#pragma unroll
    for (int k = 0; k < kAtOnce; ++k)
      if (p + k * step < packets) visit(p + k * step, raw[k]);
  }
}

// The first read gives maximum and sum at once; at the limits of the temperature, where terms need the maximum, the sum takes one
// more.
template <class Format, class Group>
__device__ __forceinline__ void softmax_in_two_reads(const SoftmaxRow<Format>& row, const Group& group, int first, int step) {
  using Row = SoftmaxRow<Format>;
  using Math = typename Format::Math;
  OnlineSum<Math> online(row.temperature.rate);
  Math top = -kInfinity<Math>;
  const bool at_limit = row.temperature.limit != Limit::kNone;
  each_packet(row, first, step, [&](int, const Packet& raw) {
    if (at_limit) {
      top = max_of<Format>(raw, top);
    } else {
      Math value[Format::kPacket];
      Format::unpack(raw, value);
      online.template add<!Row::kNarrow>(value);
    }
  });
  top = group.max(at_limit ? top : online.top());
  const RowTerms<Math, !Row::kNarrow, false> terms(row.temperature, top);
  Total<Math> total;
  if (at_limit) {
    TermSum<Math> sum;
    terms.visit([&](auto term_of) {
      each_packet(row, first, step, [&](int, const Packet& raw) {
        Math term[Format::kPacket];
        terms_of<Format>(raw, term, sum, term_of);
      });
    });
    total = sum.total();
  } else {
    total = online.total_in(frame_for(top, row.temperature.rate));
  }
  const Share<Math> share(group.sum(total));
  if (terms.is_nan()) return row.store_nan(first, row.x.packets(), step);
  terms.visit([&](auto term_of) {
    each_packet(row, first, step, [&](int p, const Packet& raw) {
      Math term[Format::kPacket];
      TermSum<Math> unused;
      terms_of<Format>(raw, term, unused, term_of);
      row.out.store(p, shares_of<Format>(term, share));
    });
  });
}

template <class Format>
__global__ void __launch_bounds__(kLoopThreads, 1) softmax_loop(SoftmaxTask<typename Format::Math> task) {
  const SoftmaxRow<Format> row(task, task.first_block + blockIdx.x);
  softmax_in_two_reads(row, BlockGroup<typename Format::Math>(shared_memory()), thread(), threads());
}

template <class Format>
__global__ void __launch_bounds__(kAcrossWarps* kWarp, 2) softmax_across(SoftmaxTask<typename Format::Math> task) {
  const SoftmaxRow<Format> row(task, (task.first_block + blockIdx.x) * kWarp + lane());
  softmax_in_two_reads(row, ColumnGroup<typename Format::Math, kAcrossWarps>(shared_memory()), warp(), kAcrossWarps);
}

// --- launching --------------------------------------------------------------------------------------------------------------

template <class Format>
struct SoftmaxKernels {
  using Math = typename Format::Math;
  using Task = SoftmaxTask<Math>;
  static constexpr bool kNarrow = SoftmaxRow<Format>::kNarrow;
  static constexpr int kPackets[3] = {2, kNarrow ? 4 : 8, kNarrow ? 8 : 16};  // that a lane holds
  using Lanes = void (*)(Task, int);
  static constexpr Lanes kLanes[3] = {softmax_lanes<Format, kPackets[0]>, softmax_lanes<Format, kPackets[1]>,
                                      softmax_lanes<Format, kPackets[2]>};
  using Scratch = BlockScratch<Math>;
  using AcrossScratch = typename ColumnGroup<Math, kAcrossWarps>::Scratch;

  static Mapping choose(const SoftmaxParams& params, const DeviceLimits& limits) noexcept {
    const Extent& extent = params.extent;
    if (rows_are_closer(extent, params.x)) return map_to_loop(extent, params.x);
    const bool on_grid = params.x.item_stride == 1 && is_on_grid(extent, params.x, sizeof(typename Format::Bits));
    const std::int64_t packets = most_packets(extent.cols, Format::kPacket, on_grid);
    Mapping mapping;
    if (map_to_lanes(packets, kPackets, mapping)) return mapping;
    if (map_to_slices(extent.rows, packets, Slice<Format>::kSlotBytes, sizeof(Scratch), limits, mapping)) return mapping;
    return map_to_loop(extent, params.x);
  }

  static const char* launch_as(const Mapping& mapping, const Task& task, cudaStream_t stream) noexcept {
    const std::int64_t rows = task.extent.rows;
    switch (mapping.kind) {
      case MappingKind::kLanes:
        return launch(kLanes[mapping.choice], task,
                      {ceil_div<std::int64_t>(rows, kLaneThreads >> mapping.lanes_log2), kLaneThreads}, stream, mapping.lanes_log2);
      case MappingKind::kSlices:
        return launch(softmax_slices<Format>, task,
                      {rows * mapping.ranks, mapping.threads, mapping.ranks,
                       Slice<Format>::kScratch * 16 + mapping.slots * Slice<Format>::kSlotBytes},
                      stream, mapping.ranks, static_cast<int>(mapping.slots));
      case MappingKind::kLoop:
        return launch(softmax_loop<Format>, task, {rows, mapping.threads, 1, kScratchPackets<Scratch> * 16}, stream);
      case MappingKind::kAcross:
        return launch(softmax_across<Format>, task,
                      {ceil_div<std::int64_t>(rows, kWarp), mapping.threads, 1, kScratchPackets<AcrossScratch> * 16}, stream);
    }
    return "no such mapping";
  }

  static const char* run(const SoftmaxParams& params, const DeviceLimits& limits, cudaStream_t stream) noexcept {
    Task task{params.extent, params.x, params.out, params.temperatures, {}, 0};
    if (!params.temperatures.data) task.temperature = temperature_from<Math>(params.temperature);
    return launch_as(choose(params, limits), task, stream);
  }

  static const char* warm_up(const DeviceLimits& limits) noexcept {
    const char* error = warm_up_kernel(softmax_slices<Format>, limits.shared_bytes);
    for (const Lanes kernel : kLanes)
      if (!error) error = warm_up_kernel(kernel);
    if (!error) error = warm_up_kernel(softmax_loop<Format>);
    if (!error) error = warm_up_kernel(softmax_across<Format>);
    return error;
  }
};

}  // namespace

const char* softmax(const SoftmaxParams& params, const DeviceLimits& limits, cudaStream_t stream) noexcept {
  if (params.extent.rows == 0 || params.extent.cols == 0) return nullptr;
  if (params.extent.cols >= kMostColumns) return kTooManyColumns;
  switch (params.dtype) {
    case DType::kFloat32: return SoftmaxKernels<Float32>::run(params, limits, stream);
    case DType::kFloat16: return SoftmaxKernels<Float16>::run(params, limits, stream);
    case DType::kBFloat16: return SoftmaxKernels<BFloat16>::run(params, limits, stream);
    case DType::kFloat64: return SoftmaxKernels<Float64>::run(params, limits, stream);
    default: return "softmax takes floating-point dtypes only";
  }
}

const char* warm_up_softmax(const DeviceLimits& limits) noexcept {
  const char* error = SoftmaxKernels<Float32>::warm_up(limits);
  if (!error) error = SoftmaxKernels<Float16>::warm_up(limits);
  if (!error) error = SoftmaxKernels<BFloat16>::warm_up(limits);
  if (!error) error = SoftmaxKernels<Float64>::warm_up(limits);
  return error;
}

}  // namespace tersor::cuda
