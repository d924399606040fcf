#pragma once
// 4-bit codes that stand for 16 numbers, with a scale for each run of entries.

#include <cstddef>
#include <cstdint>

#include "core/dtype.h"
#include "core/store.h"
#include "cpu/kernel_table.h"

namespace tersor::cpu {

// What scales are stored as, and how the greatest magnitude of a run becomes one.
enum class ScaleFormat : std::uint8_t {
  kFloat32,         // the magnitude itself
  kE8m0,            // 2**(floor(log2 of it) - 2)
  kE8m0Up,          // the same once a quarter of a power of two is added
  kE4m3Divisor,     // float8_e4m3fn of magnitude / 6 * global; 0.125 for 0
  kE4m3Multiplier,  // float8_e4m3fn of magnitude / (6 * global), at least 2**-9; 1 for 0
};

inline constexpr int kTableCodes = 16;

// The numbers that codes stand for; and between neighbours in ascending order the bounds, so many of which an entry exceeds as
// its code has place in that order.
struct CodeTable {
  alignas(64) float low[kTableCodes / 2], high[kTableCodes / 2];
  // A search by halves: the middle bound, those of the halves, of the quarters, of the eighths.
  alignas(64) float quarters[8], eighths[8];
  float middle, halves[2];
  alignas(16) std::uint8_t codes[kTableCodes];  // by place
  bool is_e2m1;                                 // the codes are of float4_e2m1fn, by arithmetic, ties to even
  bool even_is_high;                            // the nibble of even entries
};

// Entries by their scales, to codes of a table.
struct FloatCodeRule {
  const CodeTable& table;
  bool divides;  // by the scale; else multiplies
  bool narrows;  // quotients are of w's dtype: negative ones that vanish in it have no sign. For powers of two alone
};

// What shifts the numbers of each run: `less` is subtracted before they are multiplied, `plus` is added to the rounded product.
// Either may be null, and for runs of 16 both are.
struct RunShifts {
  const float *less = nullptr, *plus = nullptr;
};

// Runs of `run` entries, a power of two from 16 on, the last one shorter (where they are of 16, the numbers of codes from 8 on are
// the others' negatives); arrays with an item a run have room for whole vectors. Numbers are float32; float64 is rounded to it
// first.
struct FormatsFloatKernels {
  // The greatest finite magnitude of each run, in w's dtype without the sign; 0 where there is none.
  using Measure = void(const std::byte* w, std::int64_t count, std::int64_t run, std::byte* magnitudes) noexcept;
  // Scales as they are stored, and what entries are multiplied with, or for float8 divided by.
  using MakeScales = void(const std::byte* magnitudes, std::int64_t runs, ScaleFormat format, float global, std::byte* stored,
                          float* scales) noexcept;
  // next: as many entries, which are fetched meanwhile; or null. The last byte is padded with the code of 0.
  using Encode = void(const std::byte* w, std::int64_t count, std::int64_t run, const float* scales, const FloatCodeRule& rule,
                      std::uint8_t* packed, const std::byte* next) noexcept;
  // What codes are multiplied with.
  using LoadScales = void(const std::byte* stored, std::int64_t runs, ScaleFormat format, float global, float* scales) noexcept;
  using Decode = void(const std::uint8_t* packed, std::int64_t count, std::int64_t run, const float* scales,
                      const RunShifts& shifts, const CodeTable& table, std::byte* out, Store store) noexcept;
  // The least and the greatest finite number of each run; 0 where there is none.
  using MeasureRanges = void(const std::byte* w, std::int64_t count, std::int64_t run, float* lows, float* highs) noexcept;
  // The integers next to w / scale, in [-8, 7]; with lows those next to (w - low) / scale, in [0, 15], less 8. Ties go to even
  // ones; NaN is 0. next: as for Encode.
  using EncodeSteps = void(const std::byte* w, std::int64_t count, std::int64_t run, const float* lows, const float* scales,
                           std::uint8_t* packed, const std::byte* next) noexcept;
  ByFloat<Measure> measure;
  ByFloat<MakeScales> make_scales;
  ByFloat<Encode> encode;
  LoadScales& load_scales;
  ByFloat<Decode> decode;
  ByFloat<MeasureRanges> measure_ranges;
  ByFloat<EncodeSteps> encode_steps;
};

TERSOR_DECLARE_TABLE(FormatsFloatKernels, formats_float_kernels)

}  // namespace tersor::cpu
