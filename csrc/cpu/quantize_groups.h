#pragma once
// Ranges, scales and codes of groups of entries.

#include <cstddef>
#include <cstdint>

#include "core/dtype.h"
#include "core/store.h"
#include "cpu/kernel_table.h"
#include "cpu/rows.h"

namespace tersor::cpu {

// How numbers become integers.
enum class Rounding : std::uint8_t { kHalfEven, kHalfAway, kHalfUp, kTruncate, kStochastic };

// Codes from least to most: round(x / scale) + zero_point, clamped. `flip` is what a stored byte differs by from the code's place
// in int8: 0 where codes are signed, 128 where they are not.
struct CodeRule {
  int least, most, flip;
  Rounding rounding;
  double numerator;       // n, where x * (n / (scale * n)) is rounded, which is 0 for a scale of 0; 0: x / scale is
  bool zero_point_first;  // clamped with the zero point, then rounded
  DType step;             // that each step is rounded to; float64: none
  // Whether it divides, adds the zero point and rounds half to even, each step in 16 bits.
  __attribute__((always_inline)) bool is_stepwise() const noexcept {
    return rounding == Rounding::kHalfEven && numerator == 0 && zero_point_first && step != DType::kFloat64;
  }
  // Whether it only divides and rounds half to even.
  __attribute__((always_inline)) bool is_plain() const noexcept {
    return rounding == Rounding::kHalfEven && numerator == 0 && !zero_point_first && step == DType::kFloat64;
  }
};

// Scales of ranges [low, high], and the zero points of codes that are not symmetric.
struct ScaleRule {
  bool symmetric;         // the greatest magnitude is divided, else high - low
  bool includes_zero;     // the range
  bool one_sided;         // a symmetric range is divided whole, and is half as wide where nothing is negative
  bool widens_nothing;    // a range of zeros alone becomes [-1, 1]
  bool keeps_sign;        // of the greatest magnitude, the negative one of two alike; scales may be negative
  bool sides_apart;       // high / divisor - low / divisor
  bool in_float64;        // until a scale is stored
  bool exact_zero_point;  // made of the scale before it is stored; 0 where that is of no use
  bool zero_point_first;  // made of a scale before that is replaced; 0 where that is 0 / 0
  bool rounds_quotient;   // least - round(low / scale), where others round least - low / scale
  bool half_up;           // how that is rounded, else half to even
  double divisor;
  double least_range;  // what is divided is at least this
  double least_scale;  // a scale below this, or one that is 0 as it is stored, becomes `instead`, unless that is 0 too
  double instead;
  int least, most, middle;  // codes that a zero point is clamped to, and the one of symmetric codes
  DType step;               // that each step is rounded to; float64: none
};

// Groups of entries with a scale and a zero point each. What belongs to groups is of the type of w's arithmetic, one number a
// group; arrays of them have room for whole vectors.
struct QuantizeGroupsKernels {
  // The least and the greatest finite entry of runs of group_size columns, the last one shorter; infinity and -infinity where there
  // is none.
  using MeasureGroups = void(const std::byte* w, std::int64_t cols, std::int64_t group_size, std::byte* lows,
                             std::byte* highs) noexcept;
  // The same of columns, together with what lows and highs hold.
  using MeasureColumns = void(ConstRows w, Extent extent, std::byte* lows, std::byte* highs) noexcept;
  // stored: in the dtype of scales. stored_zero_points may be null.
  using MakeScales = void(const std::byte* lows, const std::byte* highs, std::int64_t count, const ScaleRule& rule,
                          std::byte* stored, std::uint8_t* stored_zero_points, std::byte* scales, std::byte* zero_points) noexcept;
  // From what is stored; the zero points are `middle` where there are none.
  using LoadScales = void(const std::byte* stored, const std::uint8_t* stored_zero_points, std::int64_t count, int flip, int middle,
                          std::byte* scales, std::byte* zero_points) noexcept;
  // random: a word for each entry, for stochastic rounding. next: as many entries, which are fetched meanwhile; or null.
  using EncodeGroups = void(const std::byte* w, std::int64_t cols, std::int64_t group_size, const std::byte* scales,
                            const std::byte* zero_points, const CodeRule& rule, const std::uint32_t* random, std::uint8_t* q,
                            Store store, const std::byte* next) noexcept;
  using EncodeColumns = void(const std::byte* w, std::int64_t cols, const std::byte* scales, const std::byte* zero_points,
                             const CodeRule& rule, const std::uint32_t* random, std::uint8_t* q, Store store) noexcept;
  using DecodeGroups = void(const std::uint8_t* q, std::int64_t cols, std::int64_t group_size, int flip, const std::byte* scales,
                            const std::byte* zero_points, std::byte* out, Store store) noexcept;
  using DecodeColumns = void(const std::uint8_t* q, std::int64_t cols, int flip, const std::byte* scales,
                             const std::byte* zero_points, std::byte* out, Store store) noexcept;
  ByFloat<MeasureGroups> measure_groups;
  ByFloat<MeasureColumns> measure_columns;
  ByFloat<EncodeGroups> encode_groups;
  ByFloat<EncodeColumns> encode_columns;
  struct OfMath {                     // by the type of arithmetic
    ByFloat<MakeScales> make_scales;  // by the dtype of scales
    ByFloat<LoadScales> load_scales;
    ByFloat<DecodeGroups> decode_groups;  // by the dtype of out
    ByFloat<DecodeColumns> decode_columns;
  };
  OfMath of_float32, of_float64;
  const OfMath& of(DType math) const noexcept { return math == DType::kFloat64 ? of_float64 : of_float32; }
};

TERSOR_DECLARE_TABLE(QuantizeGroupsKernels, quantize_groups_kernels)

}  // namespace tersor::cpu
