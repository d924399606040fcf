// Functions that CUDA kernels share with the host, against independent references: formats, rows, thresholds, codes, mappings.

#include <cmath>
#include <cstdint>
#include <limits>
#include <vector>

#include "cuda/mapping.h"
#include "cuda/prune_word.h"
#include "cuda/quantize_row.h"
#include "cuda_check.h"

using namespace tersor::cuda;

namespace {

constexpr float kInf = std::numeric_limits<float>::infinity();

// --- formats ---------------------------------------------------------------------------------------------------------------

struct Narrow {
  const char* name;
  int exponent_bits, mantissa_bits;
  float (*widen)(std::uint16_t);
  std::uint16_t (*narrow)(float);
  std::uint32_t (*narrow_pair)(float, float);
};
const Narrow kNarrow[] = {{"float16", 5, 10, half::widen, half::narrow, half::narrow_pair},
                          {"bfloat16", 8, 7, brain::widen, brain::narrow, brain::narrow_pair}};

// By the definition of the format, in float64.
double value_of(const Narrow& format, std::uint32_t bits) {
  const int mantissa = static_cast<int>(bits & ((1u << format.mantissa_bits) - 1));
  const int exponent = static_cast<int>(bits >> format.mantissa_bits & ((1u << format.exponent_bits) - 1));
  const int bias = (1 << (format.exponent_bits - 1)) - 1;
  double value;
  if (exponent == (1 << format.exponent_bits) - 1)
    value = mantissa ? std::nan("") : std::numeric_limits<double>::infinity();
  else if (exponent == 0)
    value = std::ldexp(mantissa, 1 - bias - format.mantissa_bits);
  else
    value = std::ldexp(mantissa + (1 << format.mantissa_bits), exponent - bias - format.mantissa_bits);
  return bits >> 15 ? -value : value;
}

void test_widen(const Narrow& format) {
  Check check("widen: all 65536 values");
  for (std::uint32_t bits = 0; bits < 65536; ++bits) {
    const double wanted = value_of(format, bits), got = format.widen(static_cast<std::uint16_t>(bits));
    const bool same = wanted == got ? std::signbit(wanted) == std::signbit(got) : wanted != wanted && got != got;
    check.that(same, "%s %#x: %g, wanted %g", format.name, bits, got, wanted);
  }
}

// Every value, every midpoint between neighbours, and the floats just above and below: each must go to the nearer one, ties to
// even.
void test_narrow(const Narrow& format) {
  Check check("narrow: values, midpoints and their neighbours"), pairs("narrow_pair is narrow twice");
  const std::uint32_t infinity = ((1u << format.exponent_bits) - 1) << format.mantissa_bits;
  const auto expect = [&](float value, std::uint32_t wanted) {
    for (const std::uint32_t sign : {0u, 0x8000u}) {
      const float signed_value = sign ? -value : value;
      const std::uint16_t got = format.narrow(signed_value);
      check.that(got == (wanted | sign), "%s %a: %#x, wanted %#x", format.name, static_cast<double>(signed_value), got,
                 wanted | sign);
      pairs.that(format.narrow_pair(signed_value, value) == (got | static_cast<std::uint32_t>(format.narrow(value)) << 16), "%s %a",
                 format.name, static_cast<double>(value));
    }
  };
  for (std::uint32_t bits = 0; bits < infinity; ++bits) {
    const float low = format.widen(static_cast<std::uint16_t>(bits));
    expect(low, bits);
    // Above the largest finite value the next step of its exponent would be infinity.
    const double high = bits + 1 < infinity ? value_of(format, bits + 1) : 2 * value_of(format, bits) - value_of(format, bits - 1);
    const double middle = (static_cast<double>(low) + high) / 2;
    if (middle >= static_cast<double>(std::numeric_limits<float>::max())) continue;
    const auto midpoint = static_cast<float>(middle);
    if (static_cast<double>(midpoint) != middle) continue;  // below float32's subnormals
    expect(midpoint, bits + (bits & 1));
    expect(std::nextafter(midpoint, 0.0f), bits);
    expect(std::nextafter(midpoint, kInf), bits + 1);
  }
  expect(kInf, infinity);
  expect(std::numeric_limits<float>::max(), infinity);
}

template <class Format>
void test_packets(const char* name) {
  Check check("packets: splat, set_item, item_of, unpack, pack");
  using Bits = typename Format::Bits;
  for (int round = 0; round < 20000; ++round) {
    Packet packet = splat(static_cast<Bits>(generator()));
    Bits item[Format::kPacket];
    for (int i = Format::kPacket - 1; i >= 0; --i) set_item(packet, i, item[i] = static_cast<Bits>(generator()));
    Bits memory[Format::kPacket];
    std::memcpy(memory, &packet, sizeof packet);
    typename Format::Math value[Format::kPacket];
    Format::unpack(packet, value);
    bool has_nan = false;
    for (int i = 0; i < Format::kPacket; ++i) {
      check.that(memory[i] == item[i] && item_of<Bits>(packet, i) == item[i], "%s item %d", name, i);
      has_nan |= value[i] != value[i];
    }
    const Packet back = Format::pack(value);
    check.that(has_nan || std::memcmp(&back, &packet, sizeof packet) == 0, "%s: pack(unpack(packet))", name);
    const Packet same = splat(item[0]);
    for (int i = 0; i < Format::kPacket; ++i) check.that(item_of<Bits>(same, i) == item[0], "%s splat %d", name, i);
  }
  typename Format::Math value[Format::kPacket];
  Format::unpack(splat(Format::kNan), value);
  check.that(value[0] != value[0], "%s kNan", name);
  Format::unpack(splat(Format::kLowest), value);
  check.that(value[0] == -kInfinity<typename Format::Math>, "%s kLowest", name);
}

// --- numbers -----------------------------------------------------------------------------------------------------------------

template <class Math>
void test_maxima() {
  Check check("max_number and max_or_nan");
  const Math nan = std::numeric_limits<Math>::quiet_NaN(), inf = kInfinity<Math>;
  const Math values[] = {-inf, kLowestFinite<Math>, -1, 0, Math(0.5), std::numeric_limits<Math>::max(), inf};
  for (const Math a : values) {
    for (const Math b : values) {
      check.that(max_number(a, b) == std::max(a, b) && max_or_nan(a, b) == std::max(a, b), "%g, %g", double(a), double(b));
    }
    check.that(max_number(a, nan) == a && max_number(nan, a) == a, "%g, NaN", double(a));
    check.that(std::isnan(max_or_nan(a, nan)) && std::isnan(max_or_nan(nan, a)), "%g, NaN", double(a));
  }
}

// --- prune -------------------------------------------------------------------------------------------------------------------

template <class Bits>
Bits prune_one(Bits bits, std::uint64_t least) {
  const Bits magnitude = static_cast<Bits>(bits & static_cast<Bits>(~Bits{0}) >> 1);
  return magnitude >= least ? bits : Bits{0};
}

template <class Bits>
void check_prune(Check& check, const Bits* item, std::uint64_t least) {
  Packet packet;
  std::memcpy(&packet, item, sizeof packet);
  const Packet got = PruneThreshold<Bits>(least)(packet);
  for (int i = 0; i < static_cast<int>(sizeof packet / sizeof(Bits)); ++i)
    check.that(item_of<Bits>(got, i) == prune_one(item[i], least), "%#llx, threshold %#llx, item %d",
               static_cast<unsigned long long>(item[i]), static_cast<unsigned long long>(least), i);
}

void test_prune() {
  Check narrow("prune: every 16-bit value beside every other kind, at every kind of threshold"), wide("prune: 32 and 64 bits");
  const std::uint16_t beside[] = {0x0000, 0x8000, 0x7fff, 0xffff, 0x3c00, 0xbc00};
  for (const std::uint32_t least : {1u, 2u, 0x3ffu, 0x400u, 0x3c00u, 0x3f80u, 0x7bffu, 0x7c00u, 0x7f7fu, 0x7f80u})
    for (std::uint32_t bits = 0; bits < 65536; ++bits)
      for (int k = 0; k < 6; ++k) {
        std::uint16_t item[8];
        for (int i = 0; i < 8; ++i) item[i] = (i + k) % 2 ? beside[(i + k) % 6] : static_cast<std::uint16_t>(bits);
        check_prune(narrow, item, least);
      }
  for (int round = 0; round < 200000; ++round) {
    std::uint32_t item[4];
    std::uint64_t long_item[2];
    const std::uint64_t least = generator() >> 1 | 1;
    for (auto& value : item) value = static_cast<std::uint32_t>(generator());
    for (auto& value : long_item) value = generator();
    item[round % 4] = static_cast<std::uint32_t>(least >> 32) + static_cast<std::uint32_t>(round % 3) - 1;
    long_item[round % 2] = (least + static_cast<std::uint64_t>(round % 3) - 1) | (std::uint64_t{round % 5 == 0} << 63);
    check_prune(wide, item, std::max<std::uint64_t>(1, least >> 32));
    check_prune(wide, long_item, least);
  }
}

// --- quantize ----------------------------------------------------------------------------------------------------------------

template <class Math>
int reference_code(Math x, Math scale) {
  if (std::isnan(x)) return 0;
  return static_cast<int>(std::min(Math{127}, std::max(Math{-127}, std::nearbyint(x / scale))));
}

// Next to every boundary between codes, for scales all over the range of significands and exponents.
void test_quick_codes() {
  Check check("quick codes are those of the correctly rounded quotient");
  for (int round = 0; round < 40000; ++round) {
    const float significand =
        from_bits(0x3f800000u | static_cast<std::uint32_t>(round < 200 ? round * 41943 : random_below(1 << 23)));
    const float absmax = std::ldexp(significand * 127, static_cast<int>(random_below(180)) - 90);
    const Int8Scale<float> scale(absmax);
    const auto code = [&](float x) {
      check.that(scale.is_moderate() && static_cast<std::int8_t>(scale.quick_code(x)) == reference_code(x, scale.scale()),
                 "%a / %a: %d, wanted %d", double(x), double(scale.scale()), static_cast<std::int8_t>(scale.quick_code(x)),
                 reference_code(x, scale.scale()));
    };
    code(absmax);
    code(-absmax);
    code(std::numeric_limits<float>::denorm_min());
    for (int k = 0; k < 127; ++k) {
      float x = (static_cast<float>(k) + 0.5f) * scale.scale();
      x = std::nextafter(std::nextafter(x, 0.0f), 0.0f);
      for (int step = 0; step < 5; ++step, x = std::nextafter(x, kInf)) code(k % 2 ? x : -x);
    }
  }
}

template <class Math>
void test_codes() {
  Check check("codes of any entry, NaN and infinities among them");
  using Limits = std::numeric_limits<Math>;
  const Math absmaxes[] = {0, Limits::denorm_min(), Limits::denorm_min() * 300, Limits::min(), 1, 127, 1000, Limits::max()};
  for (const Math absmax : absmaxes) {
    const Int8Scale<Math> scale(absmax);
    const Math wanted = absmax / 127 == 0 ? Math{1} : absmax / 127;
    check.that(scale.scale() == wanted, "scale for %g", double(absmax));
    std::vector<Math> values = {
        0, absmax, absmax / 2, absmax / 3, Limits::infinity(), Limits::quiet_NaN(), Limits::max(), Limits::denorm_min()};
    for (std::size_t i = 0, count = values.size(); i < count; ++i) values.push_back(-values[i]);
    for (const Math x : values)
      check.that(static_cast<std::int8_t>(scale.code(x)) == reference_code(x, wanted), "%g / %g: %d", double(x), double(wanted),
                 static_cast<std::int8_t>(scale.code(x)));
    check.that(max_finite(absmax, Limits::quiet_NaN()) == absmax && max_finite(absmax, -Limits::infinity()) == absmax,
               "max_finite");
  }
  check.that(low_bytes(0x101, 0xfff02, 0x3, 0xffffff04) == 0x04030201, "low_bytes");
}

// --- rows --------------------------------------------------------------------------------------------------------------------

void test_row_offsets() {
  Check check("row_offset counts like nested loops");
  for (int round = 0; round < 300; ++round) {
    Extent extent{1, 5, static_cast<int>(random_below(kMaxOuterDims + 1)), {}};
    Rows rows{};
    for (int i = 0; i < extent.outer_ndim; ++i) {
      extent.rows *= extent.outer_shape[i] = 1 + random_below(4);
      rows.outer_stride[i] = (random_below(1 << 20) - (1 << 19)) << (round % 20);
    }
    std::int64_t index[kMaxOuterDims] = {};
    for (std::int64_t row = 0; row < extent.rows; ++row) {
      std::int64_t wanted = 0;
      for (int i = 0; i < extent.outer_ndim; ++i) wanted += index[i] * rows.outer_stride[i];
      check.that(row_offset(extent, rows, row) == wanted, "row %lld", static_cast<long long>(row));
      for (int i = extent.outer_ndim - 1; i >= 0 && ++index[i] == extent.outer_shape[i]; --i) index[i] = 0;
    }
  }
}

// Packets cover each column once, wherever the row begins, and touch nothing else.
template <class T, int kPacket>
void test_packet_rows() {
  Check check("packet rows: every phase, length and stride");
  constexpr int kItems = 160;
  for (int start = 0; start < 2 * kPacket; ++start)
    for (int cols = 0; cols <= 5 * kPacket; ++cols)
      for (const int stride : {1, 2, -1}) {
        alignas(16) T memory[kItems], copy[kItems];
        for (int i = 0; i < kItems; ++i) memory[i] = copy[i] = static_cast<T>(i + 1);
        const int origin = stride > 0 ? 16 + start : 120 + start;
        const int phase = stride == 1 ? phase_of<kPacket>(&memory[origin]) : 0;
        const PacketRow<T, kPacket, int> row(&memory[origin], stride, cols, phase, stride == 1);
        check.that(row.packets() <= most_packets(cols, kPacket, phase == 0), "most_packets");
        for (int p = 0; p < row.packets() + 1; ++p) {
          const Packet packet = row.load(p, T{0});
          for (int i = 0; i < kPacket; ++i) {
            const int col = p * kPacket - phase + i;
            const bool present = col >= 0 && col < cols;
            check.that(item_of<T>(packet, i) == (present ? static_cast<T>(origin + col * stride + 1) : T{0}),
                       "load: start %d, cols %d", start, cols);
            if (present) copy[origin + col * stride] = static_cast<T>(200 + col);
          }
          Packet items{};
          for (int i = 0; i < kPacket; ++i) set_item(items, i, static_cast<T>(200 + p * kPacket - phase + i));
          check.that(!row.is_whole(p) || (p * kPacket >= phase && p * kPacket - phase + kPacket <= cols),
                     "is_whole: start %d, cols %d, packet %d", start, cols, p);
          row.store(p, items);
        }
        check.that(std::memcmp(memory, copy, sizeof memory) == 0, "store: start %d, cols %d, stride %d", start, cols, stride);
      }
}

// --- mappings ----------------------------------------------------------------------------------------------------------------

constexpr DeviceLimits kDevices[] = {{108, 163 << 10, 164 << 10, false},
                                     {84, 99 << 10, 100 << 10, false},
                                     {132, 227 << 10, 228 << 10, true},
                                     {188, 99 << 10, 100 << 10, true}};

void test_mappings() {
  Check lanes("lanes hold the row"), slices("slices hold the row within the device's limits"), registers("registers hold the row"),
      prune("pieces cover the row");
  constexpr int kPackets[2] = {2, 8}, kScratch = 44, kThreads = 768;
  for (std::int64_t packets = 1; packets < 200000; packets += packets < 3000 ? 1 : 997) {
    Mapping mapping;
    if (map_to_lanes(packets, kPackets, mapping)) {
      const int held = kPackets[mapping.choice] << mapping.lanes_log2;
      lanes.that(mapping.lanes_log2 <= 5 && held >= packets && held < 2 * packets + 8, "%lld packets",
                 static_cast<long long>(packets));
    } else {
      lanes.that(packets > 256, "%lld packets", static_cast<long long>(packets));
    }
    if (map_to_registers(packets, 8, mapping))
      registers.that(mapping.threads % 32 == 0 && mapping.threads <= kRegisterWarps * 32 && mapping.threads * 8 >= packets, "%lld",
                     static_cast<long long>(packets));
    for (const DeviceLimits& limits : kDevices)
      for (const std::int64_t rows : {1, 16, 1000}) {
        if (!map_to_slices(rows, packets, kScratch, kThreads, limits, mapping)) {
          slices.that((packets + kScratch) * 16 > (limits.shared_bytes - 1000) * (limits.has_clusters ? 8 : 1), "refused %lld",
                      static_cast<long long>(packets));
          continue;
        }
        const bool fits = (kScratch + mapping.slots) * 16 <= limits.shared_bytes && mapping.slots * mapping.ranks >= packets;
        const bool legal = mapping.threads % 32 == 0 && mapping.threads >= 32 && mapping.threads <= kMostSliceThreads &&
                           (mapping.ranks & (mapping.ranks - 1)) == 0 && mapping.ranks <= (limits.has_clusters ? 8 : 1);
        slices.that(fits && legal, "%lld packets: %d ranks, %d threads", static_cast<long long>(packets), mapping.ranks,
                    mapping.threads);
      }
    for (const std::int64_t rows : {1, 3, 100000}) {
      const PruneMapping pieces = map_prune(rows, packets);
      const std::int64_t each = std::int64_t{kPrunePackets} << pieces.lanes_log2;
      const std::int64_t units = pieces.blocks * (kPruneThreads >> pieces.lanes_log2);
      prune.that(pieces.lanes_log2 <= 8 && pieces.pieces * each >= packets && (pieces.pieces - 1) * each < packets &&
                     units >= rows * pieces.pieces && units - rows * pieces.pieces < kPruneThreads,
                 "%lld packets, %lld rows", static_cast<long long>(packets), static_cast<long long>(rows));
    }
  }
  // 151936 columns of float32 and of bfloat16 on an H200: the figures that the design rests on.
  for (const auto& [packets, ranks] : {std::pair{151936 / 4, 8}, std::pair{151936 / 8, 4}}) {
    Mapping mapping{};
    slices.that(map_to_slices(4096, packets, kScratch, kThreads, kDevices[2], mapping) && mapping.ranks == ranks &&
                    3 * ((kScratch + mapping.slots) * 16 + kReservedSharedBytes) <= kDevices[2].shared_bytes_of_a_multiprocessor,
                "three blocks of a 151936-column row on a multiprocessor: %d ranks", mapping.ranks);
  }
}

}  // namespace

int main() {
  for (const Narrow& format : kNarrow) {
    test_widen(format);
    test_narrow(format);
  }
  test_packets<Float32>("float32");
  test_packets<Float16>("float16");
  test_packets<BFloat16>("bfloat16");
  test_packets<Float64>("float64");
  test_maxima<float>();
  test_maxima<double>();
  test_prune();
  test_quick_codes();
  test_codes<float>();
  test_codes<double>();
  test_row_offsets();
  test_packet_rows<std::uint16_t, 8>();
  test_packet_rows<std::uint32_t, 4>();
  test_packet_rows<std::uint64_t, 2>();
  test_mappings();
  return finish();
}
