// pack: int8 codes to nibbles and back, 64 columns at a time.

#include "cpu/pack.h"
#include "cpu/map.h"
#include "cpu/nibbles.h"

namespace tersor::cpu::TERSOR_LEVEL {

namespace {

// Codes are stored with the bits of `flip` exchanged; with `bias` added, bits above the fourth are set where they do not fit.
struct NibbleRule {
  U8x64 flip, bias;
};

// Fewer than 64 columns, through a buffer that is 0 beyond them; bits beyond the last code are 0. Returns the biased codes.
TERSOR_INLINE U8x64 pack_few(const std::uint8_t* from, std::uint8_t* to, std::int64_t count, const NibbleRule& rule) noexcept {
  alignas(64) std::uint8_t buffer[64] = {};
  std::memcpy(buffer, from, static_cast<std::size_t>(count));
  const U8x64 codes = load<64>(buffer);
  store(buffer, join_nibbles(codes ^ rule.flip));
  if (count % 2) buffer[count / 2] &= 0x0f;
  std::memcpy(to, buffer, static_cast<std::size_t>((count + 1) / 2));
  return codes + rule.bias;
}

TERSOR_INLINE void unpack_few(const std::uint8_t* from, std::uint8_t* to, std::int64_t count, U8x64 sign, U8x64 flip) noexcept {
  alignas(64) std::uint8_t buffer[64] = {};
  std::memcpy(buffer, from, static_cast<std::size_t>((count + 1) / 2));
  store(buffer, split_nibbles(load<32>(buffer), sign, flip));
  std::memcpy(to, buffer, static_cast<std::size_t>(count));
}

// Columns before the output of a row is aligned, where there are few enough and they fill whole bytes; else -1: not streamed.
TERSOR_INLINE std::int64_t head_columns(const std::uint8_t* to, Store mode, std::int64_t columns_per_byte,
                                        std::int64_t cols) noexcept {
  if (mode != Store::kStreaming || !may_stream(to, cols / columns_per_byte)) return -1;
  const std::int64_t head = items_to_line(to) * columns_per_byte % 64;
  return head % 2 == 0 && head < cols ? head : -1;
}

// A row. Returns the bits of all biased codes.
TERSOR_INLINE U8x64 pack_nibbles(const std::uint8_t* from, std::uint8_t* to, std::int64_t cols, const NibbleRule& rule,
                                 Store mode) noexcept {
  U8x64 found = splat<std::uint8_t, 64>(0);
  const std::int64_t head = head_columns(to, mode, 2, cols);
  std::int64_t i = 0;
  if (head > 0) {
    found = pack_few(from, to, head, rule);
    i = head;
  }
  for (; i + 64 <= cols; i += 64) {
    const U8x64 codes = load<64>(from + i);
    found = found | (codes + rule.bias);
    if (head >= 0)
      stream(to + i / 2, join_nibbles(codes ^ rule.flip));
    else
      store(to + i / 2, join_nibbles(codes ^ rule.flip));
  }
  return i < cols ? found | pack_few(from + i, to + i / 2, cols - i, rule) : found;
}

TERSOR_INLINE void unpack_nibbles(const std::uint8_t* from, std::uint8_t* to, std::int64_t cols, U8x64 sign, U8x64 flip,
                                  Store mode) noexcept {
  const std::int64_t head = head_columns(to, mode, 1, cols);
  std::int64_t i = 0;
  if (head > 0) {
    unpack_few(from, to, head, sign, flip);
    i = head;
  }
  for (; i + 64 <= cols; i += 64) {
    const U8x64 codes = split_nibbles(load<32>(from + i / 2), sign, flip);
    if (head >= 0)
      stream(to + i, codes);
    else
      store(to + i, codes);
  }
  if (i < cols) unpack_few(from + i / 2, to + i, cols - i, sign, flip);
}

bool pack_int4(ConstRows q, Rows packed, Extent extent, Store mode) noexcept {
  const NibbleRule rule{splat<std::uint8_t, 64>(0), splat<std::uint8_t, 64>(8)};
  U8x64 outside = splat<std::uint8_t, 64>(0);
  for (std::int64_t r = 0; r < extent.rows; ++r)
    outside = outside | pack_nibbles(q.row<std::uint8_t>(r), packed.row<std::uint8_t>(r), extent.cols, rule, mode);
  const U8x64 high = outside & splat<std::uint8_t, 64>(0xf0);
  return bits_of(not_equal(bit_cast<std::int8_t>(high), splat<std::int8_t, 64>(0))) == 0;
}

void unpack_int4(ConstRows packed, Rows q, Extent extent, Store mode) noexcept {
  const U8x64 sign = splat<std::uint8_t, 64>(8), flip = splat<std::uint8_t, 64>(0);
  for (std::int64_t r = 0; r < extent.rows; ++r)
    unpack_nibbles(packed.row<std::uint8_t>(r), q.row<std::uint8_t>(r), extent.cols, sign, flip, mode);
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

// The bits that are set in any lane.
TERSOR_INLINE std::uint8_t bits_of_any(U8x64 lanes) noexcept {
  alignas(64) std::uint64_t words[8];
  store(reinterpret_cast<std::uint8_t*>(words), lanes);
  std::uint64_t of_words = 0;
  for (const std::uint64_t word : words) of_words |= word;
  std::uint8_t all = 0;
  for (; of_words; of_words >>= 8) all |= static_cast<std::uint8_t>(of_words);
  return all;
}

// Fewer than eight, whose `flip` leaves the bits beyond them 0.
TERSOR_INLINE std::uint64_t first_bytes(std::uint64_t each, std::int64_t count) noexcept {
  return count == 8 ? each : each & ((std::uint64_t{1} << 8 * count) - 1);
}

// By eights. Where there are that many bits left, 8 bytes are written of which `bits` stay.
TERSOR_INLINE void pack_by_eights(const std::uint8_t* q, std::int64_t cols, int bits, std::uint64_t flips,
                                  std::uint8_t* packed) noexcept {
  std::int64_t i = 0;
  for (; (cols - i) * bits >= 64; i += 8, packed += bits) {
    std::uint64_t codes;
    std::memcpy(&codes, q + i, sizeof codes);
    codes = join_codes(codes ^ flips, bits);
    std::memcpy(packed, &codes, sizeof codes);
  }
  for (; i < cols; i += 8, packed += bits) {
    const std::int64_t count = cols - i < 8 ? cols - i : 8;
    std::uint64_t codes = 0;
    std::memcpy(&codes, q + i, static_cast<std::size_t>(count));
    codes = join_codes(codes ^ first_bytes(flips, count), bits);
    std::memcpy(packed, &codes, static_cast<std::size_t>((count * bits + 7) / 8));
  }
}

// What bits are set in any of the codes once bias is added.
TERSOR_INLINE std::uint8_t bits_in(const std::uint8_t* q, std::int64_t cols, std::uint8_t bias) noexcept {
  U8x64 found = splat<std::uint8_t, 64>(0);
  const U8x64 of_bias = splat<std::uint8_t, 64>(bias);
  std::int64_t i = 0;
  for (; i + 64 <= cols; i += 64) found = found | (load<64>(q + i) + of_bias);
  std::uint8_t all = bits_of_any(found);
  for (; i < cols; ++i) all |= static_cast<std::uint8_t>(q[i] + bias);
  return all;
}

std::uint8_t pack_bits(const std::uint8_t* q, std::int64_t cols, int bits, std::uint8_t flip, std::uint8_t bias,
                       std::uint8_t* packed, Store mode) noexcept {
  if (bits == 4) {
    const NibbleRule rule{splat<std::uint8_t, 64>(flip), splat<std::uint8_t, 64>(bias)};
    return bits_of_any(pack_nibbles(q, packed, cols, rule, mode));
  }
  pack_by_eights(q, cols, bits, kEachByte * flip, packed);
  return bits_in(q, cols, bias);
}

void unpack_bits(const std::uint8_t* packed, std::int64_t cols, int bits, std::uint8_t flip, bool is_signed, std::uint8_t* q,
                 Store mode) noexcept {
  if (bits == 4) {
    const U8x64 sign = splat<std::uint8_t, 64>(is_signed ? 8 : 0);
    return unpack_nibbles(packed, q, cols, sign, splat<std::uint8_t, 64>(flip), mode);
  }
  const std::uint64_t flips = kEachByte * flip;
  const auto split = [=](std::uint64_t codes) TERSOR_LAMBDA {
    codes = split_codes(codes, bits) ^ flips;
    return is_signed ? extend_signs(codes, bits) : codes;
  };
  std::int64_t i = 0;
  for (; (cols - i) * bits >= 64; i += 8, packed += bits) {
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

// --- codes across rows ---------------------------------------------------------------------------------------------------

// Bytes that hold a code of each of two rows, of 64 columns.
TERSOR_INLINE U8x64 join_two_rows(const std::uint8_t* low, const std::uint8_t* high) noexcept {
  const U8x32 of_low = load<32>(low), of_high = load<32>(high);
  const U8x32 first = splat<std::uint8_t, 32>(0x0f), second = splat<std::uint8_t, 32>(0xf0);
  const U8x32 up = bit_cast<std::uint8_t>(shift_left<4>(bit_cast<std::uint16_t>(of_high)));
  const U8x32 down = bit_cast<std::uint8_t>(shift_right<4>(bit_cast<std::uint16_t>(of_low)));
  const U16x32 even = promote_u16((of_low & first) | (up & second)), odd = promote_u16((down & first) | (of_high & second));
  return bit_cast<std::uint8_t>(even | shift_left<8>(odd));
}

TERSOR_INLINE void join_64(const std::uint8_t* const* rows, std::int64_t at, std::uint32_t* words) noexcept {
  U8x64 pairs[4];
  for (int k = 0; k < 4; ++k) pairs[k] = join_two_rows(rows[2 * k] + at, rows[2 * k + 1] + at);
  const auto low = bit_cast<std::uint16_t>(zip(pairs[0], pairs[1])), high = bit_cast<std::uint16_t>(zip(pairs[2], pairs[3]));
  store(words, bit_cast<std::uint32_t>(zip(low, high)));
}

void join_rows(const std::uint8_t* const* rows, std::int64_t cols, std::uint32_t* words) noexcept {
  std::int64_t i = 0;
  for (; i + 64 <= cols; i += 64) join_64(rows, i / 2, words + i);
  for (; i < cols; ++i) {
    std::uint32_t word = 0;
    for (int k = 0; k < 8; ++k) word |= (static_cast<std::uint32_t>(rows[k][i / 2]) >> (i % 2 * 4) & 0xf) << (4 * k);
    std::memcpy(words + i, &word, sizeof word);
  }
}

TERSOR_INLINE void split_64(const std::uint32_t* words, std::uint8_t* const* rows, std::int64_t at) noexcept {
  U16x32 lower[2], upper[2];
  for (int k = 0; k < 2; ++k) {
    const U32 first = load(words + 2 * kLanes * k), second = load(words + 2 * kLanes * k + kLanes);
    lower[k] = high_halves(shift_left<16>(first), shift_left<16>(second));
    upper[k] = high_halves(first, second);
  }
  const auto split = [&](const U16x32(&of)[2], int row) TERSOR_LAMBDA {
    const U16x32 low_byte = splat<std::uint16_t, 32>(0xff);
    const U8x64 low = concat(demote_u8(of[0] & low_byte), demote_u8(of[1] & low_byte));
    const U8x64 high = concat(demote_u8(shift_right<8>(of[0])), demote_u8(shift_right<8>(of[1])));
    store(rows[row] + at, join_nibbles(low));
    store(rows[row + 1] + at, join_nibbles(bit_cast<std::uint8_t>(shift_right<4>(bit_cast<std::uint16_t>(low)))));
    store(rows[row + 2] + at, join_nibbles(high));
    store(rows[row + 3] + at, join_nibbles(bit_cast<std::uint8_t>(shift_right<4>(bit_cast<std::uint16_t>(high)))));
  };
  split(lower, 0);
  split(upper, 4);
}

void split_rows(const std::uint32_t* words, std::int64_t cols, std::uint8_t* const* rows) noexcept {
  std::int64_t i = 0;
  for (; i + 64 <= cols; i += 64) split_64(words + i, rows, i / 2);
  for (; i < cols; ++i) {
    std::uint32_t word;
    std::memcpy(&word, words + i, sizeof word);
    for (int k = 0; k < 8; ++k) {
      const auto code = static_cast<std::uint8_t>(word >> (4 * k) & 0xf);
      std::uint8_t& both = rows[k][i / 2];
      both = i % 2 ? static_cast<std::uint8_t>(both | code << 4) : code;
    }
  }
}

}  // namespace

constinit const PackKernels pack_kernels{.pack_int4 = pack_int4,
                                         .unpack_int4 = unpack_int4,
                                         .pack_bits = pack_bits,
                                         .unpack_bits = unpack_bits,
                                         .arrange_codes = arrange_codes,
                                         .join_rows = join_rows,
                                         .split_rows = split_rows};

}  // namespace tersor::cpu::TERSOR_LEVEL
