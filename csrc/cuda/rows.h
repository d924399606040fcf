#pragma once
// Where rows lie, and a row as packets.
//
// Packets lie on the grid of 16-byte addresses, so that a row that begins between two of them is still read 16 bytes at a time: its
// first packet begins `phase` items before the row, and only the first and the last are taken item by item. This is what makes
// logits[:, 1:] and odd vocabularies fast. Rows with an item stride, and outputs whose grid lies elsewhere than the input's, are
// taken item by item throughout.

#include <type_traits>

#include "cuda/backend.h"
#include "cuda/formats.h"

namespace tersor::cuda {

// In items, from the first row's beginning to that of row `row`.
TERSOR_HOST_DEVICE std::int64_t row_offset(const Extent& extent, const Rows& rows, std::int64_t row) noexcept {
  if (extent.outer_ndim == 1) return row * rows.outer_stride[0];  // no division: the usual case
  std::int64_t offset = 0;
#pragma unroll 1
  for (int axis = extent.outer_ndim - 1; axis >= 0; --axis) {
    const std::int64_t before = row / extent.outer_shape[axis];
    offset += (row - before * extent.outer_shape[axis]) * rows.outer_stride[axis];
    row = before;
  }
  return offset;
}

template <class T>
TERSOR_HOST_DEVICE T* row_begin(const Extent& extent, const Rows& rows, std::int64_t row) noexcept {
  return static_cast<T*>(rows.data) + row_offset(extent, rows, row);
}

// How far an address lies past the grid of `kItems` items.
template <int kItems, class T>
TERSOR_HOST_DEVICE int phase_of(const T* address) noexcept {
  return static_cast<int>(reinterpret_cast<std::uintptr_t>(address) / sizeof(T) % kItems);
}

TERSOR_HOST_DEVICE Packet load_packet(const void* from) noexcept {
#if defined(__CUDA_ARCH__)
  const uint4 v = *static_cast<const uint4*>(from);
  return {{v.x, v.y, v.z, v.w}};
#else
  return *static_cast<const Packet*>(from);
#endif
}
TERSOR_HOST_DEVICE void store_packet(void* to, const Packet& packet) noexcept {
#if defined(__CUDA_ARCH__)
  *static_cast<uint4*>(to) = make_uint4(packet.word[0], packet.word[1], packet.word[2], packet.word[3]);
#else
  *static_cast<Packet*>(to) = packet;
#endif
}

// Copies from global to shared memory that take no registers meanwhile; the cache fetches 256 bytes at once. The thread that began
// them waits until at most `kPending` of the batches that it closed are still on their way; what it copied is then its own to read,
// and others' after a barrier.
TERSOR_HOST_DEVICE void begin_copy(Packet* to, const void* from) noexcept {
#if defined(__CUDA_ARCH__)
  asm volatile("cp.async.cg.shared.global.L2::256B [%0], [%1], 16;"
               :
               : "r"(static_cast<unsigned>(__cvta_generic_to_shared(to))), "l"(from)
               : "memory");
#elif defined(TERSOR_CUDA_EMULATOR)
  emulator::begin_copy(to, from);
#else
  *to = *static_cast<const Packet*>(from);
#endif
}
TERSOR_HOST_DEVICE void close_batch() noexcept {
#if defined(__CUDA_ARCH__)
  asm volatile("cp.async.commit_group;" ::: "memory");
#elif defined(TERSOR_CUDA_EMULATOR)
  emulator::close_batch();
#endif
}
template <int kPending>
TERSOR_HOST_DEVICE void wait_for_batches() noexcept {
#if defined(__CUDA_ARCH__)
  asm volatile("cp.async.wait_group %0;" ::"n"(kPending) : "memory");
#elif defined(TERSOR_CUDA_EMULATOR)
  emulator::wait_for_batches(kPending);
#endif
}

// Columns [0, cols) of a row as packets of kPacket items. Index is what column numbers fit in, with a few packets to spare.
template <class T, int kPacket, class Index>
class PacketRow {
 public:
  PacketRow() = default;
  // wide: whole packets are single accesses, for which the phase must be that of `data`.
  TERSOR_HOST_DEVICE PacketRow(T* data, std::int64_t item_stride, Index cols, int phase, bool wide) noexcept
      : grid_(data - phase * item_stride),
        item_stride_(item_stride),
        end_(cols + phase),
        phase_(phase),
        first_whole_(phase > 0 ? 1 : 0),
        whole_count_(wide && end_ / kPacket > first_whole_ ? end_ / kPacket - first_whole_ : 0) {}
  // A dense row on the grid: a tenth of the instructions.
  TERSOR_HOST_DEVICE PacketRow(T* data, Index cols) noexcept
      : grid_(data), item_stride_(1), end_(cols), phase_(0), first_whole_(0), whole_count_(cols / kPacket) {}

  TERSOR_HOST_DEVICE Index packets() const noexcept { return ceil_div<Index>(end_, kPacket); }
  // One comparison for both ends of the row.
  TERSOR_HOST_DEVICE bool is_whole(Index packet) const noexcept {
    using Unsigned = std::make_unsigned_t<Index>;
    return static_cast<Unsigned>(packet - first_whole_) < static_cast<Unsigned>(whole_count_);
  }
  TERSOR_HOST_DEVICE bool holds(Index packet, int item) const noexcept {
    const Index place = packet * kPacket + item;
    return place >= phase_ && place < end_;
  }
  TERSOR_HOST_DEVICE T* whole(Index packet) const noexcept { return grid_ + static_cast<std::int64_t>(packet) * kPacket; }
  TERSOR_HOST_DEVICE T* at(Index packet, int item) const noexcept {
    return grid_ + (static_cast<std::int64_t>(packet) * kPacket + item) * item_stride_;
  }

  // Absent items are `fill`.
  TERSOR_HOST_DEVICE Packet load(Index packet, T fill) const noexcept {
    if (is_whole(packet)) return load_packet(whole(packet));
    Packet items = splat(fill);
#pragma unroll
    for (int i = 0; i < kPacket; ++i)
      if (holds(packet, i)) set_item(items, i, *at(packet, i));
    return items;
  }
  // The same into shared memory; see begin_copy.
  TERSOR_HOST_DEVICE void begin_load(Index packet, T fill, Packet* to) const noexcept {
    if (is_whole(packet))
      begin_copy(to, whole(packet));
    else
      *to = load(packet, fill);
  }
  TERSOR_HOST_DEVICE void store(Index packet, const Packet& items) const noexcept {
    if (is_whole(packet)) return store_packet(whole(packet), items);
#pragma unroll
    for (int i = 0; i < kPacket; ++i)
      if (holds(packet, i)) *at(packet, i) = item_of<T>(items, i);
  }

 private:
  T* grid_;  // where packet 0 begins, at or before the row
  std::int64_t item_stride_;
  Index end_;  // counted from there
  int phase_;
  int first_whole_;
  Index whole_count_;
};

template <int kPacket, class Index, class In, class Out>
TERSOR_HOST_DEVICE int shared_phase(const In* in, std::int64_t in_stride, const Out* out, std::int64_t out_stride) noexcept {
  if (in_stride == 1) return phase_of<kPacket>(in);
  return out_stride == 1 ? phase_of<kPacket>(out) : 0;
}

// Whether all rows of two operands are dense and on the grid, and follow each other in one dimension.
template <int kPacket, class In, class Out>
bool rows_are_plain(const Extent& extent, const Rows& in, const Rows& out) noexcept {
  const auto plain = [](const auto* data, const Rows& rows) {
    return rows.item_stride == 1 && phase_of<kPacket>(data) == 0 && rows.outer_stride[0] % kPacket == 0;
  };
  return extent.outer_ndim == 1 && plain(static_cast<const In*>(in.data), in) && plain(static_cast<const Out*>(out.data), out);
}

// Row `row` of an input and an output, on one grid. A row beyond the last has no columns.
template <int kPacket, class Index, class In, class Out>
TERSOR_HOST_DEVICE void open_rows(const Extent& extent, const Rows& in_rows, const Rows& out_rows, bool plain, std::int64_t row,
                                  PacketRow<In, kPacket, Index>& in, PacketRow<Out, kPacket, Index>& out) noexcept {
  if (plain || row >= extent.rows) {
    const std::int64_t existing = row < extent.rows ? row : 0;
    const auto cols = row < extent.rows ? static_cast<Index>(extent.cols) : 0;
    in = {static_cast<In*>(in_rows.data) + existing * in_rows.outer_stride[0], cols};
    out = {static_cast<Out*>(out_rows.data) + existing * out_rows.outer_stride[0], cols};
    return;
  }
  In* const from = row_begin<In>(extent, in_rows, row);
  Out* const to = row_begin<Out>(extent, out_rows, row);
  const int phase = shared_phase<kPacket, Index>(from, in_rows.item_stride, to, out_rows.item_stride);
  const auto cols = static_cast<Index>(extent.cols);
  in = {from, in_rows.item_stride, cols, phase, in_rows.item_stride == 1};
  out = {to, out_rows.item_stride, cols, phase, out_rows.item_stride == 1 && phase_of<kPacket>(to) == phase};
}

// Packets that any row of a launch may take: one more than the columns need where rows may begin between packets.
TERSOR_HOST_DEVICE std::int64_t most_packets(std::int64_t cols, int packet, bool on_grid) noexcept {
  return ceil_div<std::int64_t>(cols + (on_grid ? 0 : packet - 1), packet);
}

// Whether every row begins on the grid of 16-byte addresses.
inline bool is_on_grid(const Extent& extent, const Rows& rows, int item_bytes) noexcept {
  bool on_grid = reinterpret_cast<std::uintptr_t>(rows.data) % 16 == 0;
  for (int i = 0; i < extent.outer_ndim; ++i) on_grid = on_grid && rows.outer_stride[i] * item_bytes % 16 == 0;
  return on_grid;
}

}  // namespace tersor::cuda
