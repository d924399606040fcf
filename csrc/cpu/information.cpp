// information: finds the bin of each number. Vectors guess a cell of an even grid and make the key that numbers are compared by;
// then each number alone is compared with the thresholds of its cell, as a rule one, and counted.

#include "cpu/information.h"
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

// Slots of numbers that are all far enough from a threshold; else returns false.
template <class Storage>
TERSOR_INLINE bool find_sure_slots(const typename Storage::Bits* from, std::int64_t cols, const BinGrid& grid,
                                   std::uint32_t* slots) noexcept {
  using Math = typename Storage::Math;
  const auto origin = splat(static_cast<Math>(grid.origin)), scale = splat(static_cast<Math>(grid.scale)),
             last = splat(static_cast<Math>(grid.last_cell)), half = splat(Math{0.5}), below = splat(Math{-1});
  auto farthest = splat(Math{0});
  const auto take = [&](std::int64_t i, auto lanes) TERSOR_LAMBDA {
    const auto place = max(min((Storage::widen(load(from + i, lanes)) - origin) * scale - half, last), below);
    const auto nearest = round_half_even(place);
    farthest = max(farthest, absolute(place - nearest));
    store(slots + i, bit_cast<std::uint32_t>(to_cells(nearest)) + splat<std::uint32_t>(1));
  };
  std::int64_t i = 0;
  for (; i + kLanes <= cols; i += kLanes) take(i, Full{});
  if (i < cols) take(i, Partial{static_cast<int>(cols - i)});
  return reduce_max(farthest) < static_cast<Math>(grid.margin);
}

// Each cell has one threshold.
template <class Key>
struct OnePerCell {
  const Key* thresholds;
  explicit OnePerCell(const BinGrid& grid) noexcept : thresholds(reinterpret_cast<const Key*>(grid.thresholds)) {}
  TERSOR_INLINE std::uint32_t slot_of(std::uint32_t cell, Key key) const noexcept { return cell + (key >= thresholds[cell]); }
};

// Some cells have one, the others none.
template <class Key>
struct OneAtMost {
  const Key* thresholds;
  const std::uint32_t* first;
  explicit OneAtMost(const BinGrid& grid) noexcept : thresholds(reinterpret_cast<const Key*>(grid.thresholds)), first(grid.first) {}
  TERSOR_INLINE std::uint32_t slot_of(std::uint32_t cell, Key key) const noexcept {
    const std::uint32_t slot = first[cell];
    return slot + (key >= thresholds[slot]);
  }
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
TERSOR_INLINE void each_slot(const typename Storage::Bits* from, std::int64_t cols, const BinGrid& grid, Search search,
                             Take take) noexcept {
  Guesses<typename Storage::Math> guesses;
  for (std::int64_t begin = 0; begin < cols; begin += kBatch) {
    const std::int64_t count = cols - begin < kBatch ? cols - begin : kBatch;
    std::int64_t i = 0;
    if (grid.margin > 0 && find_sure_slots<Storage>(from + begin, count, grid, guesses.cells)) {
      for (; i + kCountTables <= count; i += kCountTables)
        for (int k = 0; k < kCountTables; ++k) take(begin + i + k, k, guesses.cells[i + k]);
      for (; i < count; ++i) take(begin + i, 0, guesses.cells[i]);
      continue;
    }
    guess<Storage>(from + begin, count, grid, guesses);
    for (; i + kCountTables <= count; i += kCountTables)
      for (int k = 0; k < kCountTables; ++k) take(begin + i + k, k, search.slot_of(guesses.cells[i + k], guesses.keys[i + k]));
    for (; i < count; ++i) take(begin + i, 0, search.slot_of(guesses.cells[i], guesses.keys[i]));
  }
}

template <class Storage, class Search>
void count_row(const typename Storage::Bits* from, std::int64_t cols, const BinGrid& grid, Search search, std::uint32_t* tables,
               std::int64_t table_slots) noexcept {
  std::uint32_t* table[kCountTables];
  for (int k = 0; k < kCountTables; ++k) table[k] = tables + k * table_slots;
  each_slot<Storage>(from, cols, grid, search, [&](std::int64_t, int k, std::uint32_t slot) TERSOR_LAMBDA { ++table[k][slot]; });
}

// use(search) with the search that the grid asks for, as a value of its type.
template <class Key, class Use>
TERSOR_INLINE void with_search(const BinGrid& grid, Use use) noexcept {
  if (!grid.first)
    use(OnePerCell<Key>(grid));
  else if (grid.steps == 1)
    use(OneAtMost<Key>(grid));
  else
    use(Searched<Key>(grid));
}

template <class Storage>
void count_slots(ConstRows x, Extent extent, const BinGrid& grid, std::uint32_t* tables, std::int64_t table_slots) noexcept {
  with_search<UnsignedOf<typename Storage::Math>>(grid, [&](auto search) TERSOR_LAMBDA {
    for (std::int64_t r = 0; r < extent.rows; ++r)
      count_row<Storage>(x.row<typename Storage::Bits>(r), extent.cols, grid, search, tables, table_slots);
  });
}

template <class Storage>
void find_slots(const std::byte* x, std::int64_t cols, const BinGrid& grid, std::uint32_t* slots) noexcept {
  with_search<UnsignedOf<typename Storage::Math>>(grid, [&](auto search) TERSOR_LAMBDA {
    each_slot<Storage>(reinterpret_cast<const typename Storage::Bits*>(x), cols, grid, search,
                       [=](std::int64_t i, int, std::uint32_t slot) TERSOR_LAMBDA { slots[i] = slot; });
  });
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
