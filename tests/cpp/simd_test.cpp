// The SIMD layer of one CPU level against scalar code. Compiled once a level, with that level's flags and -DTERSOR_LEVEL=...; its
// own program, so that nothing here can leak instructions into the library.

#include <sys/mman.h>
#include <unistd.h>

#include "core/store.h"
#include "cpu/simd.h"
#include "cpu/storage.h"
#include "simd_test_check.h"
#include "simd_test_half.h"

namespace {

// --- arithmetic, comparison, selection -----------------------------------------------------------------------------------

template <class T>
T all_ones_if(bool yes) {
  return yes ? T(-1) : T(0);
}

template <class T>
void test_comparisons() {
  using M = SignedOf<T>;
  check_binary<M, T>("equal", [](auto a, auto b) { return equal(a, b); }, [](T a, T b) { return all_ones_if<M>(a == b); });
  check_binary<M, T>("not_equal", [](auto a, auto b) { return not_equal(a, b); }, [](T a, T b) { return all_ones_if<M>(a != b); });
  check_binary<M, T>("less", [](auto a, auto b) { return less(a, b); }, [](T a, T b) { return all_ones_if<M>(a < b); });
  check_binary<M, T>("greater", [](auto a, auto b) { return greater(a, b); }, [](T a, T b) { return all_ones_if<M>(a > b); });
  check_binary<M, T>(
      "greater_equal", [](auto a, auto b) { return greater_equal(a, b); }, [](T a, T b) { return all_ones_if<M>(a >= b); });
  check_binary<T, T>("select", [](auto a, auto b) { return select(less(a, b), a, b); }, [](T a, T b) { return a < b ? a : b; });
  check_binary<T, T>(
      "select_or_zero", [](auto a, auto b) { return select_or_zero(greater(a, b), a); }, [](T a, T b) { return a > b ? a : T(0); });
  check_binary<T, T>(
      "max: b where either is NaN", [](auto a, auto b) { return max(a, b); }, [](T a, T b) { return a > b ? a : b; });
  check_binary<T, T>(
      "min: b where either is NaN", [](auto a, auto b) { return min(a, b); }, [](T a, T b) { return a < b ? a : b; });
}

template <class T>
void test_arithmetic() {
  check_binary<T, T>("+", [](auto a, auto b) { return a + b; }, [](T a, T b) { return a + b; });
  check_binary<T, T>("-", [](auto a, auto b) { return a - b; }, [](T a, T b) { return a - b; });
  check_binary<T, T>("*", [](auto a, auto b) { return a * b; }, [](T a, T b) { return a * b; });
  check_binary<T, T>("/", [](auto a, auto b) { return a / b; }, [](T a, T b) { return a / b; });
  check_unary<T>("splat", test_values<T>(), [](auto) { return splat(T(2.5)); }, [](T) { return T(2.5); });
  check_unary<T>(
      "round_half_even", test_values<T>(), [](auto a) { return round_half_even(a); }, [](T a) { return std::nearbyint(a); });
  check_binary<T, T>(
      "mul_add", [](auto a, auto b) { return mul_add(a, b, splat(T(-1.25))); }, [](T a, T b) { return std::fma(a, b, T(-1.25)); });
  // a * b - round(a * b): what a fused operation keeps and a plain one loses.
  check_binary<T, T>(
      "mul_add keeps the low half of a product", [](auto a, auto b) { return mul_add(a, b, splat(T(0)) - a * b); },
      [](T a, T b) { return std::fma(a, b, T(0) - a * b); });
}

template <class T>
void test_reductions() {
  Check sum("reduce_sum adds lane i to i + 8, then i + 4, i + 2, i + 1"), top("reduce_max");
  for (int round = 0; round < 1000; ++round) {
    std::vector<T> values(kLanes);
    for (T& value : values) value = static_cast<T>(std::normal_distribution<double>(0, 100)(generator));
    std::vector<T> tree = values;
    for (std::size_t width = kLanes / 2; width > 0; width /= 2)
      for (std::size_t i = 0; i < width; ++i) tree[i] = tree[i] + tree[i + width];
    sum.same(reduce_sum(load(values.data())), tree[0], round);
    top.same(reduce_max(load(values.data())), *std::max_element(values.begin(), values.end()), round);
  }
}

void test_shifts_and_bits() {
  const std::vector<std::uint32_t> words = test_values<std::uint32_t>();
  check_unary<std::uint32_t>("shift_left", words, [](auto a) { return shift_left<5>(a); }, [](std::uint32_t a) { return a << 5; });
  check_unary<std::uint32_t>(
      "shift_right of unsigned", words, [](auto a) { return shift_right<5>(a); }, [](std::uint32_t a) { return a >> 5; });
  check_unary<std::int32_t>(
      "shift_right of signed", test_values<std::int32_t>(), [](auto a) { return shift_right<5>(a); },
      [](std::int32_t a) { return a >> 5; });
  check_unary<float>(
      "bit_cast", words, [](auto a) { return bit_cast<float>(a); },
      [](std::uint32_t a) {
        float value;
        std::memcpy(&value, &a, sizeof value);
        return value;
      });
  check_binary<std::uint8_t, std::uint8_t>(
      "& | ^", [](auto a, auto b) { return (a & b) | (a ^ b); },
      [](std::uint8_t a, std::uint8_t b) { return static_cast<std::uint8_t>(a | b); });
}

// --- conversions -----------------------------------------------------------------------------------------------------------

template <class T>
void test_promote_and_demote() {
  check_unary<T>("promote", test_values<std::int8_t>(), [](I8 a) { return promote<T>(a); }, [](std::int8_t a) { return a; });
  std::vector<T> within(4096);
  for (T& value : within) value = static_cast<T>(static_cast<int>(generator() % 256) - 128);
  check_unary<std::int8_t>("demote", within, [](auto a) { return demote(a); }, [](T a) { return a; });
}

void test_integer_conversions() {
  test_promote_and_demote<std::int16_t>();
  test_promote_and_demote<std::int32_t>();
  test_promote_and_demote<std::int64_t>();
  check_unary<std::uint32_t>(
      "promote_u32", test_values<std::uint16_t>(), [](U16 a) { return promote_u32(a); }, [](std::uint16_t a) { return a; });
  check_binary<std::uint64_t, std::uint64_t>(
      "multiply_low_halves", [](U64 a, U64 b) { return multiply_low_halves(a, b); },
      [](std::uint64_t a, std::uint64_t b) { return (a & 0xffffffff) * (b & 0xffffffff); });
  std::vector<std::uint32_t> words(4096);
  for (std::uint32_t& word : words) word = static_cast<std::uint32_t>(generator() & 0xffff);
  check_unary<std::uint16_t>("demote_u16", words, [](U32 a) { return demote_u16(a); }, [](std::uint32_t a) { return a; });
  std::vector<float> integers(4096);
  for (float& value : integers) value = static_cast<float>(static_cast<std::int32_t>(generator()) >> (generator() % 24));
  for (float& value : integers) value = value >= 0x1p31f ? 0x1.fffffep30f : value;
  check_unary<std::int32_t>(
      "to_int32", integers, [](F32 a) { return to_int32(a); }, [](float a) { return static_cast<std::int32_t>(a); });
  check_unary<float>(
      "to_float", test_values<std::int32_t>(), [](I32 a) { return to_float(a); },
      [](std::int32_t a) { return static_cast<float>(a); });

  Check widen("promote_u16"), narrow("demote_u8");
  const std::vector<std::uint8_t> bytes = test_values<std::uint8_t>();
  for (std::size_t i = 0; i + 32 <= bytes.size(); i += 32) {
    std::uint16_t wide[32];
    std::uint8_t back[32];
    to_array(promote_u16(load<32>(&bytes[i])), wide);
    to_array(demote_u8(promote_u16(load<32>(&bytes[i]))), back);
    for (std::size_t k = 0; k < 32; ++k) {
      widen.same(wide[k], static_cast<std::uint16_t>(bytes[i + k]), static_cast<long long>(i + k));
      narrow.same(back[k], bytes[i + k], static_cast<long long>(i + k));
    }
  }
}

void test_float_conversions() {
  check_unary<double>(
      "promote_f64", test_values<float>(), [](F32 a) { return promote_f64(a); }, [](float a) { return static_cast<double>(a); });
  check_unary<float>(
      "demote_f32", test_values<double>(), [](F64 a) { return demote_f32(a); }, [](double a) { return static_cast<float>(a); });
  std::vector<std::uint16_t> halves(1 << 16);
  for (std::size_t i = 0; i < halves.size(); ++i) halves[i] = static_cast<std::uint16_t>(i);
  check_unary<float>("from_half, all 65,536", halves, [](U16 a) { return from_half(a); }, float_of_half);
  // Every float next to, at, and between two neighbouring halves, and any others.
  std::vector<float> floats = test_values<float>();
  for (std::uint32_t half = 0; half < 0x7c00; ++half) {
    const float low = float_of_half(static_cast<std::uint16_t>(half)), high = float_of_half(static_cast<std::uint16_t>(half + 1));
    const float middle = half == 0x7bff ? 65520.0f : low + (high - low) / 2;
    for (const float value : {middle, std::nextafter(middle, 0.0f), std::nextafter(middle, 1e9f), -middle}) floats.push_back(value);
  }
  check_unary<std::uint16_t>("to_half", floats, [](F32 a) { return to_half(a); }, half_of_float);
  check_unary<std::uint16_t>("bfloat16 narrow", floats, [](F32 a) { return BFloat16::narrow(a); }, bfloat16_of_float);
}

// --- masks ---------------------------------------------------------------------------------------------------------------

template <class T>
void test_bits_of() {
  Check check("bits_of"), all("all_of");
  for (std::uint32_t bits = 0; bits < 1 << 16; ++bits) {
    T mask[kLanes];
    for (int k = 0; k < kLanes; ++k) mask[k] = all_ones_if<T>(bits >> k & 1);
    check.same(static_cast<std::uint32_t>(bits_of(load(mask))), bits, bits);
    all.same(all_of(load(mask)), bits == 0xffff, bits);
  }
}

template <class T>
void test_compress_store() {
  Check order("compress_store"), count("compress_store's end"), compared("bits_greater");
  const std::vector<T> random = random_values<T>(2 * kLanes);
  const T* const values = random.data();
  const auto a = load(values), b = load(values + kLanes);
  std::uint32_t wanted_bits = 0;
  for (int k = 0; k < kLanes; ++k) wanted_bits |= static_cast<std::uint32_t>(values[k] > values[kLanes + k]) << k;
  compared.same(bits_greater(a, b), wanted_bits, 0);
  compared.same(bits_greater(b, a), ~wanted_bits & 0xffffu, 1);  // the values are random enough to differ
  compared.same(bits_greater(a, a), 0u, 2);
  for (std::uint32_t bits = 0; bits < 1 << 16; ++bits) {
    T to[2 * kLanes];
    T* const end = compress_store(to, a, bits);
    const T* next = to;
    for (int k = 0; k < kLanes; ++k)
      if (bits >> k & 1) order.same(*next++, values[k], bits);
    count.same(end - to, next - to, bits);
  }
}

void test_masks() {
  test_compress_store<std::int16_t>();
  test_compress_store<std::int32_t>();
  test_compress_store<std::int64_t>();
  test_bits_of<std::int8_t>();
  test_bits_of<std::int16_t>();
  test_bits_of<std::int32_t>();
  test_bits_of<std::int64_t>();
  Check from_bits("mask_of_bits"), wide("bits_of of 64 lanes"), from_wide("mask_of_bits_64");
  for (std::uint32_t bits = 0; bits < 1 << 16; ++bits) {
    std::int8_t mask[kLanes];
    to_array(mask_of_bits(bits | static_cast<std::uint32_t>(generator()) << 16), mask);  // the high half is not looked at
    for (int k = 0; k < kLanes; ++k) from_bits.same(mask[k], all_ones_if<std::int8_t>(bits >> k & 1), bits);
  }
  for (int round = 0; round < 20000; ++round) {
    const std::uint64_t bits = round < 64 ? std::uint64_t{1} << round : generator();
    std::int8_t mask[64];
    to_array(mask_of_bits_64(bits), mask);
    for (int k = 0; k < 64; ++k) from_wide.same(mask[k], all_ones_if<std::int8_t>(bits >> k & 1), round);
    wide.same(static_cast<std::uint64_t>(bits_of(load<64>(mask))), bits, round);
  }
}

// --- memory ------------------------------------------------------------------------------------------------------------------

// Memory that ends where a page begins that may not be touched.
class GuardedPage {
 public:
  GuardedPage() : page_(static_cast<std::size_t>(sysconf(_SC_PAGESIZE))) {
    memory_ = static_cast<char*>(mmap(nullptr, 2 * page_, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
    mprotect(memory_ + page_, page_, PROT_NONE);
  }
  ~GuardedPage() { munmap(memory_, 2 * page_); }
  template <class T>
  T* last(int count) const {
    return reinterpret_cast<T*>(memory_ + page_) - count;
  }

 private:
  std::size_t page_;
  char* memory_;
};

template <class T>
void test_memory(const GuardedPage& guarded) {
  Check read("load of a part of the lanes"), written("store of a part of the lanes"), filled("fill_absent"), streamed("stream");
  T source[kLanes];
  for (int k = 0; k < kLanes; ++k) source[k] = static_cast<T>(k + 1);
  for (int count = 1; count < kLanes; ++count) {
    T* const end = guarded.last<T>(count);
    store(end, load(source), Partial{count});
    T got[kLanes];
    to_array(load(static_cast<const T*>(end), Partial{count}), got);
    for (int k = 0; k < kLanes; ++k) read.same(got[k], k < count ? source[k] : T(0), count);
    if constexpr (sizeof(T) >= 2) {  // bytes have no lanes to fill
      T fill[kLanes];
      to_array(fill_absent(load(source), Partial{count}, T(99)), fill);
      for (int k = 0; k < kLanes; ++k) filled.same(fill[k], k < count ? source[k] : T(99), count);
    }
    T around[kLanes + 2];
    for (T& value : around) value = T(55);
    store(around + 1, load(source), Partial{count});
    for (int k = 0; k < kLanes + 2; ++k) written.same(around[k], k >= 1 && k <= count ? source[k - 1] : T(55), count);
  }
  alignas(64) T target[kLanes];
  stream(target, load(source));
  tersor::finish_streaming();
  for (int k = 0; k < kLanes; ++k) streamed.same(target[k], source[k], k);
}

template <class T>
void test_expand_load(const GuardedPage& guarded) {
  Check check("expand_load");
  const std::vector<T> values = random_values<T>(kLanes);
  for (std::uint32_t bits = 0; bits < 1 << 16; ++bits) {
    const int count = __builtin_popcount(bits);
    T* const last = guarded.last<T>(count);
    std::memcpy(last, values.data(), static_cast<std::size_t>(count) * sizeof(T));
    T got[kLanes];
    to_array(expand_load(static_cast<const T*>(last), bits), got);
    const T* next = values.data();
    for (int k = 0; k < kLanes; ++k) check.same(got[k], bits >> k & 1 ? *next++ : T(0), bits);
    T* const whole = guarded.last<T>(kLanes);
    std::memcpy(whole, values.data(), sizeof got);
    T ahead[kLanes];
    to_array(expand_load_ahead(static_cast<const T*>(whole), bits), ahead);
    for (int k = 0; k < kLanes; ++k) check.same(ahead[k], got[k], bits);
    if constexpr (std::is_same_v<T, std::uint16_t>) {
      std::uint32_t high[kLanes];
      to_array(expand_load_high(static_cast<const T*>(whole), bits), high);
      for (int k = 0; k < kLanes; ++k) check.same(high[k], std::uint32_t{got[k]} << 16, bits);
    }
  }
}

template <class T>
void test_misaligned_memory() {
  Check check("load and store at any byte");
  alignas(64) char buffer[64 + kLanes * sizeof(T)];
  for (int offset = 0; offset < 64; ++offset) {
    const std::vector<T> values = random_values<T>(kLanes);
    std::memcpy(buffer + offset, values.data(), kLanes * sizeof(T));
    T got[kLanes];
    to_array(load(reinterpret_cast<const T*>(buffer + offset)), got);
    store(reinterpret_cast<T*>(buffer + offset), load(values.data()));
    check.same(std::memcmp(got, values.data(), sizeof got), 0, offset);
    check.same(std::memcmp(buffer + offset, values.data(), sizeof got), 0, offset);
  }
}

bool this_cpu_runs_the_level() {
#if defined(TERSOR_LEVEL_IS_avx512)
  return __builtin_cpu_supports("avx512vbmi2") && __builtin_cpu_supports("avx512bitalg") && __builtin_cpu_supports("avx512vnni");
#elif defined(TERSOR_LEVEL_IS_avx2)
  return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") && __builtin_cpu_supports("f16c");
#else
  return true;
#endif
}

void run_all() {
  const GuardedPage guarded;
  test_comparisons<float>();
  test_comparisons<double>();
  test_comparisons<std::int8_t>();
  test_comparisons<std::int16_t>();
  test_comparisons<std::int32_t>();
  test_comparisons<std::int64_t>();
  test_arithmetic<float>();
  test_arithmetic<double>();
  test_reductions<float>();
  test_reductions<double>();
  test_shifts_and_bits();
  test_integer_conversions();
  test_float_conversions();
  test_masks();
  test_memory<std::int8_t>(guarded);
  test_memory<std::uint8_t>(guarded);
  test_memory<std::uint16_t>(guarded);
  test_memory<std::uint32_t>(guarded);
  test_memory<std::uint64_t>(guarded);
  test_memory<float>(guarded);
  test_memory<double>(guarded);
  test_expand_load<std::uint16_t>(guarded);
  test_expand_load<std::uint32_t>(guarded);
  test_expand_load<std::uint64_t>(guarded);
  test_expand_load<float>(guarded);
  test_expand_load<double>(guarded);
  test_misaligned_memory<std::uint8_t>();
  test_misaligned_memory<std::uint16_t>();
  test_misaligned_memory<std::uint32_t>();
  test_misaligned_memory<std::uint64_t>();
}

}  // namespace

int main() {
  if (!this_cpu_runs_the_level()) {
    std::printf("skipped: this CPU does not run the level's instructions\n0 passed, 0 failed\n");
    return 0;
  }
  run_all();
  std::printf("%d passed, %d failed\n", passed, failed);
  return failed ? 1 : 0;
}
