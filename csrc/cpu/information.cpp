// information: finds the bin of each number. Vectors guess a cell of an even grid and make the key that numbers are compared by;
// then each number alone is compared with the thresholds of its cell, as a rule one, and counted.

#include "cpu/kernels.h"
#include "cpu/map.h"
#include "cpu/storage.h"

namespace tersor::cpu::TERSOR_LEVEL {

namespace {

template <class Math>
using KeyOf = SignedOf<Math>;

template <class Key>
inline constexpr Key kMostKey = static_cast<Key>(static_cast<UnsignedOf<Key>>(~UnsignedOf<Key>{0}) >> 1);
template <class Key>
inline constexpr Key kNanKey = static_cast<Key>((sizeof(Key) == 4 ? Float32::kInfinityBits : Float64::kInfinityBits) + 1);

// Sign and magnitude turned into two's complement: ordered as the numbers are, -0.0 before +0.0, NaN last.
template <class Math>
TERSOR_INLINE Lanes<KeyOf<Math>> keys_of(Lanes<Math> value) noexcept {
  using Key = KeyOf<Math>;
  const auto pattern = bit_cast<Key>(value);
  const auto key = pattern ^ (less(pattern, splat(Key{0})) & splat(kMostKey<Key>));
  return select(equal(value, value), key, splat(kNanKey<Key>));
}

TERSOR_INLINE I32 to_cells(F32 value) noexcept { return to_int32(value); }
TERSOR_INLINE I32 to_cells(F64 value) noexcept { return to_int32(demote_f32(value)); }  // exact: cells are below 2**24

// NaN goes to the last cell: min and max give their second argument for it.
template <class Math>
TERSOR_INLINE I32 cells_of(Lanes<Math> value, Lanes<Math> origin, Lanes<Math> scale, Lanes<Math> last) noexcept {
  const auto place = max(min((value - origin) * scale, last), splat(Math{0}));
  return to_cells(round_half_even(place));
}

// What vectors find of some numbers, for the comparisons one by one. Passed through memory: taken out of registers lane by lane the
// numbers cost three times as much.
constexpr std::int64_t kBatch = 256;
template <class Math>
struct Guesses {
  alignas(64) std::uint32_t cells[kBatch];
  alignas(64) UnsignedOf<Math> keys[kBatch];
};

// Keys as unsigned integers: the carry of their comparison is added to the cell in one instruction.
template <class Math>
TERSOR_INLINE Lanes<UnsignedOf<Math>> unsigned_keys_of(Lanes<Math> value) noexcept {
  using Unsigned = UnsignedOf<Math>;
  return bit_cast<Unsigned>(keys_of(value)) ^ splat(static_cast<Unsigned>(~(~Unsigned{0} >> 1)));
}

template <class Storage>
TERSOR_INLINE void guess(const typename Storage::Bits* from, std::int64_t cols, const BinGrid& grid,
                         Guesses<typename Storage::Math>& guesses) noexcept {
  using Math = typename Storage::Math;
  const auto origin = splat(static_cast<Math>(grid.origin)), scale = splat(static_cast<Math>(grid.scale)),
             last = splat(static_cast<Math>(grid.last_cell));
  const auto take = [&](std::int64_t i, auto lanes) TERSOR_LAMBDA {
    const auto value = Storage::widen(load(from + i, lanes));
    store(guesses.cells + i, bit_cast<std::uint32_t>(cells_of(value, origin, scale, last)));
    store(guesses.keys + i, unsigned_keys_of(value));
  };
  std::int64_t i = 0;
  for (; i + kLanes <= cols; i += kLanes) take(i, Full{});
  if (i < cols) take(i, Partial{static_cast<int>(cols - i)});
}

// Each cell has one threshold.
template <class Key>
struct OnePerCell {
  const Key* thresholds;
  explicit OnePerCell(const BinGrid& grid) noexcept : thresholds(reinterpret_cast<const Key*>(grid.thresholds)) {}
  TERSOR_INLINE std::uint32_t slot_of(std::uint32_t cell, Key key) const noexcept { return cell + (key >= thresholds[cell]); }
};

template <class Key>
struct Searched {
  const Key* thresholds;
  const std::uint32_t* first;
  int steps;
  explicit Searched(const BinGrid& grid) noexcept
      : thresholds(reinterpret_cast<const Key*>(grid.thresholds)), first(grid.first), steps(grid.steps) {}
  TERSOR_INLINE std::uint32_t slot_of(std::uint32_t cell, Key key) const noexcept {
    std::uint32_t slot = first[cell];
    for (std::uint32_t half = 1u << steps >> 1; half; half >>= 1) slot += key >= thresholds[slot + half - 1] ? half : 0;
    return slot;
  }
};

// take(i, k, slot) for each column i, where k is i % kCountTables and known when compiling but for the last few.
template <class Storage, class Search, class Take>
TERSOR_INLINE void each_slot(const typename Storage::Bits* from, std::int64_t cols, const BinGrid& grid, Take take) noexcept {
  const Search search(grid);
  Guesses<typename Storage::Math> guesses;
  for (std::int64_t begin = 0; begin < cols; begin += kBatch) {
    const std::int64_t count = cols - begin < kBatch ? cols - begin : kBatch;
    guess<Storage>(from + begin, count, grid, guesses);
    std::int64_t i = 0;
    for (; i + kCountTables <= count; i += kCountTables)
      for (int k = 0; k < kCountTables; ++k) take(begin + i + k, k, search.slot_of(guesses.cells[i + k], guesses.keys[i + k]));
    for (; i < count; ++i) take(begin + i, 0, search.slot_of(guesses.cells[i], guesses.keys[i]));
  }
}

template <class Storage, class Search>
void count_row(const typename Storage::Bits* from, std::int64_t cols, const BinGrid& grid, std::uint32_t* tables,
               std::int64_t table_slots) noexcept {
  std::uint32_t* table[kCountTables];
  for (int k = 0; k < kCountTables; ++k) table[k] = tables + k * table_slots;
  each_slot<Storage, Search>(from, cols, grid,
                             [&](std::int64_t, int k, std::uint32_t slot) TERSOR_LAMBDA { ++table[k % kCountTables][slot]; });
}

template <class Storage>
void count_slots(ConstRows x, Extent extent, const BinGrid& grid, std::uint32_t* tables, std::int64_t table_slots) noexcept {
  using Key = UnsignedOf<typename Storage::Math>;
  for (std::int64_t r = 0; r < extent.rows; ++r) {
    const auto* from = x.row<typename Storage::Bits>(r);
    if (grid.first)
      count_row<Storage, Searched<Key>>(from, extent.cols, grid, tables, table_slots);
    else
      count_row<Storage, OnePerCell<Key>>(from, extent.cols, grid, tables, table_slots);
  }
}

template <class Storage>
void find_slots(const std::byte* x, std::int64_t cols, const BinGrid& grid, std::uint32_t* slots) noexcept {
  using Key = UnsignedOf<typename Storage::Math>;
  const auto* from = reinterpret_cast<const typename Storage::Bits*>(x);
  const auto write = [=](std::int64_t i, int, std::uint32_t slot) TERSOR_LAMBDA { slots[i] = slot; };
  if (grid.first)
    each_slot<Storage, Searched<Key>>(from, cols, grid, write);
  else
    each_slot<Storage, OnePerCell<Key>>(from, cols, grid, write);
}

template <class Storage>
KeyRange measure_range(ConstRows x, Extent extent) noexcept {
  using Key = KeyOf<typename Storage::Math>;
  auto least = splat(kMostKey<Key>), most = splat(static_cast<Key>(~kMostKey<Key>));
  for (std::int64_t r = 0; r < extent.rows; ++r) {
    const auto* from = x.row<typename Storage::Bits>(r);
    std::int64_t i = 0;
    for (; i + kLanes <= extent.cols; i += kLanes) {
      const auto keys = keys_of(Storage::widen(load(from + i)));
      least = min(least, keys);
      most = max(most, keys);
    }
    if (i == extent.cols) continue;
    const Partial rest{static_cast<int>(extent.cols - i)};
    const auto keys = keys_of(Storage::widen(load(from + i, rest)));
    least = min(least, fill_absent(keys, rest, kMostKey<Key>));
    most = max(most, fill_absent(keys, rest, static_cast<Key>(~kMostKey<Key>)));
  }
  const auto lower = [](auto a, auto b) TERSOR_LAMBDA { return min(a, b); };
  return {reduce(least, lower), reduce_max(most)};
}

}  // namespace

constinit const InformationKernels information_kernels{
    .measure_range = TERSOR_BY_FLOAT(measure_range),
    .count_slots = TERSOR_BY_FLOAT(count_slots),
    .find_slots = TERSOR_BY_FLOAT(find_slots),
};

}  // namespace tersor::cpu::TERSOR_LEVEL
