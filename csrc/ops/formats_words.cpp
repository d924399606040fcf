#include "ops/formats_words.h"

#include <algorithm>
#include <numeric>

#include "core/check.h"
#include "ops/check_views.h"
#include "ops/loop.h"
#include "ops/quantize_checks.h"
#include "ops/quantize_codes.h"
#include "ops/words.h"

namespace tersor {

namespace {

// The tiles of a matrix: each begins with a group and with a word, or lies within the only group of its rows.
struct WordTiles {
  std::int64_t rows_each, cols_each;

  WordTiles(const GroupLayout& groups, const WordLayout& words, WordGrid::Run run) noexcept {
    const std::int64_t unit = words.codes_in_whole_words();
    const std::int64_t whole = groups.count == 1 ? unit : std::lcm(groups.size, unit);
    cols_each = whole <= kMostCols ? std::max<std::int64_t>(kCols / whole, 1) * whole : groups.length;
    const std::int64_t words_each = cols_each <= kMostCols ? kLineWords : 1;
    rows_each = run == WordGrid::Run::kAcrossRows ? 2 * words_each * kRowsOfWord : 8 * words_each;
  }

 private:
  // Words of a few lines in either direction, in L2 together with the packed rows that they become. Half as many columns, or twice
  // as many rows, take 5 to 15 % more time.
  static constexpr std::int64_t kCols = 2048, kMostCols = 4096, kLineWords = 16;
};

// The codes of out's entries, for what is checked of them.
View codes_like(const View& out) noexcept {
  View codes = out;
  codes.dtype = DType::kUInt8;
  return codes;
}

// Rows of a tile as numbers.
class RowDecoder {
 public:
  RowDecoder(const GroupLayout& groups, const WordLayout& rows, const StoredScales& scales, const Decoder& decoder,
             std::int64_t math_bytes, std::int64_t cols_each) noexcept
      : groups_(groups),
        rows_(rows),
        scales_(scales),
        decoder_(decoder),
        math_bytes_(math_bytes),
        groups_each_(ceil_div(cols_each, groups.size)),
        code_bytes_(padded(cols_each)) {}

  std::int64_t scratch_bytes() const noexcept { return GroupNumbers::bytes(groups_each_, math_bytes_) + code_bytes_; }

  // The columns from `col` on of a row.
  void decode(const std::uint8_t* packed, std::int64_t row, std::int64_t col, std::int64_t cols, std::byte* to,
              std::byte* scratch) const {
    const GroupNumbers numbers(scratch + code_bytes_, groups_each_, math_bytes_);
    const std::int64_t first = row * groups_.count + col / groups_.size;
    scales_.load(numbers, first, ceil_div(cols, groups_.size));
    if (row + kRowsAhead < groups_.outer) scales_.prefetch(first + kRowsAhead * groups_.count);
    if (!rows_.per_word && !rows_.is_arranged) return decoder_.decode_packed_row(packed, cols, numbers, to, scratch);
    auto* const codes = reinterpret_cast<std::uint8_t*>(scratch);
    unpack_row(packed, cols, rows_, false, codes, Store::kCached);
    decoder_.decode_row(codes, cols, numbers, to);
  }

 private:
  static constexpr std::int64_t kRowsAhead = 4;  // whose scales lie on a line of their own

  const GroupLayout& groups_;
  const WordLayout& rows_;
  const StoredScales& scales_;
  const Decoder& decoder_;
  std::int64_t math_bytes_, groups_each_, code_bytes_;
};

}  // namespace

void decode_words(const View& words, const BitLayout& layout, std::int64_t group_size, const View& scale, const View* zero_point,
                  const View& out) {
  const GroupAxis groups{1, group_size};
  const CodeFormat format{layout.bits, zero_point == nullptr, false};
  require_floating(out);
  require_groups(groups, format);
  require_words("decode", codes_like(out), layout, words, words);
  require_scales(out, groups, format, scale, zero_point);
  for (const View* in : {&words, &scale, zero_point})
    if (in) require_no_overlap(*in, out);
  if (out.size() == 0) return;
  const WordLayout of_words(layout, words.dtype);
  const WordGrid::Run run = layout.axis == 1 ? WordGrid::Run::kAlongRows : WordGrid::Run::kAcrossRows;
  if (run == WordGrid::Run::kAcrossRows && !can_lie_across(of_words, out.shape[0]))
    throw ValueError("codes across rows must have 4 bits, in int32 words, and rows come in eights");
  const GroupLayout of_groups = layout_of(out, groups);
  Grid grid = grid_of(words, 1);
  grid.reads_on = true;
  const WordGrid from(grid, of_words, run);
  const Grid to = grid_of(out, 1);
  const DType math = arithmetic_dtype(scale.dtype);
  const StoredScales scales(math, scale, zero_point, format, Access::kRead);
  const Decoder decoder(of_groups, math, format, out.dtype, to.is_dense() ? store_for(words, out) : Store::kCached);
  const WordTiles cut(of_groups, of_words, run);
  const std::int64_t rows = of_groups.outer, cols = of_groups.length, cols_each = std::min(cut.cols_each, cols);
  const RowDecoder row_decoder(of_groups, from.of_rows(), scales, decoder, item_size(math), cols_each);
  const std::int64_t number_bytes = to.scratch_bytes(cut.rows_each, cols_each), row_bytes = row_decoder.scratch_bytes();
  const RowBands bands(from, rows, cut.rows_each);
  const Tiles tiles{bands.count() * ceil_div(cols, cut.cols_each), cut.rows_each * cols_each * item_size(out.dtype),
                    number_bytes + row_bytes + from.scratch_bytes(cut.rows_each, cols_each)};
  for_each_tile(tiles, [&](std::int64_t tile, std::byte* scratch) {
    const RowBands::Band band = bands[tile % bands.count()];
    const std::int64_t col = tile / bands.count() * cut.cols_each;
    const Rectangle part{band.row, band.rows, col, std::min(cut.cols_each, cols - col)};
    const cpu::ConstRows packed = from.read(part, scratch + number_bytes + row_bytes);
    const cpu::Rows numbers = to.place(part, scratch);
    for (std::int64_t r = 0; r < part.rows; ++r)
      row_decoder.decode(packed.row<std::uint8_t>(r), band.row + r, col, part.cols, numbers.row<std::byte>(r),
                         scratch + number_bytes);
    to.write(part, scratch);
  });
}

}  // namespace tersor
