// prune: the n largest magnitudes of every m consecutive entries stay. An entry's rank is how many of its group beat it: those of
// greater magnitude, and of equal ones those further on.

#include "cpu/prune_nm.h"
#include "cpu/key.h"
#include "cpu/map.h"
#include "cpu/storage.h"

namespace tersor::cpu::TERSOR_LEVEL {

namespace {

// Below every key less one: what is not there beats nothing.
constexpr int kAbsent = -2;

// --- groups of 2, 4, 8 or 16, within registers ------------------------------------------------------------------------

template <int kGroup, int kBy, int kEach, int... kIndex, class Register>
TERSOR_INLINE Register rotated_register(Register a, Register b, std::integer_sequence<int, kIndex...>) noexcept {
  if constexpr (kEach >= kGroup)
    return __builtin_shufflevector(a, a, (kIndex / kGroup * kGroup + (kIndex + kBy) % kGroup)...);
  else
    return __builtin_shufflevector(a, b, (kIndex + kBy % kEach)...);
}
// Lane i of the result is lane (i + kBy) % kGroup of the same group.
template <int kGroup, int kBy, class T>
TERSOR_INLINE Lanes<T> rotate_groups(Lanes<T> lanes) noexcept {
  constexpr int kEach = Lanes<T>::kRegisterBytes / static_cast<int>(sizeof(T));
  constexpr int kRegisters = kEach < kGroup ? kGroup / kEach : 1;  // of a group
  Lanes<T> rotated;
  for (int r = 0; r < Lanes<T>::kRegisters; ++r) {
    const int first = r / kRegisters * kRegisters, a = (r + kBy / kEach) % kRegisters, b = (a + 1) % kRegisters;
    rotated.reg[r] =
        rotated_register<kGroup, kBy, kEach>(lanes.reg[first + a], lanes.reg[first + b], std::make_integer_sequence<int, kEach>());
  }
  return rotated;
}

// Per lane, whether the one kBy lanes on in its group is further on in the array too.
template <int kGroup, int kBy, class Key>
struct FurtherOn {
  alignas(64) Key lane[kLanes];
  constexpr FurtherOn() noexcept : lane{} {
    for (int i = 0; i < kLanes; ++i) lane[i] = i % kGroup + kBy < kGroup;
  }
};
template <int kGroup, int kBy, class Key>
inline constexpr FurtherOn<kGroup, kBy, Key> kFurtherOn{};

// -1 in each lane whose rival, kBy lanes on in its group, beats it. A tie goes to the lane further on: the rival is to be greater
// than the key less one there.
template <int kGroup, int kBy, class Key>
TERSOR_INLINE Lanes<Key> beaten(Lanes<Key> keys) noexcept {
  return greater(rotate_groups<kGroup, kBy>(keys), keys - load(kFurtherOn<kGroup, kBy, Key>.lane));
}

// How many of the rivals kBy to kGroup / 2 lanes on, and of those as many lanes before, beat a lane, counted down; those before
// leave out 1 each. Of two lanes just one beats the other, so what a lane before says of this one tells what it does itself.
template <int kGroup, int kBy, class Key>
TERSOR_INLINE Lanes<Key> beaten_times(Lanes<Key> keys) noexcept {
  const auto by_next = beaten<kGroup, kBy>(keys);
  if constexpr (2 * kBy == kGroup)
    return by_next;
  else
    return beaten_times<kGroup, kBy + 1>(keys) + (by_next - rotate_groups<kGroup, kGroup - kBy>(by_next));
}
template <int kGroup, class Key>
TERSOR_INLINE std::uint32_t keep_of_lanes(Lanes<Key> keys, int n) noexcept {
  constexpr int kLeftOut = kGroup / 2 - 1;
  return bits_greater(beaten_times<kGroup, 1>(keys), splat(static_cast<Key>(kLeftOut - n)));
}

template <int kGroup, class Storage>
void keep_small_groups(const typename Storage::Bits* w, std::uint8_t* bits, std::int64_t cols, int n) noexcept {
  using Order = Magnitude<Storage>;
  struct KeepLanes {
    const typename Storage::Bits* w;
    int n;
    TERSOR_INLINE std::uint32_t operator()(std::int64_t i, Full) const noexcept {
      prefetch_ahead(w + i);  // bits of 2:4 in bfloat16 4096 x 11008: 4.6 ms against 5.8 (Zen 3)
      return keep_of_lanes<kGroup>(Order::key_of(load(w + i)), n);
    }
    TERSOR_INLINE std::uint32_t operator()(std::int64_t i, Partial lanes) const noexcept {
      return keep_of_lanes<kGroup>(fill_absent(Order::key_of(load(w + i, lanes)), lanes, typename Order::Key{kAbsent}), n);
    }
  };
  map_bits(bits, cols, KeepLanes{w, n});
}

// --- groups of any size: 16 groups side by side ---------------------------------------------------------------------------

template <class Key>
struct Groups {
  alignas(64) Key keys[kMostGroup][kLanes];           // [place in the group][group]
  alignas(64) std::int8_t kept[kMostGroup * kLanes];  // as the entries lie in memory
};

template <class Key>
TERSOR_INLINE void rank_groups(Groups<Key>& groups, int n, int m) noexcept {
  alignas(64) std::int8_t kept[kLanes];
  for (int place = 0; place < m; ++place) {
    const auto key = load(groups.keys[place]), key_less_one = key - splat(Key{1});
    auto beaten_times = splat(Key{0});
    for (int rival = 0; rival < place; ++rival) beaten_times = beaten_times + greater(load(groups.keys[rival]), key);
    for (int rival = place + 1; rival < m; ++rival) beaten_times = beaten_times + greater(load(groups.keys[rival]), key_less_one);
    store(kept, demote(greater(beaten_times, splat(static_cast<Key>(-n)))));
    for (int group = 0; group < kLanes; ++group) groups.kept[group * m + place] = kept[group];
  }
}

template <class Storage>
void keep_groups(const typename Storage::Bits* w, std::uint8_t* bits, std::int64_t cols, int n, int m) noexcept {
  using Order = Magnitude<Storage>;
  using Key = typename Order::Key;
  Groups<Key> groups;
  alignas(64) Key keys[kMostGroup * kLanes];  // as the entries lie in memory
  for (std::int64_t begin = 0; begin < cols; begin += kLanes * m) {
    const std::int64_t count = cols - begin < kLanes * m ? cols - begin : kLanes * m;
    map_few(keys, 0, count, [=](std::int64_t i, auto lanes) TERSOR_LAMBDA { return Order::key_of(load(w + begin + i, lanes)); });
    for (std::int64_t i = count; i < kLanes * m; ++i) keys[i] = kAbsent;
    for (int group = 0; group < kLanes; ++group)
      for (int place = 0; place < m; ++place) groups.keys[place][group] = keys[group * m + place];
    rank_groups(groups, n, m);
    map_bits(bits + begin / 8, count, [&](std::int64_t i, auto) TERSOR_LAMBDA { return bits_of(load(groups.kept + i)); });
  }
}

template <class Storage>
void keep_nm(const std::byte* w, std::uint8_t* bits, std::int64_t cols, int n, int m) noexcept {
  const auto* from = reinterpret_cast<const typename Storage::Bits*>(w);
  switch (m) {
    case 2: return keep_small_groups<2, Storage>(from, bits, cols, n);
    case 4: return keep_small_groups<4, Storage>(from, bits, cols, n);
    case 8: return keep_small_groups<8, Storage>(from, bits, cols, n);
    case 16: return keep_small_groups<16, Storage>(from, bits, cols, n);
    default: return keep_groups<Storage>(from, bits, cols, n, m);
  }
}

// --- 2:4 along rows and columns at once -----------------------------------------------------------------------------------

// The 90 ways to keep two entries in every row and column of a 4 x 4 block (Hubara et al., "Accelerated sparse neural training",
// 2021), those first that keep later columns in earlier rows: among equal sums the first is taken.
constexpr int kWays = 90;
constexpr int kPairs = 6;
constexpr std::uint8_t kPairBits[kPairs] = {0b1100, 0b1010, 0b1001, 0b0110, 0b0101, 0b0011};

struct Ways {
  std::uint8_t pair[kWays][4];  // of each row
};
constexpr Ways all_ways() noexcept {
  Ways ways{};
  int count = 0;
  for (int i = 0; i < kPairs * kPairs * kPairs * kPairs; ++i) {
    const int pair[4] = {i / 216, i / 36 % 6, i / 6 % 6, i % 6};
    bool valid = true;
    for (int col = 0; col < 4; ++col) {
      int kept = 0;
      for (const int p : pair) kept += kPairBits[p] >> col & 1;
      valid &= kept == 2;
    }
    if (!valid) continue;
    for (int row = 0; row < 4; ++row) ways.pair[count][row] = static_cast<std::uint8_t>(pair[row]);
    ++count;
  }
  return ways;
}
constexpr Ways kAllWays = all_ways();

// Sums of eight of these stay finite; NaN counts as the greatest.
template <class Math>
inline constexpr Math kMostMagnitude = sizeof(Math) == 4 ? static_cast<Math>(0x1p120) : static_cast<Math>(0x1p1000);

// 16 blocks side by side: [row][column] of each.
template <class Math>
TERSOR_INLINE Lanes<SignedOf<Math>> best_ways(const Math (&magnitudes)[4][4][kLanes]) noexcept {
  Lanes<Math> pairs[4][kPairs];
  for (int row = 0; row < 4; ++row) {
    int pair = 0;
    for (int a = 3; a > 0; --a)
      for (int b = a - 1; b >= 0; --b) pairs[row][pair++] = load(magnitudes[row][a]) + load(magnitudes[row][b]);
  }
  auto best = splat(Math{-1});
  auto way_of_best = splat(SignedOf<Math>{0});
  for (int way = 0; way < kWays; ++way) {
    const std::uint8_t (&pair)[4] = kAllWays.pair[way];
    const auto sum = pairs[0][pair[0]] + pairs[1][pair[1]] + pairs[2][pair[2]] + pairs[3][pair[3]];
    const auto better = greater(sum, best);
    best = select(better, sum, best);
    way_of_best = select(better, splat(static_cast<SignedOf<Math>>(way)), way_of_best);
  }
  return way_of_best;
}

constexpr int kBlockCols = 4 * kLanes;

template <class Storage>
void keep_transposable(const std::byte* const* rows, int row_count, std::int64_t cols, std::uint8_t* const* bits) noexcept {
  using Math = typename Storage::Math;
  for (std::int64_t begin = 0; begin < cols; begin += kBlockCols) {
    const int count = static_cast<int>(cols - begin < kBlockCols ? cols - begin : kBlockCols);
    alignas(64) Math magnitudes[4][4][kLanes] = {};
    for (int row = 0; row < row_count; ++row) {
      const auto* from = reinterpret_cast<const typename Storage::Bits*>(rows[row]) + begin;
      alignas(64) Math line[kBlockCols] = {};
      map_few(line, 0, count, [=](std::int64_t i, auto lanes) TERSOR_LAMBDA {
        return min(absolute(Storage::widen(load(from + i, lanes))), splat(kMostMagnitude<Math>));
      });
      for (int i = 0; i < kBlockCols; ++i) magnitudes[row][i % 4][i / 4] = line[i];
    }
    alignas(64) SignedOf<Math> ways[kLanes];
    store(ways, best_ways(magnitudes));
    for (int row = 0; row < row_count; ++row) {
      std::uint64_t word = 0;
      for (int block = 0; block < kLanes; ++block)
        word |= static_cast<std::uint64_t>(kPairBits[kAllWays.pair[ways[block]][row]]) << (4 * block);
      if (count < kBlockCols) word &= (std::uint64_t{1} << count) - 1;
      std::memcpy(bits[row] + begin / 8, &word, static_cast<std::size_t>((count + 7) / 8));
    }
  }
}

}  // namespace

constinit const PruneNmKernels prune_nm_kernels{
    .keep_nm = TERSOR_BY_FLOAT(keep_nm),
    .keep_transposable = TERSOR_BY_FLOAT(keep_transposable),
};

}  // namespace tersor::cpu::TERSOR_LEVEL
