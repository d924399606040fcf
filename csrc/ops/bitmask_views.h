#pragma once
// A sparse array as the bits of its non-zeros and these themselves, and what is asked of such an argument.

#include <atomic>
#include <cstdint>
#include <limits>

#include "core/view.h"

namespace tersor {

// Rows of the last axis, row by row; bits are least significant first, each row padded with 0 to whole bytes.
struct BitmaskViews {
  View values;       // [number of bits set]
  View bits;         // uint8 [rows, ceil(cols / 8)]
  View row_offsets;  // int64 [rows]: where the values of each row begin
  std::int64_t rows, cols;

  std::int64_t row_bytes() const noexcept { return (cols + 7) / 8; }
  const std::uint8_t* bits_of(std::int64_t row) const noexcept {
    return reinterpret_cast<const std::uint8_t*>(bits.data) + row * row_bytes();
  }
  std::int64_t start_of(std::int64_t row) const noexcept;  // up to that of row `rows`, where the values end
};

void require_shape(const View& view, std::initializer_list<std::int64_t> shape, const char* meaning);

// Dtypes, shapes and memory of the parts.
void require_bitmask(const BitmaskViews& t);
// Rows begin in order and within the values.
void require_ordered(const BitmaskViews& t);

// The bits of items that are no zeros, NaN among them, padded with 0 to whole bytes.
void mark_nonzeros(DType dtype, const std::byte* items, std::int64_t count, std::byte* bits) noexcept;

// The first of what threads, in any order, find wrong.
class FirstWrong {
 public:
  static constexpr std::int64_t kNone = std::numeric_limits<std::int64_t>::max();
  void find(std::int64_t place) noexcept {
    for (std::int64_t before = place_.load(); place < before && !place_.compare_exchange_weak(before, place);) {
    }
  }
  std::int64_t place() const noexcept { return place_.load(); }  // or kNone

 private:
  std::atomic<std::int64_t> place_{kNone};
};

// ValueError where a row has another number of bits than of values.
void require_no_wrong_row(const BitmaskViews& t, const FirstWrong& row);

}  // namespace tersor
