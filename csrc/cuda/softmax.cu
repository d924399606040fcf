// softmax: a row is read from memory once, as long as registers or shared memory can hold it. Its maximum is found while it comes
// in; then its terms, which replace it where it is kept, and their sum; then it leaves.
// Entries of 16 bits are kept as they came, and their terms, which cost three instructions, found twice: half the memory holds a
// row.

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
  bool plain;                     // see rows_are_plain
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
    open_rows(task.extent, task.x, task.out, task.plain, row, x, out);
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

// The shares of a packet, its terms found once more.
template <class Format, class TermOf>
__device__ __forceinline__ Packet shares_of_raw(const Packet& packet, TermOf term_of, Share<typename Format::Math> share) {
  typename Format::Math value[Format::kPacket];
  Format::unpack(packet, value);
#pragma unroll
  for (int i = 0; i < Format::kPacket; ++i) value[i] = term_of(value[i]).value;
  return shares_of<Format>(value, share);
}

// --- a row in the registers of 2**lanes_log2 lanes --------------------------------------------------------------------------

// Blocks of softmax_lanes on a multiprocessor, as many as leave it the registers it needs.
template <class Format, int kPackets>
inline constexpr int kLaneBlocks = sizeof(typename Format::Math) == 8 ? 4
                                   : kPackets == 8                    ? 6
                                                                      : 8;

template <class Format, int kPackets>
__global__ void __launch_bounds__(kLaneThreads, (kLaneBlocks<Format, kPackets>))
    softmax_lanes(SoftmaxTask<typename Format::Math> task, int lanes_log2) {
  using Row = SoftmaxRow<Format>;
  using Math = typename Format::Math;
  const int lanes = 1 << lanes_log2, first = thread() & (lanes - 1);
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
  Math term[Row::kNarrow ? 1 : kPackets][Format::kPacket];
  TermSum<Math> sum;
  terms.visit([&](auto term_of) {
#pragma unroll
    for (int k = 0; k < kPackets; ++k) {
      if (first + k * lanes >= packets) break;
      terms_of<Format>(raw[k], term[Row::kNarrow ? 0 : k], sum, term_of);
    }
  });
  const Share<Math> share(group.sum(sum.total()));
  if (terms.is_nan()) return row.store_nan(first, packets, lanes);
  if constexpr (Row::kNarrow) {
    terms.visit([&](auto term_of) {
#pragma unroll
      for (int k = 0; k < kPackets; ++k)
        if (first + k * lanes < packets) row.out.store(first + k * lanes, shares_of_raw<Format>(raw[k], term_of, share));
    });
  } else {
#pragma unroll
    for (int k = 0; k < kPackets; ++k)
      if (first + k * lanes < packets) row.out.store(first + k * lanes, shares_of<Format>(term[k], share));
  }
}

// --- a row in the shared memory of a block or a cluster ---------------------------------------------------------------------
//
// Blocks that go from row to row, and fill a slot with the next row's packet as soon as a share is stored, took 2 to 16 % longer
// on an H100: they fall into step, and then all of them compute at the same time. With a second buffer, filled a row ahead, they
// took 7 to 8 % longer there, and 13 to 26 % on an H200.

// The packets of a row, [begin, begin + count), that a block keeps. A thread comes back to the slots that it filled, so that no
// barrier is needed.
template <class Format>
class Slice {
 public:
  __device__ __forceinline__ Slice(Packet* memory, int packets, int rank, int ranks)
      : memory_(memory),
        each_(ceil_div(packets, ranks)),
        begin_(rank * each_),
        count_(packets - begin_ < each_ ? packets - begin_ : each_) {}

  __device__ __forceinline__ Packet& operator[](int slot) const { return memory_[slot]; }
  __device__ __forceinline__ int place(int slot) const { return begin_ + slot; }  // in the row

  // visit(slot) for the slots of this thread.
  template <class Visit>
  __device__ __forceinline__ void each(Visit visit) const {
    each_between(0, count_, visit);
  }

  // All packets are on their way before the first is looked at.
  template <class Visit>
  __device__ __forceinline__ void read(const SoftmaxRow<Format>& row, Visit visit) const {
    const int batch = ceil_div(count_, kBatches * threads()) * threads();
#pragma unroll
    for (int i = 0; i < kBatches; ++i) {
      each_between(i * batch, (i + 1) * batch, [&](int slot) { row.x.begin_load(place(slot), Format::kLowest, memory_ + slot); });
      close_batch();
    }
    visit_as_they_come<0>(batch, visit);
  }

 private:
  static constexpr int kBatches = 4;

  template <class Visit>
  __device__ __forceinline__ void each_between(int first, int end, Visit visit) const {
    if (end > count_) end = count_;
    for (int slot = first + thread(); slot < end; slot += threads()) visit(slot);
  }
  template <int kBatch, class Visit>
  __device__ __forceinline__ void visit_as_they_come(int batch, Visit visit) const {
    if constexpr (kBatch < kBatches) {
      wait_for_batches<kBatches - 1 - kBatch>();
      each_between(kBatch * batch, (kBatch + 1) * batch, visit);
      visit_as_they_come<kBatch + 1>(batch, visit);
    }
  }

  Packet* memory_;
  int each_, begin_, count_;
};

template <class Format>
__global__ void __launch_bounds__(kMostSliceThreads, 2) softmax_slices(SoftmaxTask<typename Format::Math> task, int ranks_log2) {
  using Row = SoftmaxRow<Format>;
  using Math = typename Format::Math;
  const int ranks = 1 << ranks_log2, rank = static_cast<int>(blockIdx.x) & (ranks - 1);
  const ClusterGroup<Math> group(shared_memory(), rank, ranks);
  const Row row(task, (task.first_block + blockIdx.x) >> ranks_log2);
  const Slice<Format> slice(shared_memory() + kScratchPackets<BlockScratch<Math>>, row.x.packets(), rank, ranks);

  Math top = -kInfinity<Math>;
  slice.read(row, [&](int slot) { top = max_of<Format>(slice[slot], top); });
  const typename Row::Terms terms(row.temperature, group.max(top));
  TermSum<Math> sum;
  terms.visit([&](auto term_of) {
    slice.each([&](int slot) {
      Math term[Format::kPacket];
      terms_of<Format>(slice[slot], term, sum, term_of);
      if constexpr (!Row::kNarrow) slice[slot] = Format::pack(term);
    });
  });
  const Share<Math> share(group.sum(sum.total()));
  if (terms.is_nan()) {
    slice.each([&](int slot) { row.out.store(slice.place(slot), splat(Format::kNan)); });
  } else if constexpr (Row::kNarrow) {
    terms.visit([&](auto term_of) {
      slice.each([&](int slot) { row.out.store(slice.place(slot), shares_of_raw<Format>(slice[slot], term_of, share)); });
    });
  } else {
    slice.each([&](int slot) {
      Math term[Format::kPacket];
      Format::unpack(slice[slot], term);
      row.out.store(slice.place(slot), shares_of<Format>(term, share));
    });
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
    each_packet(row, first, step, [&](int p, const Packet& raw) { row.out.store(p, shares_of_raw<Format>(raw, term_of, share)); });
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
  static constexpr int kPackets[2] = {sizeof(Math) == 8 ? 8 : 2, kNarrow ? 4 : 8};  // that a lane holds
  static constexpr int kSliceThreads = kNarrow ? 1152 : 768;                        // of a multiprocessor
  using Lanes = void (*)(Task, int);
  static constexpr Lanes kLanes[2] = {softmax_lanes<Format, kPackets[0]>, softmax_lanes<Format, kPackets[1]>};
  using Scratch = BlockScratch<Math>;
  using AcrossScratch = typename ColumnGroup<Math, kAcrossWarps>::Scratch;

  static Mapping choose(const SoftmaxParams& params, const DeviceLimits& limits) noexcept {
    const Extent& extent = params.extent;
    if (rows_are_closer(extent, params.x)) return map_to_loop(extent, params.x);
    const bool on_grid = params.x.item_stride == 1 && is_on_grid(extent, params.x, sizeof(typename Format::Bits));
    const std::int64_t packets = most_packets(extent.cols, Format::kPacket, on_grid);
    Mapping mapping;
    if (map_to_lanes(packets, kPackets, mapping)) return mapping;
    if (map_to_slices(extent.rows, packets, kScratchPackets<Scratch>, kSliceThreads, limits, mapping)) return mapping;
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
                      {rows * mapping.ranks, mapping.threads, mapping.ranks, (kScratchPackets<Scratch> + mapping.slots) * 16},
                      stream, log2_at_least(mapping.ranks));
      case MappingKind::kLoop:
        return launch(softmax_loop<Format>, task, {rows, mapping.threads, 1, kScratchPackets<Scratch> * 16}, stream);
      case MappingKind::kAcross:
        return launch(softmax_across<Format>, task,
                      {ceil_div<std::int64_t>(rows, kWarp), mapping.threads, 1, kScratchPackets<AcrossScratch> * 16}, stream);
    }
    return "no such mapping";
  }

  static const char* run(const SoftmaxParams& params, const DeviceLimits& limits, cudaStream_t stream) noexcept {
    using Bits = typename Format::Bits;
    const bool plain = rows_are_plain<Format::kPacket, Bits, Bits>(params.extent, params.x, params.out);
    Task task{params.extent, params.x, params.out, params.temperatures, {}, plain, 0};
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
