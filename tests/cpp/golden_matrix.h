#pragma once
// Matrices for golden_test: random ones that are the same everywhere, and what becomes of them as one hash.

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <vector>

#include "core/dtype.h"
#include "core/view.h"

namespace tersor {

// splitmix64 (Steele, Lea and Flood, 2014): integer arithmetic alone, so the inputs are the same everywhere.
class CounterSource {
 public:
  std::uint64_t next() {
    std::uint64_t word = counter_ += 0x9E3779B97F4A7C15u;
    word = (word ^ (word >> 30)) * 0xBF58476D1CE4E5B9u;
    word = (word ^ (word >> 27)) * 0x94D049BB133111EBu;
    return word ^ (word >> 31);
  }

 private:
  std::uint64_t counter_ = 0;
};

struct FloatBits {
  int exponent_bits, mantissa_bits;
};
inline FloatBits float_bits_of(DType dtype) {
  switch (dtype) {
    case DType::kFloat16: return {5, 10};
    case DType::kBFloat16: return {8, 7};
    case DType::kFloat64: return {11, 52};
    default: return {8, 23};
  }
}

class Matrix {
 public:
  Matrix(DType dtype, std::int64_t rows, std::int64_t cols)
      : bytes_(static_cast<std::size_t>(rows * cols * item_size(dtype))), dtype_(dtype), rows_(rows), cols_(cols) {}

  // Magnitudes from 2**-6 to 2, both signs; one value in 16 is a zero, a subnormal, an infinity or NaN.
  static Matrix floats(DType dtype, std::int64_t rows, std::int64_t cols, CounterSource& source, bool finite = false) {
    Matrix matrix(dtype, rows, cols);
    const auto [exponent_bits, mantissa_bits] = float_bits_of(dtype);
    const std::uint64_t top = (std::uint64_t{1} << exponent_bits) - 1, bias = top >> 1;
    for (std::int64_t i = 0; i < rows * cols; ++i) {
      const std::uint64_t word = source.next();
      std::uint64_t exponent = bias - 6 + (word >> 53 & 7), mantissa = word & ((std::uint64_t{1} << mantissa_bits) - 1);
      const std::uint64_t special = word >> 57 & 63;  // infinities and NaN far apart: they take over a whole row of softmax
      if (special < 2) exponent = 0;
      if (special == 2) exponent = mantissa = 0;
      if (special == 3 && i % 5003 == 0 && !finite) exponent = top, mantissa = word >> 32 & 1 ? mantissa & 1 : 0;
      if (exponent == top && mantissa) mantissa = std::uint64_t{1} << (mantissa_bits - 1);  // the one quiet NaN
      matrix.set(i, (word >> 56 & 1) << (exponent_bits + mantissa_bits) | exponent << mantissa_bits | mantissa);
    }
    return matrix;
  }

  // Every floats() but those of the greatest exponent, which become 1.
  static Matrix numbers(DType dtype, std::int64_t rows, std::int64_t cols, CounterSource& source) {
    Matrix matrix = floats(dtype, rows, cols, source);
    const auto [exponent_bits, mantissa_bits] = float_bits_of(dtype);
    const std::uint64_t top = (std::uint64_t{1} << exponent_bits) - 1;
    for (std::int64_t i = 0; i < rows * cols; ++i)
      if ((matrix.get(i) >> mantissa_bits & top) == top) matrix.set(i, (top >> 1) << mantissa_bits);
    return matrix;
  }

  static Matrix integers(DType dtype, std::int64_t rows, std::int64_t cols, int low, int high, CounterSource& source) {
    Matrix matrix(dtype, rows, cols);
    for (std::int64_t i = 0; i < rows * cols; ++i)
      matrix.set(i, static_cast<std::uint64_t>(low + static_cast<int>(source.next() >> 33) % (high - low)));
    return matrix;
  }

  View view() {
    View view;
    view.data = bytes_.data();
    view.dtype = dtype_;
    view.writable = true;
    view.ndim = 2;
    view.shape[0] = rows_;
    view.shape[1] = cols_;
    view.stride_bytes[0] = cols_ * item_size(dtype_);
    view.stride_bytes[1] = item_size(dtype_);
    return view;
  }

  // The one row of a matrix that has no more.
  View row() {
    View view = this->view();
    view.ndim = 1;
    view.shape[0] = cols_;
    view.stride_bytes[0] = item_size(dtype_);
    return view;
  }

  // The first items as one axis.
  View flat_view(std::int64_t count) {
    View flat = view();
    flat.ndim = 1;
    flat.shape[0] = count;
    flat.stride_bytes[0] = item_size(dtype_);
    return flat;
  }

  // FNV-1a over the bytes.
  std::uint64_t hash() const {
    std::uint64_t hash = 0xCBF29CE484222325u;
    for (const std::byte byte : bytes_) hash = (hash ^ std::to_integer<std::uint64_t>(byte)) * 0x100000001B3u;
    return hash;
  }

  std::uint64_t get(std::int64_t index) const {
    const auto size = static_cast<std::size_t>(item_size(dtype_));
    std::uint64_t bits = 0;
    std::memcpy(&bits, bytes_.data() + static_cast<std::size_t>(index) * size, size);
    return bits;
  }
  void set(std::int64_t index, std::uint64_t bits) {
    const auto size = static_cast<std::size_t>(item_size(dtype_));
    std::memcpy(bytes_.data() + static_cast<std::size_t>(index) * size, &bits, size);  // little-endian, as every level is
  }

 private:
  std::vector<std::byte> bytes_;
  DType dtype_;
  std::int64_t rows_, cols_;
};

}  // namespace tersor
