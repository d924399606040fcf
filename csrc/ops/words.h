#pragma once
// Codes of a few bits in bytes or words: how a row of them lies, and words that hold a code of each of several rows.

#include <algorithm>
#include <array>
#include <cstdint>

#include "core/dtype.h"
#include "core/integers.h"
#include "core/view.h"
#include "cpu/pack.h"
#include "cpu/rows.h"
#include "ops/grid.h"
#include "ops/pack.h"

namespace tersor {

// Where each code comes from, and of how many codes in a row none leaves its run.
struct PlacesOfCodes {
  std::array<std::uint8_t, cpu::kArrangedCodes> places;
  int block;
};

// How codes lie in words, one after the other.
struct WordLayout {
  int bits, word_bytes, per_word;  // per_word: 0 where codes are one stream
  PlacesOfCodes order;
  bool is_arranged;   // in another order than the lowest first
  std::uint8_t flip;  // the highest bit of codes where they are stored with an offset

  WordLayout(const BitLayout& layout, DType word) noexcept;

  // Codes that are stored, the last ones of a row perhaps only to fill a run.
  std::int64_t stored(std::int64_t cols) const noexcept;
  std::int64_t bytes(std::int64_t cols) const noexcept;
  // Codes after which a word begins.
  std::int64_t codes_in_whole_words() const noexcept { return per_word ? per_word : kCodesInWholeWords; }
  static constexpr std::int64_t kCodesInWholeWords = 32;  // of any number of bits
};

// The view with an axis and the last one exchanged.
View with_last(View view, int axis) noexcept;

// Whether `packed` can hold the codes q, either of which may be the input.
void require_words(const char* op, const View& q, const BitLayout& layout, const View& packed, const View& input);

// Returns the bits that codes set, with the bias that makes all that fit non-negative. What no code takes in the last word is 0.
std::uint8_t pack_row(const std::uint8_t* q, std::int64_t cols, const WordLayout& layout, std::uint8_t bias, std::uint8_t* packed,
                      Store store);
void unpack_row(const std::uint8_t* packed, std::int64_t cols, const WordLayout& layout, bool is_signed, std::uint8_t* q,
                Store store);

// Codes of 4 bits may lie across rows: a word holds one of each of kRowsOfWord.
inline constexpr int kRowsOfWord = 8;
bool can_lie_across(const WordLayout& layout, std::int64_t rows) noexcept;

// A matrix of codes as an array of words, read and written as rows that are packed each for itself.
class WordGrid {
 public:
  enum class Run : std::uint8_t { kAlongRows, kAcrossRows };
  WordGrid(const Grid& words, const WordLayout& layout, Run run) noexcept;

  // How each packed row lies.
  const WordLayout& of_rows() const noexcept { return of_rows_; }
  // Of words that are adjacent from one row to the next: the rows before the first whole cache line of them.
  std::int64_t rows_to_line() const noexcept;
  // Rectangles are of codes; they begin at a word, and end at one or with the matrix.
  std::int64_t scratch_bytes(std::int64_t rows, std::int64_t cols) const noexcept;
  cpu::ConstRows read(Rectangle codes, std::byte* scratch) const;
  cpu::Rows place(Rectangle codes, std::byte* scratch) const noexcept;
  void write(Rectangle codes, std::byte* scratch) const;

 private:
  Rectangle words_of(Rectangle codes) const noexcept;
  // Of rectangles across rows, behind the words in scratch.
  cpu::Rows nibbles_of(Rectangle codes, std::byte* scratch) const noexcept;

  Grid words_;
  WordLayout layout_, of_rows_;
  bool across_;
};

// Rows cut into bands of so many, which begin with a cache line of words where rows can.
class RowBands {
 public:
  RowBands(const WordGrid& words, std::int64_t rows, std::int64_t rows_each) noexcept;
  std::int64_t count() const noexcept { return ceil_div(rows_ + skew_, rows_each_); }
  struct Band {
    std::int64_t row, rows;
  };
  Band operator[](std::int64_t index) const noexcept {
    const std::int64_t begin = std::max<std::int64_t>(index * rows_each_ - skew_, 0);
    return {begin, std::min((index + 1) * rows_each_ - skew_, rows_) - begin};
  }

 private:
  std::int64_t rows_, rows_each_, skew_;
};

}  // namespace tersor
