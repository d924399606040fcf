#pragma once
// Symmetric int8 codes of a row, the same bits as tersor.reference: scale = absmax / 127 and q = rint(w / scale), both divisions
// correctly rounded.

#include "cuda/formats.h"

namespace tersor::cuda {

// The codes of a packet, the first in the lowest byte.
template <int kPacket>
struct Codes {
  static constexpr int kWords = kPacket < 4 ? 1 : kPacket / 4;
  std::uint32_t word[kWords];
};

// The lowest bytes of four words.
TERSOR_HOST_DEVICE std::uint32_t low_bytes(std::uint32_t a, std::uint32_t b, std::uint32_t c, std::uint32_t d) noexcept {
#if defined(__CUDA_ARCH__)
  return __byte_perm(__byte_perm(a, b, 0x0040), __byte_perm(c, d, 0x0040), 0x5410);
#else
  return (a & 0xff) | (b & 0xff) << 8 | (c & 0xff) << 16 | d << 24;
#endif
}

// The larger of each 16-bit half.
TERSOR_HOST_DEVICE std::uint32_t max_of_halves(std::uint32_t a, std::uint32_t b) noexcept {
#if defined(__CUDA_ARCH__)
  return __vmaxu2(a, b);
#else
  return (a > b ? a : b) >> 16 << 16 | ((a & 0xffff) > (b & 0xffff) ? a & 0xffff : b & 0xffff);
#endif
}

// The highest magnitude in some packets; NaN if there is one. 16-bit entries are compared as they are, two at once: with the sign
// cleared, the bits of floats are ordered like their values, with NaN above all.
template <class Format, int kPackets>
TERSOR_HOST_DEVICE typename Format::Math absmax_or_nan(const Packet (&packet)[kPackets]) noexcept {
  if constexpr (Format::kPacket == 8) {
    std::uint32_t highest = 0;
#pragma unroll
    for (const Packet& each : packet)
#pragma unroll
      for (const std::uint32_t word : each.word) highest = max_of_halves(highest, word & 0x7fff7fffu);
    typename Format::Math value[8];
    Format::unpack({{highest, 0, 0, 0}}, value);
    return max_or_nan(value[0], value[1]);
  } else {
    typename Format::Math highest = 0;
#pragma unroll
    for (const Packet& each : packet) {
      typename Format::Math value[Format::kPacket];
      Format::unpack(each, value);
#pragma unroll
      for (const auto entry : value) highest = max_or_nan(highest, magnitude(entry));
    }
    return highest;
  }
}

// The largest finite magnitude so far. NaN and infinities do not count.
template <class Math>
TERSOR_HOST_DEVICE Math max_finite(Math absmax, Math value) noexcept {
  return magnitude(value) < kInfinity<Math> ? max_number(absmax, magnitude(value)) : absmax;
}

// An integer up to 2**22 in magnitude in the low bits, half to even.
TERSOR_HOST_DEVICE std::uint32_t nearest_integer(float value) noexcept { return bits_of(value + 0x1.8p23f); }
TERSOR_HOST_DEVICE std::uint32_t nearest_integer(double value) noexcept {
  return static_cast<std::uint32_t>(bits_of(value + 0x1.8p52));
}

template <class Math>
class Int8Scale {
 public:
  TERSOR_HOST_DEVICE explicit Int8Scale(Math absmax) noexcept : scale_(absmax / Math{127}) {
    if (scale_ == 0) scale_ = 1;
    inverse_ = Math{1} / scale_;
    is_moderate_ = sizeof(Math) == 4 && scale_ > Math(0x1p-100) && scale_ < Math(0x1p100);
  }
  TERSOR_HOST_DEVICE Math scale() const noexcept { return scale_; }

  // Whether `quick_code` may be used: for rows without NaN and infinities.
  TERSOR_HOST_DEVICE bool is_moderate() const noexcept { return is_moderate_; }

  // Three instructions in place of a division: the product with the inverse, corrected by the remainder, gives the code of the
  // correctly rounded quotient. Checked for every float32 significand of the scale with every entry next to a boundary between
  // codes (5.3 * 10**9 cases; the product alone is wrong in 5 % of them); scales within 2**+-100 keep the remainder exact.
  TERSOR_HOST_DEVICE std::uint32_t quick_code(Math x) const noexcept {
    const Math product = x * inverse_;
    const Math remainder = fused_multiply_add(-product, scale_, x);
    return nearest_integer(fused_multiply_add(remainder, inverse_, product));
  }

  // For any entry: an infinity becomes +-127, NaN 0.
  TERSOR_HOST_DEVICE std::uint32_t code(Math x) const noexcept {
    Math quotient = x / scale_;
    if (!(magnitude(quotient) <= 127)) quotient = quotient > 0 ? Math{127} : Math{-127};
    return x != x ? 0 : nearest_integer(quotient);
  }

  template <class Format, bool kQuick>
  TERSOR_HOST_DEVICE Codes<Format::kPacket> codes(const Packet& packet) const noexcept {
    Math value[Format::kPacket];
    Format::unpack(packet, value);
    std::uint32_t code_of[Format::kPacket];
#pragma unroll
    for (int i = 0; i < Format::kPacket; ++i) code_of[i] = kQuick ? quick_code(value[i]) : code(value[i]);
    Codes<Format::kPacket> codes;
    if constexpr (Format::kPacket < 4) {
      codes.word[0] = (code_of[0] & 0xff) | (code_of[1] & 0xff) << 8;
    } else {
#pragma unroll
      for (int i = 0; i < Format::kPacket; i += 4)
        codes.word[i / 4] = low_bytes(code_of[i], code_of[i + 1], code_of[i + 2], code_of[i + 3]);
    }
    return codes;
  }

 private:
  Math scale_, inverse_;
  bool is_moderate_;
};

}  // namespace tersor::cuda
