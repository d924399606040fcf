// matmul: rows of x times a weight whose zeros are left out. The items of a row of the weight are expanded into lanes, 16 columns
// at a time, and meet those columns of several rows of x; several rows of the weight go side by side, so that no addition waits for
// the one before it, and so that the loads of x are shared.
//
// Where registers are few, many rows of x meet strips of the weight that are expanded first.
//
// A lane adds up its products over kMatmulBlock columns, blocks are added in order, lanes go down the fixed tree: what a row of x
// gives depends neither on the rows beside it nor on those of the weight.

#include "cpu/matmul.h"
#include "cpu/map.h"
#include "cpu/storage.h"

namespace tersor::cpu::TERSOR_LEVEL {

namespace {

// Registers for sums: half of those that there are, so that items and x fit the others.
constexpr int kSumRegisters = kVectorBytes == 32 ? 8 : 16;
// Of the weight: more rows side by side are more streams than Zen 3 fetches ahead of use, and pointers that find no register.
constexpr int kMostRows = kVectorBytes == 32 ? 2 : kMatmulRows;

// How many rows of x, of the `width` that are there, and how many of the weight meet in one go. In float64 at least two rows of the
// weight: the lines of 8 rows of x come from L2, and one row of the weight alone would wait for them.
template <class Math>
constexpr int batch_for(int width) noexcept {
  constexpr int most = kSumRegisters / Lanes<Math>::kRegisters / (sizeof(Math) == 8 ? 2 : 1);
  return width < most ? width : most;
}
template <class Math>
constexpr int rows_for(int batch) noexcept {
  const int most = kSumRegisters / Lanes<Math>::kRegisters / batch;
  return most < kMostRows ? most : kMostRows;
}

// What expanding may touch: the items alone, or whole vectors of them.
enum class Reach : std::uint8_t { kItems, kVectors };

template <Reach reach, class Storage>
TERSOR_INLINE Lanes<typename Storage::Math> expand(const typename Storage::Bits* from, std::uint32_t bits) noexcept {
  if constexpr (reach == Reach::kItems)
    return Storage::widen(expand_load(from, bits));
  else if constexpr (Storage::kDType == DType::kBFloat16)
    return bit_cast<float>(expand_load_high(from, bits));
  else
    return Storage::widen(expand_load_ahead(from, bits));
}

// --- x -------------------------------------------------------------------------------------------------------------------------

template <class Storage, class Math>
void pack_row(const std::byte* x, std::int64_t cols, int width, int place, std::byte* panel) noexcept {
  const auto* from = reinterpret_cast<const typename Storage::Bits*>(x);
  auto* to = reinterpret_cast<Math*>(panel) + place * kLanes;
  const auto widen = [](auto bits) TERSOR_LAMBDA { return convert<Math>(Storage::widen(bits)); };
  for (std::int64_t i = 0; i < matmul_padded(cols); i += kLanes, to += width * kLanes) {
    if (i + kLanes <= cols)
      store(to, widen(load(from + i)));
    else if (i < cols)
      store(to, widen(load(from + i, Partial{static_cast<int>(cols - i)})));
    else
      store(to, splat(Math{0}));
  }
}

template <class Storage, class Math>
void write_sums(const std::byte* sums, std::byte* y, std::int64_t count) noexcept {
  const auto* from = reinterpret_cast<const Math*>(sums);
  map_few(reinterpret_cast<typename Storage::Bits*>(y), 0, count,
          [=](std::int64_t i, auto lanes) TERSOR_LAMBDA { return narrow_to<Storage>(load(from + i, lanes)); });
}

// --- the product ---------------------------------------------------------------------------------------------------------------

// GCC 12 takes the size of an array, in a template, for a conversion.
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wsign-conversion"

// Rows of the weight side by side: where each one's next items lie, and its bits.
template <class Storage, int kRows>
struct Weights {
  const typename Storage::Bits* next[kRows];
  const std::uint8_t* bits[kRows];
};

template <class Math, int kRows, int kBatch>
struct Sums {
  Lanes<Math> at[kRows][kBatch];
  TERSOR_INLINE void clear() noexcept {
    for (auto& row : at)
      for (auto& sum : row) sum = splat(Math{0});
  }
};

// Columns 16 k to 16 k + 15 of a word of 64. The places of its four groups of items are counted from the word's first one, not each
// from the one before, so that loads do not wait for one another.
template <Reach reach, class Storage>
TERSOR_INLINE Lanes<typename Storage::Math> expand_group(const typename Storage::Bits* next, std::uint64_t word, int k) noexcept {
  const auto* from = next + __builtin_popcountll(word & ((std::uint64_t{1} << (16 * k)) - 1));
  // One stream a row, a line at a time where 16 items are less: 1.25 ns for 16 columns against 1.47 without, where the bytes alone
  // take 1.1.
  if (reach == Reach::kVectors && k * kLanes * static_cast<int>(sizeof *from) % 64 == 0)
    prefetch(reinterpret_cast<const char*>(from) + kPrefetchBytes);
  return expand<reach, Storage>(from, static_cast<std::uint32_t>(word >> (16 * k)) & 0xffff);
}

// Adds the products of a word of 64 columns.
template <Reach reach, class Storage, int kRows, int kBatch>
TERSOR_INLINE void add_word(Weights<Storage, kRows>& weights, const std::uint64_t (&words)[kRows], const typename Storage::Math* x,
                            std::int64_t width, Sums<typename Storage::Math, kRows, kBatch>& sums) noexcept {
  using Math = typename Storage::Math;
#pragma GCC unroll 4
  for (int k = 0; k < 4; ++k, x += width * kLanes) {
    Lanes<Math> items[kRows];
#pragma GCC unroll 8
    for (int r = 0; r < kRows; ++r) items[r] = expand_group<reach, Storage>(weights.next[r], words[r], k);
#pragma GCC unroll 8
    for (int b = 0; b < kBatch; ++b) {
      const Lanes<Math> columns = load(x + b * kLanes);
#pragma GCC unroll 8
      for (int r = 0; r < kRows; ++r) sums.at[r][b] = mul_add(items[r], columns, sums.at[r][b]);
    }
  }
#pragma GCC unroll 8
  for (int r = 0; r < kRows; ++r) weights.next[r] += __builtin_popcountll(words[r]);
}

// Some rows of the weight times some of the `width` rows of x; y[b * stride + r]. Gives back where the items of each row ended.
template <Reach reach, class Storage, int kRows, int kBatch>
[[gnu::noinline]] Weights<Storage, kRows> multiply_tile(Weights<Storage, kRows> weights, std::int64_t cols,
                                                        const typename Storage::Math* x, std::int64_t width,
                                                        typename Storage::Math* y, std::int64_t stride) noexcept {
  using Math = typename Storage::Math;
  Sums<Math, kRows, kBatch> total;
  total.clear();
  for (std::int64_t begin = 0; begin < cols; begin += kMatmulBlock) {
    const std::int64_t end = begin + kMatmulBlock < cols ? begin + kMatmulBlock : cols;
    Sums<Math, kRows, kBatch> sums;
    sums.clear();
    std::uint64_t words[kRows];
    std::int64_t i = begin;
    for (; i + 64 <= end; i += 64) {
#pragma GCC unroll 8
      for (int r = 0; r < kRows; ++r) std::memcpy(&words[r], weights.bits[r] + i / 8, sizeof words[r]);
      add_word<reach>(weights, words, x + i * width, width, sums);
    }
    if (i < end) {
      for (int r = 0; r < kRows; ++r) words[r] = load_last_bits(weights.bits[r] + i / 8, end - i);
      add_word<reach>(weights, words, x + i * width, width, sums);
    }
    for (int r = 0; r < kRows; ++r)
      for (int b = 0; b < kBatch; ++b) total.at[r][b] = total.at[r][b] + sums.at[r][b];
  }
  for (int r = 0; r < kRows; ++r)
    for (int b = 0; b < kBatch; ++b) y[b * stride + r] = reduce_sum(total.at[r][b]);
  return weights;
}

// --- the product of many rows, where registers are few ---------------------------------------------------------------------------

// With 8 registers for sums, 16 lanes of 8 rows of x do not fit: each row of the weight would be expanded several times, and the
// panel of x pass through L2 for each. So some rows of the weight are expanded into L1, a strip of columns at a time, and meet x
// there in tiles whose lanes are one register. In a lane the products are the same, in the same order.
constexpr bool kExpandsFirst = kVectorBytes == 32;
constexpr int kMostWidth = kExpandsFirst ? 16 : 8;
static_assert(kMostWidth <= kMatmulWidth);
constexpr int kStripRows = 4;
constexpr int kTileWidth = 2;  // 4 x 2 sums in registers hide the latency of an addition, and share 6 loads

template <class Math>
inline constexpr int kStripCols = 1024 / static_cast<int>(sizeof(Math));
static_assert(kMatmulBlock % kStripCols<float> == 0 && kMatmulBlock % kStripCols<double> == 0);

template <class Math>
using Strip = Math[kStripRows][kStripCols<Math>];
template <class Math, int kWidth>
using LaneSums = Math[kStripRows][kWidth][kLanes];

// Expands the columns [begin, end).
template <class Storage>
TERSOR_INLINE void expand_strip(Weights<Storage, kStripRows>& weights, std::int64_t begin, std::int64_t end,
                                Strip<typename Storage::Math>& strip) noexcept {
  for (std::int64_t i = begin; i < end; i += 64)
#pragma GCC unroll 4
    for (int r = 0; r < kStripRows; ++r) {
      const std::uint64_t word =
          end - i >= 64 ? load_bits_64(weights.bits[r], i) : load_last_bits(weights.bits[r] + i / 8, end - i);
#pragma GCC unroll 4
      for (int k = 0; k < 4; ++k)
        store(strip[r] + (i - begin) + k * kLanes, expand_group<Reach::kVectors, Storage>(weights.next[r], word, k));
      weights.next[r] += __builtin_popcountll(word);
    }
}

// Adds the products of some columns, one register of the lanes of kTileWidth rows of x from row b on.
template <class Math, int kWidth>
TERSOR_INLINE void add_tile(const Strip<Math>& strip, std::int64_t cols, const Math* x, int b, int lane,
                            LaneSums<Math, kWidth>& sums) noexcept {
  constexpr int kPart = kVectorBytes / static_cast<int>(sizeof(Math));
  Lanes<Math, kPart> at[kStripRows][kTileWidth];
  for (int r = 0; r < kStripRows; ++r)
    for (int j = 0; j < kTileWidth; ++j) at[r][j] = load<kPart>(sums[r][b + j] + lane);
  for (std::int64_t i = 0; i < cols; i += kLanes) {
    Lanes<Math, kPart> columns[kTileWidth];
    for (int j = 0; j < kTileWidth; ++j) columns[j] = load<kPart>(x + i * kWidth + (b + j) * kLanes + lane);
#pragma GCC unroll 4
    for (int r = 0; r < kStripRows; ++r) {
      const auto items = load<kPart>(strip[r] + i + lane);
      for (int j = 0; j < kTileWidth; ++j) at[r][j] = mul_add(items, columns[j], at[r][j]);
    }
  }
  for (int r = 0; r < kStripRows; ++r)
    for (int j = 0; j < kTileWidth; ++j) store(sums[r][b + j] + lane, at[r][j]);
}

// As multiply_tile, for all of a panel.
template <class Storage, int kWidth>
[[gnu::noinline]] Weights<Storage, kStripRows> multiply_strips(Weights<Storage, kStripRows> weights, std::int64_t cols,
                                                               const typename Storage::Math* x, typename Storage::Math* y,
                                                               std::int64_t stride) noexcept {
  using Math = typename Storage::Math;
  constexpr int kPart = kVectorBytes / static_cast<int>(sizeof(Math));
  alignas(64) Strip<Math> strip;
  alignas(64) LaneSums<Math, kWidth> total = {};
  for (std::int64_t begin = 0; begin < cols; begin += kMatmulBlock) {
    const std::int64_t end = begin + kMatmulBlock < cols ? begin + kMatmulBlock : cols;
    alignas(64) LaneSums<Math, kWidth> sums = {};
    for (std::int64_t i = begin; i < end; i += kStripCols<Math>) {
      const std::int64_t stop = i + kStripCols<Math> < end ? i + kStripCols<Math> : end;
      expand_strip<Storage>(weights, i, stop, strip);
      for (int b = 0; b < kWidth; b += kTileWidth)
        for (int lane = 0; lane < kLanes; lane += kPart)
          add_tile<Math, kWidth>(strip, matmul_padded(stop - i), x + i * kWidth, b, lane, sums);
    }
    for (int r = 0; r < kStripRows; ++r)
      for (int b = 0; b < kWidth; ++b) store(total[r][b], load(total[r][b]) + load(sums[r][b]));
  }
  for (int r = 0; r < kStripRows; ++r)
    for (int b = 0; b < kWidth; ++b) y[b * stride + r] = reduce_sum(load(total[r][b]));
  return weights;
}

// --- panels ----------------------------------------------------------------------------------------------------------------------

// A panel of kWidth rows of x times rows of the weight.
template <class Storage, int kWidth>
class Panel {
  using Math = typename Storage::Math;
  static constexpr int kBatch = batch_for<Math>(kWidth);
  static constexpr bool kByStrips = kExpandsFirst && kWidth >= 8;
  static_assert(kWidth % kBatch == 0 && (!kByStrips || kWidth % kTileWidth == 0));
  static constexpr int kRows = kByStrips ? kStripRows : rows_for<Math>(kBatch);

 public:
  TERSOR_INLINE Panel(const BitmaskRows& w, Extent extent, const Math* x, Math* y) noexcept
      : w_(w), extent_(extent), x_(x), y_(y) {}

  TERSOR_INLINE std::int64_t multiply() noexcept {
    std::int64_t row = 0;
    // Were all bits set, even the last of these rows would end a vector before the values do: nothing need be known of its bits.
    while (row + kRows <= extent_.rows && w_.starts[row + kRows - 1] + extent_.cols + kLanes <= w_.value_count) {
      multiply_rows<Reach::kVectors, kRows>(row);
      row += kRows;
    }
    for (; row < extent_.rows; ++row) {
      if (w_.starts[row] + extent_.cols + kLanes <= w_.value_count)
        multiply_rows<Reach::kVectors, 1>(row);
      else if (count_bits(w_.bits.row<std::uint8_t>(row), extent_.cols) == w_.starts[row + 1] - w_.starts[row])
        multiply_rows<Reach::kItems, 1>(row);
      else
        find_wrong(row);
    }
    return first_wrong_;
  }

 private:
  template <Reach reach, int kCount>
  TERSOR_INLINE void multiply_rows(std::int64_t row) noexcept {
    const auto* values = reinterpret_cast<const typename Storage::Bits*>(w_.values);
    Weights<Storage, kCount> weights, ends;
    for (int r = 0; r < kCount; ++r) {
      weights.next[r] = values + w_.starts[row + r];
      weights.bits[r] = w_.bits.row<std::uint8_t>(row + r);
    }
    if constexpr (kByStrips && kCount == kStripRows)
      ends = multiply_strips<Storage, kWidth>(weights, extent_.cols, x_, y_ + row, extent_.rows);
    else
      for (int b = 0; b < kWidth; b += kBatch)
        ends = multiply_tile<reach, Storage, kCount, kBatch>(weights, extent_.cols, x_ + b * kLanes, kWidth,
                                                             y_ + b * extent_.rows + row, extent_.rows);
    for (int r = 0; r < kCount; ++r)
      if (ends.next[r] != values + w_.starts[row + r + 1]) find_wrong(row + r);
  }

  TERSOR_INLINE void find_wrong(std::int64_t row) noexcept {
    if (first_wrong_ < 0) first_wrong_ = row;
  }

  const BitmaskRows w_;
  const Extent extent_;
  const Math* x_;
  Math* y_;
  std::int64_t first_wrong_ = -1;
};

#pragma GCC diagnostic pop

template <class Storage>
std::int64_t multiply_bitmask(const BitmaskRows& w, Extent extent, const std::byte* panel, int width, std::byte* sums) noexcept {
  const auto* x = reinterpret_cast<const typename Storage::Math*>(panel);
  auto* y = reinterpret_cast<typename Storage::Math*>(sums);
  switch (width) {
    case 1: return Panel<Storage, 1>(w, extent, x, y).multiply();
    case 2: return Panel<Storage, 2>(w, extent, x, y).multiply();
    case 4: return Panel<Storage, 4>(w, extent, x, y).multiply();
    case 8: return Panel<Storage, 8>(w, extent, x, y).multiply();
    default: return Panel<Storage, kMostWidth>(w, extent, x, y).multiply();
  }
}

}  // namespace

constinit const MatmulKernels matmul_kernels{
    .width = kMostWidth,
    .pack_row = {pack_row<Float32, float>, pack_row<Float16, float>, pack_row<BFloat16, float>, pack_row<Float64, double>},
    .pack_row_float64 = pack_row<Float32, double>,
    .multiply_bitmask = TERSOR_BY_FLOAT(multiply_bitmask),
    .write_sums = {write_sums<Float32, float>, write_sums<Float16, float>, write_sums<BFloat16, float>,
                   write_sums<Float64, double>},
    .write_sums_float64 = write_sums<Float32, double>,
};

}  // namespace tersor::cpu::TERSOR_LEVEL
