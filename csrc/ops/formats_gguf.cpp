#include "ops/formats_gguf.h"

#include <algorithm>
#include <string>

#include "core/check.h"
#include "core/integers.h"
#include "core/memory.h"
#include "core/named.h"
#include "cpu/formats_gguf_k.h"
#include "ops/check_views.h"
#include "ops/grid.h"
#include "ops/tiles.h"

namespace tersor {

namespace {

enum class Kind : std::uint8_t { kQ4_0, kQ4_1, kQ5_0, kQ5_1, kQ8_0, kQ4_K, kQ5_K, kQ6_K };

constexpr Named<Kind> kKinds[] = {{"q4_0", Kind::kQ4_0}, {"q4_1", Kind::kQ4_1}, {"q5_0", Kind::kQ5_0}, {"q5_1", Kind::kQ5_1},
                                  {"q8_0", Kind::kQ8_0}, {"q4_k", Kind::kQ4_K}, {"q5_k", Kind::kQ5_K}, {"q6_k", Kind::kQ6_K}};

struct BlockType {
  std::int64_t cols, bytes;  // of a block
  const cpu::BlockKernels& kernels;
};

BlockType block_type_of(Kind kind) {
  const cpu::FormatsGgufKernels& small = cpu::formats_gguf_kernels();
  const cpu::FormatsGgufKKernels& super = cpu::formats_gguf_k_kernels();
  switch (kind) {
    case Kind::kQ4_0: return {32, 18, small.q4_0};
    case Kind::kQ4_1: return {32, 20, small.q4_1};
    case Kind::kQ5_0: return {32, 22, small.q5_0};
    case Kind::kQ5_1: return {32, 24, small.q5_1};
    case Kind::kQ8_0: return {32, 34, small.q8_0};
    case Kind::kQ4_K: return {256, 144, super.q4_k};
    case Kind::kQ5_K: return {256, 176, super.q5_k};
    default: return {256, 210, super.q6_k};
  }
}

// --- what is asked of the arguments -------------------------------------------------------------------------------------

void require_matrix(const View& view) {
  if (view.ndim != 2) throw ValueError(std::string(view.name) + " has shape " + shape_text(view) + "; it must be a matrix");
}

void require_whole_blocks(const View& w, std::string_view kind, std::int64_t block_cols) {
  const std::int64_t cols = w.shape[1];
  if (cols % block_cols == 0) return;
  throw ValueError(std::string(w.name) + " has " + std::to_string(cols) + " columns, and " + std::string(kind) + " has blocks of " +
                   std::to_string(block_cols) + "; append columns of 0 up to " +
                   std::to_string(ceil_div(cols, block_cols) * block_cols) +
                   (block_cols > 32 && cols % 32 == 0 ? ", or choose a type with blocks of 32" : ""));
}

struct Arrays {
  const View &numbers, &data, &input, &output;
};

void require_arrays(const char* op, const Arrays& arrays) {
  require_floating(arrays.numbers);
  require_dtype(arrays.data, {DType::kUInt8});
  require_matrix(arrays.input);
  require_matrix(arrays.output);
  require_same_device(arrays.input, arrays.output);
  require_cpu(op, arrays.input);
  require_no_overlap(arrays.input, arrays.output);
}

void require_bytes_for(const View& numbers, const View& data, const BlockType& type) {
  require_last(numbers, data, numbers.shape[1] / type.cols * type.bytes);
}

// --- tiles ----------------------------------------------------------------------------------------------------------------

// Numbers of a tile. Of rows that lie dense, a few pages; of others, cache lines of both their rows and their columns.
constexpr std::int64_t kDenseTile = 16384;
constexpr std::int64_t kStridedRows = 128, kStridedCols = 256;

// The matrix as one row.
View one_row(const View& view) noexcept {
  View row = view;
  row.shape[0] = 1;
  row.shape[1] = view.size();
  return row;
}

// Calls body(numbers, blocks, how many, whether they lie in the arrays themselves) for runs of whole blocks.
template <class Body>
void for_each_run(const Arrays& arrays, const BlockType& type, Body body) {
  const bool is_one = arrays.numbers.is_contiguous() && arrays.data.is_contiguous();
  const View of_numbers = is_one ? one_row(arrays.numbers) : arrays.numbers, of_data = is_one ? one_row(arrays.data) : arrays.data;
  const Grid numbers = grid_of(of_numbers, 1), data = grid_of(of_data, 1);
  const bool is_dense = numbers.is_dense() && data.is_dense(), reads_numbers = &arrays.numbers == &arrays.input;
  const std::int64_t rows = of_numbers.shape[0], cols = of_numbers.shape[1];
  const std::int64_t cols_each = std::min(cols, is_dense ? kDenseTile : kStridedCols);
  const std::int64_t rows_each = std::min(rows, is_dense ? std::max<std::int64_t>(1, kDenseTile / cols_each) : kStridedRows);
  const std::int64_t tile_rows = ceil_div(rows, rows_each), run_bytes = cols_each / type.cols * type.bytes;
  const std::int64_t number_bytes = numbers.scratch_bytes(rows_each, cols_each);
  const Tiles tiles{tile_rows * ceil_div(cols, cols_each), rows_each * (cols_each * numbers.item_bytes + run_bytes),
                    number_bytes + data.scratch_bytes(rows_each, run_bytes)};
  for_each_tile(tiles, [&](std::int64_t tile, std::byte* scratch) {
    // Neighbours in a row follow each other where rows are dense, neighbours in a column where these may be.
    const std::int64_t row = (is_one ? 0 : tile % tile_rows) * rows_each, col = (is_one ? tile : tile / tile_rows) * cols_each;
    const std::int64_t count = std::min(cols_each, cols - col), row_count = std::min(rows_each, rows - row);
    const Rectangle part{row, row_count, col, count};
    const Rectangle bytes{row, row_count, col / type.cols * type.bytes, count / type.cols * type.bytes};
    std::byte* const of_bytes = scratch + number_bytes;
    if (reads_numbers)
      numbers.read(part.row, part.rows, part.col, part.cols, scratch);
    else
      data.read(bytes.row, bytes.rows, bytes.col, bytes.cols, of_bytes);
    const cpu::Rows number_rows = numbers.place(part, scratch), byte_rows = data.place(bytes, of_bytes);
    for (std::int64_t r = 0; r < row_count; ++r)
      body(number_rows.row<std::byte>(r), byte_rows.row<std::byte>(r), count / type.cols, is_dense);
    if (reads_numbers)
      data.write(bytes, of_bytes);
    else
      numbers.write(part, scratch);
  });
}

}  // namespace

void encode_gguf(const View& w, std::string_view kind, const View& data) {
  const BlockType type = block_type_of(find_named(kKinds, kind, "kind"));
  const Arrays arrays{w, data, w, data};
  require_arrays("encode_gguf", arrays);
  require_whole_blocks(w, kind, type.cols);
  require_bytes_for(w, data, type);
  if (w.size() == 0) return;
  auto& encode = type.kernels.encode[w.dtype];
  const Store store = store_for(data.size_bytes());
  for_each_run(arrays, type, [&](const std::byte* numbers, std::byte* blocks, std::int64_t count, bool in_place) {
    encode(numbers, count, blocks, in_place ? store : Store::kCached);
  });
}

void decode_gguf(const View& data, std::string_view kind, const View& out) {
  const BlockType type = block_type_of(find_named(kKinds, kind, "kind"));
  const Arrays arrays{out, data, data, out};
  require_arrays("decode_gguf", arrays);
  require_last(data, out, data.shape[1] / type.bytes * type.cols);
  require_bytes_for(out, data, type);
  if (out.size() == 0) return;
  auto& decode = type.kernels.decode[out.dtype];
  const Store store = store_for(out.size_bytes());
  for_each_run(arrays, type, [&](std::byte* numbers, const std::byte* blocks, std::int64_t count, bool in_place) {
    decode(blocks, count, numbers, in_place ? store : Store::kCached);
  });
}

}  // namespace tersor
