#pragma once
// The floating-point element types as kernels see them: bits in memory, the type that arithmetic happens in, and packets of 16
// bytes, the widest access of a thread.

#include "cuda/host_device.h"

namespace tersor::cuda {

struct alignas(16) Packet {
  std::uint32_t word[4];
};

// --- scalars -----------------------------------------------------------------------------------------------------------

namespace half {

// binary16 to float32: shifted into place, the exponent's offset repaired by an exact multiplication, which also normalizes
// subnormals.
TERSOR_HOST_DEVICE float widen(std::uint16_t bits) noexcept {
#if defined(__CUDA_ARCH__)
  float value;
  asm("cvt.f32.f16 %0, %1;" : "=f"(value) : "h"(bits));
  return value;
#else
  const std::uint32_t sign = static_cast<std::uint32_t>(bits & 0x8000u) << 16, rest = bits & 0x7fffu;
  if (rest >= 0x7c00u) return from_bits(sign | 0x7f800000u | (rest & 0x3ffu) << 13);
  return from_bits(sign | bits_of(from_bits(rest << 13) * 0x1p112f));
#endif
}

// Half to even. The value is no NaN.
TERSOR_HOST_DEVICE std::uint16_t narrow(float value) noexcept {
#if defined(__CUDA_ARCH__)
  std::uint16_t bits;
  asm("cvt.rn.f16.f32 %0, %1;" : "=h"(bits) : "f"(value));
  return bits;
#else
  const std::uint32_t sign = bits_of(value) >> 16 & 0x8000u, rest = bits_of(value) & 0x7fffffffu;
  if (rest >= 0x47800000u) return static_cast<std::uint16_t>(sign | 0x7c00u);  // 65536 and above
  // Below the least normal number, adding 0.5 leaves the rounded subnormal in the low bits.
  if (rest < 0x38800000u) return static_cast<std::uint16_t>(sign | (bits_of(from_bits(rest) + 0.5f) - bits_of(0.5f)));
  return static_cast<std::uint16_t>(sign | (rest - 0x38000000u + 0xfffu + (rest >> 13 & 1u)) >> 13);
#endif
}

TERSOR_HOST_DEVICE std::uint32_t narrow_pair(float low, float high) noexcept {
#if defined(__CUDA_ARCH__)
  std::uint32_t bits;
  asm("cvt.rn.f16x2.f32 %0, %1, %2;" : "=r"(bits) : "f"(high), "f"(low));
  return bits;
#else
  return narrow(low) | static_cast<std::uint32_t>(narrow(high)) << 16;
#endif
}

}  // namespace half

namespace brain {

TERSOR_HOST_DEVICE float widen(std::uint16_t bits) noexcept { return from_bits(static_cast<std::uint32_t>(bits) << 16); }

// Half to even. The value is no NaN.
TERSOR_HOST_DEVICE std::uint16_t narrow(float value) noexcept {
  const std::uint32_t bits = bits_of(value);
  return static_cast<std::uint16_t>((bits + 0x7fffu + (bits >> 16 & 1u)) >> 16);
}

TERSOR_HOST_DEVICE std::uint32_t narrow_pair(float low, float high) noexcept {
#if defined(__CUDA_ARCH__)
  std::uint32_t bits;
  asm("cvt.rn.bf16x2.f32 %0, %1, %2;" : "=r"(bits) : "f"(high), "f"(low));
  return bits;
#else
  return narrow(low) | static_cast<std::uint32_t>(narrow(high)) << 16;
#endif
}

}  // namespace brain

// --- formats -----------------------------------------------------------------------------------------------------------

struct Float32 {
  using Bits = std::uint32_t;
  using Math = float;
  static constexpr int kPacket = 4;                               // items in a packet
  static constexpr Bits kNan = 0x7fc00000, kLowest = 0xff800000;  // quiet NaN, -inf
  static TERSOR_HOST_DEVICE void unpack(const Packet& packet, float (&value)[kPacket]) noexcept {
#pragma unroll
    for (int i = 0; i < kPacket; ++i) value[i] = from_bits(packet.word[i]);
  }
  static TERSOR_HOST_DEVICE Packet pack(const float (&value)[kPacket]) noexcept {
    Packet packet;
#pragma unroll
    for (int i = 0; i < kPacket; ++i) packet.word[i] = bits_of(value[i]);
    return packet;
  }
};

struct Float64 {
  using Bits = std::uint64_t;
  using Math = double;
  static constexpr int kPacket = 2;
  static constexpr Bits kNan = 0x7ff8000000000000, kLowest = 0xfff0000000000000;
  static TERSOR_HOST_DEVICE void unpack(const Packet& packet, double (&value)[kPacket]) noexcept {
#pragma unroll
    for (int i = 0; i < kPacket; ++i)
      value[i] = from_bits(packet.word[2 * i] | static_cast<std::uint64_t>(packet.word[2 * i + 1]) << 32);
  }
  static TERSOR_HOST_DEVICE Packet pack(const double (&value)[kPacket]) noexcept {
    Packet packet;
#pragma unroll
    for (int i = 0; i < kPacket; ++i) {
      packet.word[2 * i] = static_cast<std::uint32_t>(bits_of(value[i]));
      packet.word[2 * i + 1] = static_cast<std::uint32_t>(bits_of(value[i]) >> 32);
    }
    return packet;
  }
};

struct Float16 {
  using Bits = std::uint16_t;
  using Math = float;
  static constexpr int kPacket = 8;
  static constexpr Bits kNan = 0x7e00, kLowest = 0xfc00;
  static TERSOR_HOST_DEVICE void unpack(const Packet& packet, float (&value)[kPacket]) noexcept {
#pragma unroll
    for (int i = 0; i < kPacket; ++i) value[i] = half::widen(static_cast<std::uint16_t>(packet.word[i / 2] >> (i % 2 * 16)));
  }
  static TERSOR_HOST_DEVICE Packet pack(const float (&value)[kPacket]) noexcept {
    Packet packet;
#pragma unroll
    for (int i = 0; i < kPacket / 2; ++i) packet.word[i] = half::narrow_pair(value[2 * i], value[2 * i + 1]);
    return packet;
  }
};

struct BFloat16 {
  using Bits = std::uint16_t;
  using Math = float;
  static constexpr int kPacket = 8;
  static constexpr Bits kNan = 0x7fc0, kLowest = 0xff80;
  static TERSOR_HOST_DEVICE void unpack(const Packet& packet, float (&value)[kPacket]) noexcept {
#pragma unroll
    for (int i = 0; i < kPacket; ++i) value[i] = brain::widen(static_cast<std::uint16_t>(packet.word[i / 2] >> (i % 2 * 16)));
  }
  static TERSOR_HOST_DEVICE Packet pack(const float (&value)[kPacket]) noexcept {
    Packet packet;
#pragma unroll
    for (int i = 0; i < kPacket / 2; ++i) packet.word[i] = brain::narrow_pair(value[2 * i], value[2 * i + 1]);
    return packet;
  }
};

// --- items of a packet, by their bits -------------------------------------------------------------------------------------

template <class Bits>
TERSOR_HOST_DEVICE Packet splat(Bits item) noexcept {
  Packet packet;
#pragma unroll
  for (int i = 0; i < 4; ++i) {
    if constexpr (sizeof(Bits) == 8)
      packet.word[i] = static_cast<std::uint32_t>(item >> (i % 2 * 32));
    else
      packet.word[i] = sizeof(Bits) == 4 ? static_cast<std::uint32_t>(item) : static_cast<std::uint32_t>(item) * 0x10001u;
  }
  return packet;
}

template <class Bits>
TERSOR_HOST_DEVICE Bits item_of(const Packet& packet, int i) noexcept {
  if constexpr (sizeof(Bits) == 8)
    return packet.word[2 * i] | static_cast<Bits>(packet.word[2 * i + 1]) << 32;
  else if constexpr (sizeof(Bits) == 4)
    return packet.word[i];
  else
    return static_cast<Bits>(packet.word[i / 2] >> (i % 2 * 16));
}

template <class Bits>
TERSOR_HOST_DEVICE void set_item(Packet& packet, int i, Bits item) noexcept {
  if constexpr (sizeof(Bits) == 8) {
    packet.word[2 * i] = static_cast<std::uint32_t>(item);
    packet.word[2 * i + 1] = static_cast<std::uint32_t>(item >> 32);
  } else if constexpr (sizeof(Bits) == 4) {
    packet.word[i] = item;
  } else {
    const int shift = i % 2 * 16;
    packet.word[i / 2] = (packet.word[i / 2] & ~(0xffffu << shift)) | static_cast<std::uint32_t>(item) << shift;
  }
}

}  // namespace tersor::cuda
