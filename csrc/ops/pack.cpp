#include "ops/pack.h"

#include <atomic>
#include <cstring>
#include <string>

#include "core/check.h"
#include "core/integers.h"
#include "core/memory.h"
#include "cpu/kernels.h"
#include "ops/check_views.h"
#include "ops/grid.h"
#include "ops/loop.h"

namespace tersor {

namespace {

void require_codes_and_packed(const char* op, const View& q, const View& packed, const View& input) {
  require_dtype(q, {DType::kInt8});
  require_dtype(packed, {DType::kUInt8});
  require_packed_shape(q, packed, Columns::kNibbles, input);
  require_same_device(q, packed);
  require_cpu(op, q);
  require_no_overlap(q, packed);
}

}  // namespace

void pack_int4(const View& q, const View& packed) {
  require_codes_and_packed("pack_int4", q, packed, q);
  auto& kernel = cpu::pack_kernels().pack_int4;
  const Store store = store_for(q, packed);
  std::atomic<bool> all_fit{true};
  for_each_block(plan_elements({{q}, {packed, Columns::kNibbles, Access::kWrite}}), Split::kColumns, [&](const Block& block) {
    if (!kernel(block.operands[0], block.operands[1], block.extent, store)) all_fit.store(false, std::memory_order_relaxed);
  });
  if (!all_fit)
    throw ValueError(std::string(q.name) + " holds values outside [-8, 7], which 4 bits cannot; clip or rescale it first");
}

void unpack_int4(const View& packed, const View& q) {
  require_codes_and_packed("unpack_int4", q, packed, packed);
  auto& kernel = cpu::pack_kernels().unpack_int4;
  const Store store = store_for(packed, q);
  for_each_block(plan_elements({{q, Columns::kEach, Access::kWrite}, {packed, Columns::kNibbles}}), Split::kColumns,
                 [&](const Block& block) { kernel(block.operands[1], block.operands[0], block.extent, store); });
}

// --- any number of bits -----------------------------------------------------------------------------------------------------

namespace {

struct WordLayout {
  int bits, word_bytes, per_word;  // per_word: 0 where codes are one stream

  WordLayout(BitLayout layout, DType word) noexcept
      : bits(layout.bits),
        word_bytes(static_cast<int>(item_size(word))),
        per_word(layout.padded && 8 * word_bytes % bits != 0 ? 8 * word_bytes / bits : 0) {}

  std::int64_t bytes(std::int64_t cols) const noexcept {
    return (per_word ? ceil_div(cols, per_word) : ceil_div(cols * bits, 8 * word_bytes)) * word_bytes;
  }
};

// The bits that codes set, with the bias that makes all that fit non-negative.
std::uint8_t pack_words(const std::uint8_t* q, std::int64_t cols, WordLayout layout, std::uint8_t bias, std::uint8_t* packed) {
  std::uint8_t found = 0;
  for (std::int64_t i = 0; i < cols; i += layout.per_word, packed += layout.word_bytes) {
    std::uint32_t word = 0;
    for (int k = 0; k < layout.per_word && i + k < cols; ++k) {
      found |= static_cast<std::uint8_t>(q[i + k] + bias);
      word |= (q[i + k] & ((1u << layout.bits) - 1)) << (k * layout.bits);
    }
    std::memcpy(packed, &word, static_cast<std::size_t>(layout.word_bytes));
  }
  return found;
}

void unpack_words(const std::uint8_t* packed, std::int64_t cols, WordLayout layout, bool is_signed, std::uint8_t* q) {
  const unsigned sign = is_signed ? 1u << (layout.bits - 1) : 0;
  for (std::int64_t i = 0; i < cols; i += layout.per_word, packed += layout.word_bytes) {
    std::uint32_t word = 0;
    std::memcpy(&word, packed, static_cast<std::size_t>(layout.word_bytes));
    for (int k = 0; k < layout.per_word && i + k < cols; ++k)
      q[i + k] = static_cast<std::uint8_t>(((word >> (k * layout.bits) & ((1u << layout.bits) - 1)) ^ sign) - sign);
  }
}

void require_bits(const char* op, const View& q, BitLayout layout, const View& packed, const View& input) {
  if (layout.bits < 1 || layout.bits > 8) throw ValueError("bits must lie in [1, 8], got " + std::to_string(layout.bits));
  require_dtype(q, {DType::kInt8, DType::kUInt8});
  require_dtype(packed, {DType::kUInt8, DType::kInt32});
  require_last_axis(input);
  require_last(q, packed, WordLayout(layout, packed.dtype).bytes(q.shape[q.ndim - 1]) / item_size(packed.dtype));
  require_same_device(q, packed);
  require_cpu(op, q);
  require_no_overlap(q, packed);
}

// Calls body(codes, count, where they lie packed) for rows, or parts of rows.
template <class Body>
void for_each_run(const View& q, const View& packed, WordLayout layout, Access packed_access, Body body) {
  View codes = q;
  const std::int64_t cols = q.shape[q.ndim - 1];
  int first_col = q.ndim - 1;
  // No row ends within a word: all are one.
  if (q.is_contiguous() && packed.is_contiguous() && !layout.per_word && cols * layout.bits == 8 * layout.bytes(cols)) {
    codes.ndim = 1;
    codes.shape[0] = q.size();
    codes.stride_bytes[0] = 1;
    first_col = 0;
  }
  const Grid words = grid_of(packed, first_col);
  const Access access = packed_access == Access::kRead ? Access::kWrite : Access::kRead;
  for_each_block(plan_rows_in_order({{codes, Columns::kEach, access}}, codes.ndim - 1),
                 layout.per_word ? Split::kRows : Split::kColumns, [&](const Block& block) {
                   const std::int64_t count = block.extent.cols, run = layout.bytes(count) / layout.word_bytes;
                   const Scratch scratch(static_cast<std::size_t>(words.scratch_bytes(1, run)));
                   for (std::int64_t r = 0; r < block.extent.rows; ++r) {
                     const Rectangle part{block.first_row + r, 1, block.first_col * layout.bits / (8 * layout.word_bytes), run};
                     if (packed_access == Access::kRead) words.read(part.row, 1, part.col, run, scratch.data());
                     body(block.operands[0].row<std::uint8_t>(r), count, words.place(part, scratch.data()).row<std::uint8_t>(0));
                     if (packed_access == Access::kWrite) words.write(part, scratch.data());
                   }
                 });
}

}  // namespace

void pack_bits(const View& q, BitLayout layout, const View& packed) {
  require_bits("pack_bits", q, layout, packed, q);
  if (q.size() == 0) return;
  const WordLayout words(layout, packed.dtype);
  const bool is_signed = q.dtype == DType::kInt8;
  const auto bias = static_cast<std::uint8_t>(is_signed ? 1 << (layout.bits - 1) : 0);
  std::atomic<std::uint8_t> found{0};
  for_each_run(q, packed, words, Access::kWrite, [&](const std::uint8_t* codes, std::int64_t count, std::uint8_t* to) {
    std::memset(to + words.bytes(count) - words.word_bytes, 0, static_cast<std::size_t>(words.word_bytes));  // what no code takes
    const std::uint8_t of_run = words.per_word ? pack_words(codes, count, words, bias, to)
                                               : cpu::pack_kernels().pack_bits(codes, count, layout.bits, bias, to);
    found.fetch_or(of_run, std::memory_order_relaxed);
  });
  if (found >> layout.bits)
    throw ValueError(std::string(q.name) + " holds values outside [" + std::to_string(-bias) + ", " +
                     std::to_string((1 << layout.bits) - 1 - bias) + "], which " + std::to_string(layout.bits) + " bits of " +
                     name_of(q.dtype) + " cannot; clip or rescale it first");
}

void unpack_bits(const View& packed, BitLayout layout, const View& q) {
  require_bits("unpack_bits", q, layout, packed, packed);
  if (q.size() == 0) return;
  const WordLayout words(layout, packed.dtype);
  const bool is_signed = q.dtype == DType::kInt8;
  for_each_run(q, packed, words, Access::kRead, [&](std::uint8_t* codes, std::int64_t count, const std::uint8_t* from) {
    if (words.per_word)
      unpack_words(from, count, words, is_signed, codes);
    else
      cpu::pack_kernels().unpack_bits(from, count, layout.bits, is_signed, codes);
  });
}

}  // namespace tersor
