// pack: int8 codes to nibbles and back, 64 columns at a time.

#include "cpu/pack.h"
#include "cpu/map.h"
#include "cpu/nibbles.h"

namespace tersor::cpu::TERSOR_LEVEL {

namespace {

// Bits 4 to 7 of q + 8 are set exactly where q lies outside [-8, 7].
TERSOR_INLINE U8x64 biased(U8x64 q) noexcept { return q + splat<std::uint8_t, 64>(8); }

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

// --- any number of bits: eight codes are as many bytes -----------------------------------------------------------------

constexpr std::uint64_t kEachByte = 0x0101010101010101, kEachHalf = 0x0001000100010001, kEachWord = 0x0000000100000001;

// Eight codes in the lowest bits of eight bytes to the lowest 8 * bits; what else the bytes hold is left out. Neighbours join three
// times: the second moves down to the first.
TERSOR_INLINE std::uint64_t join_codes(std::uint64_t codes, int bits) noexcept {
  const auto join = [](std::uint64_t fields, std::uint64_t first, int shift)
                        TERSOR_LAMBDA { return (fields & first) | (fields & ~first) >> shift; };
  codes &= kEachByte * ((1u << bits) - 1);
  codes = join(codes, kEachHalf * 0xff, 8 - bits);
  codes = join(codes, kEachWord * 0xffff, 16 - 2 * bits);
  return join(codes, 0xffffffff, 32 - 4 * bits);
}
// And back; `packed` may hold more.
TERSOR_INLINE std::uint64_t split_codes(std::uint64_t packed, int bits) noexcept {
  const auto split = [](std::uint64_t fields, std::uint64_t first, int width, int shift)
                         TERSOR_LAMBDA { return (fields & first) | (fields << shift & first << width); };
  packed = split(packed, (std::uint64_t{1} << 4 * bits) - 1, 32, 32 - 4 * bits);
  packed = split(packed, kEachWord * ((std::uint64_t{1} << 2 * bits) - 1), 16, 16 - 2 * bits);
  return split(packed, kEachHalf * ((std::uint64_t{1} << bits) - 1), 8, 8 - bits);
}

// In each byte, whose highest bit is free: the code's own sign extended. A difference of bytes does not borrow below 0x80.
TERSOR_INLINE std::uint64_t extend_signs(std::uint64_t codes, int bits) noexcept {
  if (bits == 8) return codes;
  const std::uint64_t sign = kEachByte << (bits - 1);
  return (((codes ^ sign) | kEachByte << 7) - sign) ^ kEachByte << 7;
}

// What bits are set in any of the codes once bias is added.
TERSOR_INLINE std::uint8_t bits_in(const std::uint8_t* q, std::int64_t cols, std::uint8_t bias) noexcept {
  U8x64 found = splat<std::uint8_t, 64>(0);
  const U8x64 of_bias = splat<std::uint8_t, 64>(bias);
  std::int64_t i = 0;
  for (; i + 64 <= cols; i += 64) found = found | (load<64>(q + i) + of_bias);
  alignas(64) std::uint8_t lanes[64];
  store(lanes, found);
  std::uint64_t words[8], of_words = 0;
  std::memcpy(words, lanes, sizeof words);
  for (const std::uint64_t word : words) of_words |= word;
  std::uint8_t all = 0;
  for (; of_words; of_words >>= 8) all |= static_cast<std::uint8_t>(of_words);
  for (; i < cols; ++i) all |= static_cast<std::uint8_t>(q[i] + bias);
  return all;
}

std::uint8_t pack_bits(const std::uint8_t* q, std::int64_t cols, int bits, std::uint8_t bias, std::uint8_t* packed) noexcept {
  const std::uint8_t found = bits_in(q, cols, bias);
  std::int64_t i = 0;
  for (; bits == 4 && i + 64 <= cols; i += 64, packed += 32) store(packed, join_nibbles(load<64>(q + i)));
  for (; i + 64 <= cols; i += 8, packed += bits) {  // 8 bytes are written of which `bits` stay: there are enough behind them
    std::uint64_t codes;
    std::memcpy(&codes, q + i, sizeof codes);
    codes = join_codes(codes, bits);
    std::memcpy(packed, &codes, sizeof codes);
  }
  for (; i < cols; i += 8, packed += bits) {
    const std::int64_t count = cols - i < 8 ? cols - i : 8;
    std::uint64_t codes = 0;
    std::memcpy(&codes, q + i, static_cast<std::size_t>(count));
    codes = join_codes(codes, bits);
    std::memcpy(packed, &codes, static_cast<std::size_t>((count * bits + 7) / 8));
  }
  return found;
}

void unpack_bits(const std::uint8_t* packed, std::int64_t cols, int bits, bool is_signed, std::uint8_t* q) noexcept {
  const auto split = [=](std::uint64_t codes) TERSOR_LAMBDA {
    codes = split_codes(codes, bits);
    return is_signed ? extend_signs(codes, bits) : codes;
  };
  std::int64_t i = 0;
  const U8x64 sign = splat<std::uint8_t, 64>(is_signed ? 8 : 0);
  for (; bits == 4 && i + 64 <= cols; i += 64, packed += 32) store(q + i, split_nibbles(load<32>(packed), sign));
  for (; i + 64 <= cols; i += 8, packed += bits) {
    std::uint64_t codes;
    std::memcpy(&codes, packed, sizeof codes);
    codes = split(codes);
    std::memcpy(q + i, &codes, sizeof codes);
  }
  for (; i < cols; i += 8, packed += bits) {
    const std::int64_t count = cols - i < 8 ? cols - i : 8;
    std::uint64_t codes = 0;
    std::memcpy(&codes, packed, static_cast<std::size_t>((count * bits + 7) / 8));
    codes = split(codes);
    std::memcpy(q + i, &codes, static_cast<std::size_t>(count));
  }
}

// --- codes in another order ----------------------------------------------------------------------------------------------

using Bytes16 [[gnu::vector_size(16)]] = std::uint8_t;

void arrange_codes(const std::uint8_t* q, std::int64_t count, const std::uint8_t* places, std::uint8_t offset, std::uint8_t* to,
                   std::int64_t to_count) noexcept {
  static_assert(kArrangedCodes == 2 * sizeof(Bytes16));
  Bytes16 of_first, of_second;
  std::memcpy(&of_first, places, sizeof of_first);
  std::memcpy(&of_second, places + sizeof of_first, sizeof of_second);
  const auto arrange = [&](const std::uint8_t* from, std::uint8_t* out) TERSOR_LAMBDA {
    Bytes16 half[2];
    std::memcpy(half, from, sizeof half);
    const Bytes16 arranged[2] = {__builtin_shuffle(half[0], half[1], of_first), __builtin_shuffle(half[0], half[1], of_second)};
    std::memcpy(out, arranged, sizeof arranged);
  };
  std::uint8_t shifted[kArrangedCodes];
  for (std::int64_t i = 0; i < to_count; i += kArrangedCodes) {
    const std::int64_t have = count - i < kArrangedCodes ? count - i : kArrangedCodes;
    const std::int64_t want = to_count - i < kArrangedCodes ? to_count - i : kArrangedCodes;
    if (have < kArrangedCodes) {
      std::memset(shifted, 0, sizeof shifted);
      for (std::int64_t k = 0; k < have; ++k) shifted[k] = static_cast<std::uint8_t>(q[i + k] + offset);
    } else {
      for (int k = 0; k < kArrangedCodes; ++k) shifted[k] = static_cast<std::uint8_t>(q[i + k] + offset);
    }
    if (want == kArrangedCodes) {
      arrange(shifted, to + i);
    } else {
      std::uint8_t arranged[kArrangedCodes];
      arrange(shifted, arranged);
      std::memcpy(to + i, arranged, static_cast<std::size_t>(want));
    }
  }
}

}  // namespace

constinit const PackKernels pack_kernels{.pack_int4 = pack_int4,
                                         .unpack_int4 = unpack_int4,
                                         .pack_bits = pack_bits,
                                         .unpack_bits = unpack_bits,
                                         .arrange_codes = arrange_codes};

}  // namespace tersor::cpu::TERSOR_LEVEL
