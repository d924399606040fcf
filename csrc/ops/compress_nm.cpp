#include "ops/compress_nm.h"

#include <algorithm>
#include <bit>
#include <cstring>
#include <string>

#include "core/check.h"
#include "core/integers.h"
#include "core/memory.h"
#include "cpu/compress.h"
#include "cpu/prune_nm.h"
#include "cpu/quads.h"
#include "ops/bitmask_views.h"
#include "ops/check_views.h"
#include "ops/loop.h"

namespace tersor {

namespace {

constexpr std::int64_t kNoColumn = -1;

// --- rows through their bits -------------------------------------------------------------------------------------------------

// The bits of one row, in whole words; those behind its last column are 0.
struct RowBits {
  std::uint64_t* words;
  std::int64_t cols;

  std::int64_t word_count() const noexcept { return ceil_div(cols, 64); }
  std::byte* bytes() const noexcept { return reinterpret_cast<std::byte*>(words); }
  // Bits of the last word that are columns.
  std::uint64_t columns_of(std::int64_t word) const noexcept {
    const std::int64_t left = cols - word * 64;
    return left >= 64 ? ~std::uint64_t{0} : (std::uint64_t{1} << left) - 1;
  }
};

// Calls body(row, its items, with the stride to the next row's, its bits, scratch of as many bytes as are asked for).
template <class Body>
void for_each_row(const View& view, Access access, std::int64_t scratch_bytes, Body body) {
  const std::int64_t cols = view.shape[view.ndim - 1], bit_bytes = std::max<std::int64_t>(ceil_div(cols, 512), 1) * 64;
  for_each_block(plan_rows_in_order({{view, Columns::kEach, access}}, view.ndim - 1), Split::kRows, [&](const Block& block) {
    const Scratch scratch(static_cast<std::size_t>(bit_bytes + scratch_bytes));
    const RowBits bits{reinterpret_cast<std::uint64_t*>(scratch.data()), cols};
    for (std::int64_t r = 0; r < block.extent.rows; ++r)
      body(block.first_row + r, cpu::Rows{block.operands[0].row<std::byte>(r), block.operands[0].stride_bytes}, bits,
           scratch.data() + bit_bytes);
  });
}

// Bits that a place within a group of m takes.
int place_bits(int m) noexcept { return static_cast<int>(std::bit_width(static_cast<unsigned>(m - 1))); }

// w[3, 4:8], say: columns of a row.
std::string columns_text(const View& w, std::int64_t row, std::int64_t begin, std::int64_t end) {
  std::string index;
  for (int axis = w.ndim - 2; axis >= 0; --axis) {
    index = std::to_string(row % w.shape[axis]) + ", " + index;
    row /= w.shape[axis];
  }
  return std::string(w.name) + "[" + index + std::to_string(begin) + ":" + std::to_string(end) + "]";
}

// Groups of m columns of which n are stored.
struct Pattern {
  int n, m;
  std::string text() const { return std::to_string(n) + ":" + std::to_string(m); }
};

// compress(row, items, bits, put) puts the stored entries of a row there and writes which these are; it returns the first column of
// a group with too many non-zeros, or kNoColumn. Values that go past the caches are put together in scratch first.
template <class Compress>
void compress_rows(const View& w, Pattern pattern, const View& values, Compress compress) {
  const cpu::CompressKernels& kernels = cpu::compress_kernels();
  const std::int64_t cols = w.shape[w.ndim - 1], stored = values.shape[values.ndim - 1], stored_bytes = stored * item_size(w.dtype);
  const Store store = store_for(w, values);
  const std::int64_t scratch_bytes = store == Store::kStreaming ? stored_bytes : 0;
  FirstWrong wrong;
  for_each_row(w, Access::kRead, scratch_bytes, [&](std::int64_t row, cpu::Rows items, const RowBits& bits, std::byte* scratch) {
    std::byte* const place = values.data + row * stored_bytes;
    std::byte* const put = store == Store::kStreaming ? scratch : place;
    if (const std::int64_t overfull = compress(row, items, bits, put); overfull != kNoColumn)
      return wrong.find(row * cols + overfull);
    if (put != place) kernels.copy(put, place, stored_bytes, store);
  });
  if (wrong.place() == FirstWrong::kNone) return;
  const std::int64_t row = wrong.place() / cols, begin = wrong.place() % cols;
  throw ValueError(std::string(w.name) + " is not " + pattern.text() + ": " +
                   columns_text(w, row, begin, std::min(cols, begin + pattern.m)) + " has more than " + std::to_string(pattern.n) +
                   " nonzero " + (pattern.n == 1 ? "entry" : "entries") + "; prune it with prune_nm(" + w.name + ", " +
                   std::to_string(pattern.n) + ", " + std::to_string(pattern.m) + ")");
}

// write(row, bits) writes which entries are stored.
template <class Write>
void compress_halves(const View& w, cpu::Half half, const View& values, Write write) {
  auto& kernel = cpu::compress_kernels().compress_half[w.dtype];
  const Pattern pattern = half == cpu::Half::kOfPairs ? Pattern{1, 2} : Pattern{2, 4};
  compress_rows(w, pattern, values, [&](std::int64_t row, cpu::Rows items, const RowBits& kept, std::byte* put) {
    const std::int64_t overfull = kernel(items.data, kept.cols, half, kept.words, put);
    if (overfull == kNoColumn) write(row, kept);
    return overfull;
  });
}

// read(row, bits) fills in the bits of stored entries, as many as values has columns; false where it cannot.
template <class Read>
void decompress_rows(const View& values, const View& which, const View& out, Read read) {
  auto& expand = cpu::compress_kernels().expand[out.dtype];
  const std::int64_t stored = values.shape[values.ndim - 1], item_bytes = item_size(out.dtype);
  const Store store = store_for(values, out);
  FirstWrong wrong;
  for_each_row(out, Access::kWrite, 0, [&](std::int64_t row, cpu::Rows items, const RowBits& bits, std::byte*) {
    if (bits.word_count() > 0) bits.words[bits.word_count() - 1] = 0;
    if (!read(row, bits)) return wrong.find(row);
    const std::int64_t first = row * stored;
    expand(values.data + first * item_bytes, values.size() - first, {bits.bytes(), 0}, items, {1, bits.cols}, store);
  });
  if (wrong.place() != FirstWrong::kNone)
    throw ValueError(std::string(which.name) + " does not say for row " + std::to_string(wrong.place()) +
                     " which entries the values are; compress the array again");
}

std::int64_t count_of(const RowBits& bits) noexcept {
  std::int64_t count = 0;
  for (std::int64_t i = 0; i < bits.word_count(); ++i) count += std::popcount(bits.words[i]);
  return count;
}

// --- what is asked of the arguments ----------------------------------------------------------------------------------------------

void require_multiple(const View& w, std::int64_t length, std::int64_t divisor, const char* what) {
  if (length % divisor != 0)
    throw ValueError(std::string(w.name) + " has shape " + shape_text(w) + "; its " + what + " must be a multiple of " +
                     std::to_string(divisor));
}

void require_parts(const char* op, const View& w, const View& values, const View& which) {
  require_same_dtype(w, values);
  require_cpu(op, w);
  for (const View* part : {&values, &which}) {
    require_same_device(w, *part);
    require_contiguous(*part);
    require_no_overlap(*part, w);
  }
  require_no_overlap(which, values);
}

void require_24_bitmask(const char* op, const View& w, const View& values, const View& bits) {
  require_floating(w);
  require_last_axis(w);
  require_multiple(w, w.shape[w.ndim - 1], 4, "last axis");
  require_dtype(bits, {DType::kUInt8});
  require_last(w, values, w.shape[w.ndim - 1] / 2);
  require_last(w, bits, (w.shape[w.ndim - 1] + 7) / 8);
  require_parts(op, w, values, bits);
}

void require_24_cutlass(const char* op, const View& w, const View& values, const View& metadata) {
  require_dtype(w, {DType::kFloat16, DType::kBFloat16, DType::kFloat32});
  if (w.ndim != 2)
    throw ValueError(std::string(w.name) + " has shape " + shape_text(w) + "; the cutlass layout is for two dimensions");
  require_multiple(w, w.shape[0], 32, "first axis");
  require_multiple(w, w.shape[1], w.dtype == DType::kFloat32 ? 16 : 32, "last axis");  // whole pairs of words
  require_dtype(metadata, {DType::kInt16});
  require_last(w, values, w.shape[1] / 2);
  require_last(w, metadata, w.shape[1] * (w.dtype == DType::kFloat32 ? 2 : 1) / 16);
  require_parts(op, w, values, metadata);
}

void require_nm(const char* op, const View& w, int n, int m, const View& values, const View& indices) {
  if (n < 1 || n >= m || m > cpu::kMostGroup)
    throw ValueError("n and m must fulfil 1 <= n < m <= " + std::to_string(cpu::kMostGroup) + ", got " + std::to_string(n) + ":" +
                     std::to_string(m));
  require_floating(w);
  require_last_axis(w);
  require_dtype(indices, {DType::kUInt8});
  const std::int64_t stored = stored_columns(w.shape[w.ndim - 1], n, m);
  require_last(w, values, stored);
  require_last(w, indices, (stored * place_bits(m) + 7) / 8);
  require_parts(op, w, values, indices);
}

}  // namespace

// --- 2:4 as bits -------------------------------------------------------------------------------------------------------------

void compress_24_bitmask(const View& w, const View& values, const View& bits) {
  require_24_bitmask("compress_24", w, values, bits);
  const std::int64_t row_bytes = bits.shape[bits.ndim - 1];
  compress_halves(w, cpu::Half::kOfQuadsToFourth, values, [&](std::int64_t row, const RowBits& kept) {
    std::memcpy(bits.data + row * row_bytes, kept.words, static_cast<std::size_t>(row_bytes));
  });
}

void decompress_24_bitmask(const View& values, const View& bits, const View& out) {
  require_24_bitmask("decompress_24", out, values, bits);
  const std::int64_t row_bytes = bits.shape[bits.ndim - 1];
  decompress_rows(values, bits, out, [&](std::int64_t row, const RowBits& kept) {
    std::memcpy(kept.words, bits.data + row * row_bytes, static_cast<std::size_t>(row_bytes));
    if (kept.word_count() > 0) kept.words[kept.word_count() - 1] &= kept.columns_of(kept.word_count() - 1);
    return count_of(kept) == kept.cols / 2;
  });
}

// --- 2:4 as CUTLASS has it -----------------------------------------------------------------------------------------------------

namespace {

// Metadata as 16-bit words in order, where CUTLASS wants them.
struct Metadata {
  const View& view;

  std::int64_t rows() const noexcept { return view.shape[0]; }
  std::int64_t words() const noexcept { return view.shape[1]; }
  std::byte* place(std::int64_t row, std::int64_t word) const noexcept {
    return view.data + cpu::cutlass_place(row, word, rows()) * static_cast<std::int64_t>(sizeof(std::uint16_t));
  }
  // The codes of 64 places, from a word on; what is beyond the row is 0.
  std::uint64_t read(std::int64_t row, std::int64_t first) const noexcept {
    std::uint64_t codes = 0;
    for (std::int64_t k = 0; k < 4 && first + k < words(); ++k) {
      std::uint16_t word;
      std::memcpy(&word, place(row, first + k), sizeof word);
      codes |= static_cast<std::uint64_t>(word) << (16 * k);
    }
    return codes;
  }
  void write(std::int64_t row, std::int64_t first, std::uint64_t codes) const noexcept {
    for (std::int64_t k = 0; k < 4 && first + k < words(); ++k) {
      const auto word = static_cast<std::uint16_t>(codes >> (16 * k));
      std::memcpy(place(row, first + k), &word, sizeof word);
    }
  }
};

// Groups of four places that 64 places of a row have.
std::uint64_t quads_from(std::int64_t word, std::int64_t words) noexcept {
  const std::int64_t left = words - word;
  return left >= 4 ? cpu::kEachQuad : cpu::kEachQuad & ((std::uint64_t{1} << (16 * left)) - 1);
}

}  // namespace

void compress_24_cutlass(const View& w, const View& values, const View& metadata) {
  require_24_cutlass("compress_24", w, values, metadata);
  const Metadata codes{metadata};
  if (w.dtype == DType::kFloat32)
    return compress_halves(w, cpu::Half::kOfPairs, values, [&](std::int64_t row, const RowBits& kept) {
      for (std::int64_t i = 0; i < kept.word_count(); ++i) {
        codes.write(row, 8 * i, cpu::codes_of_quads(cpu::double_bits(kept.words[i])));
        codes.write(row, 8 * i + 4, cpu::codes_of_quads(cpu::double_bits(kept.words[i] >> 32)));
      }
    });
  compress_halves(w, cpu::Half::kOfQuadsToThird, values, [&](std::int64_t row, const RowBits& kept) {
    for (std::int64_t i = 0; i < kept.word_count(); ++i) codes.write(row, 4 * i, cpu::codes_of_quads(kept.words[i]));
  });
}

void decompress_24_cutlass(const View& values, const View& metadata, const View& out) {
  require_24_cutlass("decompress_24", out, values, metadata);
  const Metadata codes{metadata};
  const bool pairs = out.dtype == DType::kFloat32;
  const auto places = [&](std::int64_t row, std::int64_t word, bool& valid) {
    const std::uint64_t found = codes.read(row, word);
    valid &= !(cpu::invalid_codes(found) & quads_from(word, codes.words()));
    return cpu::keep_of_codes(found) & (quads_from(word, codes.words()) * 0xf);
  };
  decompress_rows(values, metadata, out, [&](std::int64_t row, const RowBits& kept) {
    bool valid = true;
    for (std::int64_t i = 0; i < kept.word_count(); ++i) {
      if (!pairs) {
        kept.words[i] = places(row, 4 * i, valid);
        continue;
      }
      std::uint64_t word = 0;
      for (int half = 0; half < 2; ++half) {
        const std::uint64_t both = 8 * i + 4 * half < codes.words() ? places(row, 8 * i + 4 * half, valid) : 0;
        valid &= both == cpu::double_bits(cpu::halve_bits(both));  // an entry of float32 is two places or none
        word |= cpu::halve_bits(both) << (32 * half);
      }
      kept.words[i] = word;
    }
    return valid;
  });
}

// --- n of m ------------------------------------------------------------------------------------------------------------------

namespace {

// Numbers of a few bits one after the other, least significant first.
class BitWriter {
 public:
  explicit BitWriter(std::byte* to) : to_(to) {}
  void write(unsigned number, int bits) noexcept {
    held_ |= static_cast<std::uint64_t>(number) << count_;
    for (count_ += bits; count_ >= 8; count_ -= 8, held_ >>= 8) *to_++ = static_cast<std::byte>(held_);
  }
  void finish() noexcept {
    if (count_ > 0) *to_ = static_cast<std::byte>(held_);
  }

 private:
  std::byte* to_;
  std::uint64_t held_ = 0;
  int count_ = 0;
};

class BitReader {
 public:
  explicit BitReader(const std::byte* from) : from_(from) {}
  unsigned read(int bits) noexcept {
    for (; count_ < bits; count_ += 8) held_ |= std::to_integer<std::uint64_t>(*from_++) << count_;
    const auto number = static_cast<unsigned>(held_ & ((1u << bits) - 1));
    held_ >>= bits;
    count_ -= bits;
    return number;
  }

 private:
  const std::byte* from_;
  std::uint64_t held_ = 0;
  int count_ = 0;
};

// Up to 32 columns of a row from any one on.
std::uint32_t group_at(const RowBits& bits, std::int64_t col, std::int64_t length) noexcept {
  const std::int64_t word = col / 64;
  const int shift = static_cast<int>(col % 64);
  std::uint64_t group = bits.words[word] >> shift;
  if (shift + length > 64) group |= bits.words[word + 1] << (64 - shift);
  return static_cast<std::uint32_t>(group & ((std::uint64_t{1} << length) - 1));
}
void set_group(const RowBits& bits, std::int64_t col, std::int64_t length, std::uint32_t group) noexcept {
  const std::int64_t word = col / 64;
  const int shift = static_cast<int>(col % 64);
  bits.words[word] |= static_cast<std::uint64_t>(group) << shift;
  if (shift + length > 64) bits.words[word + 1] |= static_cast<std::uint64_t>(group) >> (64 - shift);
}

// The non-zeros of a group, and the last of its zeros until there are n.
std::uint32_t keep_of_group(std::uint32_t nonzero, std::int64_t length, std::int64_t n) noexcept {
  for (std::int64_t missing = n - std::popcount(nonzero), i = length - 1; missing > 0; --i) {
    const std::uint32_t bit = 1u << i;
    missing -= !(nonzero & bit);
    nonzero |= bit;
  }
  return nonzero;
}

}  // namespace

std::int64_t stored_columns(std::int64_t cols, int n, int m) noexcept { return cols / m * n + std::min<std::int64_t>(n, cols % m); }

void compress_nm(const View& w, int n, int m, const View& values, const View& indices) {
  require_nm("compress_nm", w, n, m, values, indices);
  const int width = place_bits(m);
  const std::int64_t row_bytes = indices.shape[indices.ndim - 1];
  auto& kernel = cpu::compress_kernels().compress[w.dtype];
  const std::int64_t stored = values.shape[values.ndim - 1];
  compress_rows(w, {n, m}, values, [&](std::int64_t row, cpu::Rows items, const RowBits& kept, std::byte* put) {
    if (kept.word_count() > 0) kept.words[kept.word_count() - 1] = 0;
    mark_nonzeros(w.dtype, items.data, kept.cols, kept.bytes());
    BitWriter places(indices.data + row * row_bytes);
    for (std::int64_t begin = 0; begin < kept.cols; begin += m) {
      const std::int64_t length = std::min<std::int64_t>(m, kept.cols - begin);
      const std::uint32_t nonzero = group_at(kept, begin, length);
      if (std::popcount(nonzero) > n) return begin;
      const std::uint32_t group = keep_of_group(nonzero, length, std::min<std::int64_t>(n, length));
      set_group(kept, begin, length, group);
      for (std::uint32_t left = group; left; left &= left - 1) places.write(static_cast<unsigned>(std::countr_zero(left)), width);
    }
    places.finish();
    kernel(items, {kept.bytes(), 0}, {1, kept.cols}, put, stored);
    return kNoColumn;
  });
}

void decompress_nm(const View& values, const View& indices, int n, int m, const View& out) {
  require_nm("decompress_nm", out, n, m, values, indices);
  const int width = place_bits(m);
  const std::int64_t row_bytes = indices.shape[indices.ndim - 1];
  decompress_rows(values, indices, out, [&](std::int64_t row, const RowBits& kept) {
    std::memset(kept.words, 0, static_cast<std::size_t>(kept.word_count()) * sizeof(std::uint64_t));
    BitReader places(indices.data + row * row_bytes);
    for (std::int64_t begin = 0; begin < kept.cols; begin += m) {
      const std::int64_t length = std::min<std::int64_t>(m, kept.cols - begin), stored = std::min<std::int64_t>(n, length);
      std::uint32_t group = 0;
      for (std::int64_t i = 0; i < stored; ++i) {
        const unsigned place = places.read(width);
        if (place >= length || group >> place) return false;  // places ascend
        group |= 1u << place;
      }
      set_group(kept, begin, length, group);
    }
    return true;
  });
}

}  // namespace tersor
