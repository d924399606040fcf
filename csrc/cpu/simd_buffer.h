#pragma once
// What goes through a buffer in memory at levels that have no instruction for it: the last few lanes of a row, and tables. Items
// are copied by memcpy: arrays may begin at any byte.

namespace tersor::cpu::TERSOR_LEVEL {

template <class T>
TERSOR_INLINE Lanes<T> load(const T* from, Partial lanes) noexcept {
  alignas(64) T buffer[kLanes] = {};
  std::memcpy(buffer, from, static_cast<std::size_t>(lanes.count) * sizeof(T));
  return load(buffer, Full{});
}
template <class T>
TERSOR_INLINE void store(T* to, Lanes<T> from, Partial lanes) noexcept {
  alignas(64) T buffer[kLanes];
  store(buffer, from, Full{});
  std::memcpy(to, buffer, static_cast<std::size_t>(lanes.count) * sizeof(T));
}
template <class T>
TERSOR_INLINE Lanes<T> fill_absent(Lanes<T> value, Partial lanes, T fill) noexcept {
  alignas(64) T buffer[kLanes];
  store(buffer, value, Full{});
  for (int i = lanes.count; i < kLanes; ++i) buffer[i] = fill;
  return load(buffer, Full{});
}

template <class T>
TERSOR_INLINE std::uint32_t bits_greater(Lanes<T> a, Lanes<T> b) noexcept {
  return bits_of(greater(a, b));
}

template <class T>
TERSOR_INLINE T* compress_store(T* to, Lanes<T> lanes, std::uint32_t bits) noexcept {
  if (!bits) return to;
  alignas(64) T buffer[kLanes];
  store(buffer, lanes);
  for (; bits; bits &= bits - 1) std::memcpy(to++, &buffer[__builtin_ctz(bits)], sizeof(T));
  return to;
}

template <class T>
TERSOR_INLINE Lanes<T> expand_load(const T* from, std::uint32_t bits) noexcept {
  alignas(64) T buffer[kLanes] = {};
  for (; bits; bits &= bits - 1) std::memcpy(&buffer[__builtin_ctz(bits)], from++, sizeof(T));
  return load(buffer);
}

template <class T>
TERSOR_INLINE Lanes<T> expand_load_ahead(const T* from, std::uint32_t bits) noexcept {
  return expand_load(from, bits);
}

template <class T>
TERSOR_INLINE U32 expand_load_high(const T* from, std::uint32_t bits) noexcept {
  return shift_left<16>(promote_u32(expand_load_ahead(from, bits)));
}

template <class T>
TERSOR_INLINE Lanes<T> lookup8(const T (&table)[8], Lanes<UnsignedOf<T>> index) noexcept {
  alignas(64) UnsignedOf<T> indices[kLanes];
  alignas(64) T values[kLanes];
  store(indices, index);
  for (int i = 0; i < kLanes; ++i) values[i] = table[indices[i] % 8];
  return load(values);
}

}  // namespace tersor::cpu::TERSOR_LEVEL
