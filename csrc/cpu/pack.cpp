// pack: int8 codes to nibbles and back, 64 columns at a time.

#include "cpu/kernels.h"
#include "cpu/map.h"

namespace tersor::cpu::TERSOR_LEVEL {

namespace {

// Bits 4 to 7 of q + 8 are set exactly where q lies outside [-8, 7].
TERSOR_INLINE U8x64 biased(U8x64 q) noexcept { return q + splat<std::uint8_t, 64>(8); }

// Two codes a 16-bit lane: the even column in its low byte.
TERSOR_INLINE U8x32 join_nibbles(U8x64 q) noexcept {
  const U16x32 pairs = bit_cast<std::uint16_t>(q);
  const U16x32 even = pairs & splat<std::uint16_t, 32>(0x000f);
  const U16x32 odd = shift_right<4>(pairs) & splat<std::uint16_t, 32>(0x00f0);
  return demote_u8(even | odd);
}

// Sign extension of a nibble n: (n ^ 8) - 8.
TERSOR_INLINE U8x64 split_nibbles(U8x32 packed) noexcept {
  const U16x32 wide = promote_u16(packed);
  const U16x32 nibbles = (wide | shift_left<4>(wide)) & splat<std::uint16_t, 32>(0x0f0f);
  const U8x64 eight = splat<std::uint8_t, 64>(8);
  return (bit_cast<std::uint8_t>(nibbles) ^ eight) - eight;
}

// Fewer than 64 columns, through a buffer that is 0 beyond them. Returns the biased codes.
TERSOR_INLINE U8x64 pack_few(const std::uint8_t* from, std::uint8_t* to, std::int64_t count) noexcept {
  alignas(64) std::uint8_t buffer[64] = {};
  std::memcpy(buffer, from, static_cast<std::size_t>(count));
  const U8x64 codes = load<64>(buffer);
  store(buffer, join_nibbles(codes));
  std::memcpy(to, buffer, static_cast<std::size_t>((count + 1) / 2));
  return biased(codes);
}

TERSOR_INLINE void unpack_few(const std::uint8_t* from, std::uint8_t* to, std::int64_t count) noexcept {
  alignas(64) std::uint8_t buffer[64] = {};
  std::memcpy(buffer, from, static_cast<std::size_t>((count + 1) / 2));
  store(buffer, split_nibbles(load<32>(buffer)));
  std::memcpy(to, buffer, static_cast<std::size_t>(count));
}

// Columns before the output of a row is aligned, where there are few enough and they fill whole bytes; else -1: not streamed.
TERSOR_INLINE std::int64_t head_columns(const std::uint8_t* to, Store mode, std::int64_t columns_per_byte,
                                        std::int64_t cols) noexcept {
  if (mode != Store::kStreaming) return -1;
  const std::int64_t head = items_to_line(to) * columns_per_byte % 64;
  return head % 2 == 0 && head < cols ? head : -1;
}

bool pack_int4(ConstRows q, Rows packed, Extent extent, Store mode) noexcept {
  U8x64 outside = splat<std::uint8_t, 64>(0);
  for (std::int64_t r = 0; r < extent.rows; ++r) {
    const std::uint8_t* from = q.row<std::uint8_t>(r);
    std::uint8_t* to = packed.row<std::uint8_t>(r);
    const std::int64_t head = head_columns(to, mode, 2, extent.cols);
    std::int64_t i = 0;
    if (head > 0) {
      outside = outside | pack_few(from, to, head);
      i = head;
    }
    for (; i + 64 <= extent.cols; i += 64) {
      const U8x64 codes = load<64>(from + i);
      outside = outside | biased(codes);
      if (head >= 0)
        stream(to + i / 2, join_nibbles(codes));
      else
        store(to + i / 2, join_nibbles(codes));
    }
    if (i < extent.cols) outside = outside | pack_few(from + i, to + i / 2, extent.cols - i);
  }
  finish(mode);
  const U8x64 high = outside & splat<std::uint8_t, 64>(0xf0);
  return bits_of(not_equal(bit_cast<std::int8_t>(high), splat<std::int8_t, 64>(0))) == 0;
}

void unpack_int4(ConstRows packed, Rows q, Extent extent, Store mode) noexcept {
  for (std::int64_t r = 0; r < extent.rows; ++r) {
    const std::uint8_t* from = packed.row<std::uint8_t>(r);
    std::uint8_t* to = q.row<std::uint8_t>(r);
    const std::int64_t head = head_columns(to, mode, 1, extent.cols);
    std::int64_t i = 0;
    if (head > 0) {
      unpack_few(from, to, head);
      i = head;
    }
    for (; i + 64 <= extent.cols; i += 64) {
      const U8x64 codes = split_nibbles(load<32>(from + i / 2));
      if (head >= 0)
        stream(to + i, codes);
      else
        store(to + i, codes);
    }
    if (i < extent.cols) unpack_few(from + i / 2, to + i, extent.cols - i);
  }
  finish(mode);
}

}  // namespace

constinit const PackKernels pack_kernels{.pack_int4 = pack_int4, .unpack_int4 = unpack_int4};

}  // namespace tersor::cpu::TERSOR_LEVEL
