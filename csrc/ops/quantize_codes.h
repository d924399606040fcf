#pragma once
// Scales and codes of a tile of an array: between what is stored, however it lies, and what kernels work on.

#include <cstdint>
#include <optional>

#include "core/integers.h"
#include "core/memory.h"
#include "cpu/quantize_groups.h"
#include "ops/loop_plan.h"
#include "ops/quantize_layout.h"

namespace tersor {

// Whole vectors, so that kernels need not stop in the middle of one.
constexpr std::int64_t padded(std::int64_t count) noexcept { return ceil_div(count, 64) * 64; }

// One number a group, of the type of arithmetic.
struct GroupNumbers {
  std::byte *lows, *highs, *scales, *zero_points;

  static constexpr int kArrays = 4;
  static std::int64_t bytes(std::int64_t count, std::int64_t math_bytes) noexcept { return kArrays * padded(count) * math_bytes; }
  GroupNumbers(std::byte* at, std::int64_t count, std::int64_t math_bytes) noexcept;
  GroupNumbers from(std::int64_t first, std::int64_t math_bytes) const noexcept;
};

// An array in C order without gaps: itself, or a copy of it.
class DenseArray {
 public:
  DenseArray(const View& view, Access access);
  std::byte* data() const noexcept { return rows_.data; }
  void write_back() const;  // after changes

 private:
  Grid grid_;
  Rectangle all_;
  std::optional<Scratch> copy_;
  cpu::Rows rows_;
};

// The scales of an array in the form that kernels take them, and back.
class StoredScales {
 public:
  StoredScales(DType math, const View& scale, const View* zero_point, CodeFormat format, Access access);

  void make(const GroupNumbers& numbers, std::int64_t first, std::int64_t count, const cpu::ScaleRule& rule) const noexcept;
  void load(const GroupNumbers& numbers, std::int64_t first, std::int64_t count) const noexcept;
  // For arithmetic of another type.
  void load_as(DType math, const GroupNumbers& numbers, std::int64_t first, std::int64_t count) const noexcept;
  void prefetch(std::int64_t first) const noexcept { __builtin_prefetch(scale_at(first)); }
  void write_back() const;

 private:
  std::byte* scale_at(std::int64_t first) const noexcept { return scale_.data() + first * item_size(dtype_); }
  std::uint8_t* zero_point_at(std::int64_t first) const noexcept;

  DType math_, dtype_;
  DenseArray scale_;
  std::optional<DenseArray> zero_point_;
  CodeFormat format_;
};

// Where the codes of a tile lie in an array of codes: one a byte, or `packed_bits` each, rows in whole bytes.
struct CodeGrid {
  Grid grid;
  int packed_bits;  // 0: not packed

  Rectangle bytes_of(const Tile& tile) const noexcept;
  // Rows of codes, one a byte, or as they are stored; of packed ones there is a single row. scratch: scratch_bytes.
  cpu::ConstRows read(const Tile& tile, CodeFormat format, std::byte* scratch) const;
  cpu::ConstRows read_stored(const Tile& tile, std::byte* scratch) const;
  // Where a row may be unpacked to.
  std::byte* beside_stored(const Tile& tile, std::byte* scratch) const noexcept;
  std::int64_t scratch_bytes(std::int64_t rows, std::int64_t cols) const noexcept;
};

// Codes of tiles as numbers of a dtype, row by row.
class Decoder {
 public:
  Decoder(const GroupLayout& layout, DType math, CodeFormat format, DType dtype, Store store) noexcept;

  void decode_row(const std::uint8_t* codes, std::int64_t cols, const GroupNumbers& numbers, std::byte* to) const noexcept;
  // Of a row of groups along the columns, `bits` a code. scratch: of padded(cols).
  void decode_packed_row(const std::uint8_t* packed, std::int64_t cols, const GroupNumbers& numbers, std::byte* to,
                         std::byte* scratch) const noexcept;
  Store store() const noexcept { return store_; }
  // scratch: what codes.scratch_bytes says.
  void decode(const CodeGrid& codes, const Tile& tile, const GroupNumbers& numbers, cpu::Rows to, std::byte* scratch) const;

 private:
  // Whether there is a way from nibbles to numbers without codes a byte each between them.
  bool decodes_nibbles(std::int64_t cols) const noexcept;

  GroupLayout layout_;
  const cpu::QuantizeGroupsKernels::OfMath& kernels_;
  CodeFormat format_;
  DType math_, dtype_;
  Store store_;
};

class Encoder {
 public:
  // stored_math: of the scales' dtype, which codes become numbers with.
  Encoder(const View& w, const GroupLayout& layout, const CodeOptions& options, const StoredScales& scales, const View& q,
          const Grid& q_grid, DType stored_math) noexcept;

  std::int64_t scratch_bytes(std::int64_t rows, std::int64_t cols) const noexcept;
  // Codes of dense rows by the scales in `numbers`. What lies behind the rows is fetched meanwhile where it is read next.
  void encode(const Tile& tile, cpu::ConstRows from, const GroupNumbers& numbers, std::byte* scratch, bool fetches_next) const;

 private:
  bool is_random() const noexcept { return rule_.rounding == cpu::Rounding::kStochastic; }
  // Whether scales are the same numbers to both, and codes need not be made at all.
  bool is_fused() const noexcept {
    return decoder_ && layout_.along_rows && rule_.is_plain() && stored_math_ == arithmetic_dtype(dtype_);
  }
  bool has_codes_beside() const noexcept { return codes_.packed_bits || decoder_; }
  std::int64_t row_bytes(std::int64_t cols) const noexcept { return (has_codes_beside() ? 1 : 0) * padded(cols); }
  std::int64_t word_bytes(std::int64_t cols) const noexcept { return (is_random() ? 4 : 0) * padded(cols); }
  GroupNumbers decoding(const Tile& tile, const GroupNumbers& numbers, std::byte* scratch) const noexcept;
  void fake_row(const std::byte* from, std::int64_t cols, const GroupNumbers& numbers, std::byte* to,
                const std::byte* next) const noexcept;
  void encode_row(const std::byte* from, std::int64_t cols, const GroupNumbers& numbers, const std::uint32_t* random,
                  std::uint8_t* q, const std::byte* next) const noexcept;

  GroupLayout layout_;
  const cpu::QuantizeGroupsKernels& kernels_;
  DType dtype_, stored_math_;
  cpu::CodeRule rule_;
  std::uint64_t seed_;
  const StoredScales& scales_;
  CodeGrid codes_;
  std::optional<Decoder> decoder_;
  Store store_, packed_store_;
};

}  // namespace tersor
