// bitmask: bool masks to bits and back, 64 columns at a time; logic on bits.

#include "cpu/bitmask.h"
#include "cpu/map.h"

namespace tersor::cpu::TERSOR_LEVEL {

namespace {

// Any byte but 0 is true.
template <int N>
TERSOR_INLINE auto truth(Lanes<std::int8_t, N> bytes) noexcept {
  return not_equal(bytes, splat<std::int8_t, N>(0));
}

void pack_mask(ConstRows mask, Rows bits, Extent extent, Store) noexcept {
  for (std::int64_t r = 0; r < extent.rows; ++r) {
    const std::int8_t* from = mask.row<std::int8_t>(r);
    std::uint8_t* to = bits.row<std::uint8_t>(r);
    std::int64_t i = 0;
    for (; i + 64 <= extent.cols; i += 64) {
      const std::uint64_t word = bits_of(truth(load<64>(from + i)));
      std::memcpy(to + i / 8, &word, sizeof word);
    }
    map_bits(to + i / 8, extent.cols - i,
             [=](std::int64_t k, auto lanes) TERSOR_LAMBDA { return bits_of(truth(load(from + i + k, lanes))); });
  }
}

void unpack_mask(ConstRows bits, Rows mask, Extent extent, Store mode) noexcept {
  for (std::int64_t r = 0; r < extent.rows; ++r) {
    const std::uint8_t* from = bits.row<std::uint8_t>(r);
    std::int8_t* to = mask.row<std::int8_t>(r);
    const auto expand = [=](std::int64_t i, auto lanes)
                            TERSOR_LAMBDA { return mask_of_bits(load_bits(from, i, lanes)) & splat<std::int8_t>(1); };
    // Columns before the first whole line of the output; then a word of bits makes a line of bytes.
    const bool streams = mode == Store::kStreaming && may_stream(to, extent.cols);
    std::int64_t i = streams ? items_to_line(to) : 0;
    if (i > extent.cols) i = extent.cols;
    map_cached(to, 0, i, expand);
    for (; i + 64 <= extent.cols; i += 64) {
      const std::uint64_t word = load_bits_64(from, i);
      const I8x64 bytes = mask_of_bits_64(word) & splat<std::int8_t, 64>(1);
      if (streams)
        stream(to + i, bytes);
      else
        store(to + i, bytes);
    }
    map_cached(to, i, extent.cols, expand);
  }
}

// --- logic on packed masks, byte by byte -----------------------------------------------------------------------------------

TERSOR_INLINE auto bytes_of(const std::uint8_t* from) noexcept {
  return [=](std::int64_t i, auto lanes) TERSOR_LAMBDA { return load(from + i, lanes); };
}

template <class Join>
TERSOR_INLINE void combine(ConstRows a, ConstRows b, Rows out, Extent extent, Store mode, Join join) noexcept {
  for (std::int64_t r = 0; r < extent.rows; ++r) {
    const auto first = bytes_of(a.row<std::uint8_t>(r)), second = bytes_of(b.row<std::uint8_t>(r));
    map_row(out.row<std::uint8_t>(r), extent.cols, mode,
            [=](std::int64_t i, auto lanes) TERSOR_LAMBDA { return join(first(i, lanes), second(i, lanes)); });
  }
}
void and_bits(ConstRows a, ConstRows b, Rows out, Extent extent, Store mode) noexcept {
  combine(a, b, out, extent, mode, [](auto x, auto y) TERSOR_LAMBDA { return x & y; });
}
void or_bits(ConstRows a, ConstRows b, Rows out, Extent extent, Store mode) noexcept {
  combine(a, b, out, extent, mode, [](auto x, auto y) TERSOR_LAMBDA { return x | y; });
}
void xor_bits(ConstRows a, ConstRows b, Rows out, Extent extent, Store mode) noexcept {
  combine(a, b, out, extent, mode, [](auto x, auto y) TERSOR_LAMBDA { return x ^ y; });
}

void invert_bits(ConstRows bits, Rows out, Extent extent, std::uint8_t last_byte, Store mode) noexcept {
  for (std::int64_t r = 0; r < extent.rows; ++r) {
    const auto bytes = bytes_of(bits.row<std::uint8_t>(r));
    std::uint8_t* to = out.row<std::uint8_t>(r);
    map_row(to, extent.cols, mode,
            [=](std::int64_t i, auto lanes) TERSOR_LAMBDA { return bytes(i, lanes) ^ splat<std::uint8_t>(0xff); });
    if (extent.cols > 0) to[extent.cols - 1] &= last_byte;
  }
}

std::int64_t count_row(const std::uint8_t* bits, std::int64_t cols) noexcept { return count_bits(bits, cols); }

}  // namespace

constinit const BitmaskKernels bitmask_kernels{
    .pack_mask = pack_mask,
    .unpack_mask = unpack_mask,
    .and_bits = and_bits,
    .or_bits = or_bits,
    .xor_bits = xor_bits,
    .invert_bits = invert_bits,
    .count_bits = count_row,
};

}  // namespace tersor::cpu::TERSOR_LEVEL
