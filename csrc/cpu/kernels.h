#pragma once
// Every CPU kernel. A family's kernels form a table of function references, filled in once per CPU level: a kernel that a level
// forgets, or gives the wrong type, does not compile. Kernels are noexcept and allocate nothing.

#include "core/dtype.h"
#include "core/store.h"
#include "cpu/rows.h"

namespace tersor::cpu {

// One kernel for each floating-point element type.
template <class Function>
struct ByFloat {
  Function& float32;
  Function& float16;
  Function& bfloat16;
  Function& float64;
  Function& operator[](DType dtype) const noexcept {
    switch (dtype) {
      case DType::kFloat16: return float16;
      case DType::kBFloat16: return bfloat16;
      case DType::kFloat64: return float64;
      default: return float32;
    }
  }
};

struct PruneKernels {
  // threshold_bits: the bit pattern of the least magnitude that stays.
  using PruneThreshold = void(ConstRows w, Rows out, Extent extent, std::uint64_t threshold_bits, Store store) noexcept;
  using MaskThreshold = void(ConstRows w, Rows mask, Extent extent, std::uint64_t threshold_bits, Store store) noexcept;
  using ApplyMask = void(ConstRows w, ConstRows mask, Rows out, Extent extent, Store store) noexcept;
  using CountNonzero = std::int64_t(ConstRows w, Extent extent) noexcept;
  ByFloat<PruneThreshold> prune_threshold;
  ByFloat<MaskThreshold> mask_threshold;
  ByFloat<MaskThreshold> mask_threshold_packed;
  ByFloat<ApplyMask> apply_mask;
  ByFloat<ApplyMask> apply_mask_packed;
  ByFloat<CountNonzero> count_nonzero;
  CountNonzero& count_nonzero_bytes;
};

struct RandomKernels {
  // The word of each of the elements numbered `position` and on, shifted right.
  using Words = void(std::int64_t position, std::int64_t count, std::uint64_t seed, int shift, std::uint32_t* words) noexcept;
  Words& words;
};

// What entries are ranked by, where it is computed, and which of them stay, as bits.
struct PruneScoreKernels {
  // scores[i] = |w[i] * other[i]|, in the type of w's arithmetic.
  using Multiply = void(const std::byte* w, const std::byte* other, std::int64_t cols, std::byte* scores) noexcept;
  using KeepValues = void(const std::byte* scores, std::uint8_t* bits, std::int64_t cols, std::int64_t least_key) noexcept;
  ByFloat<Multiply> multiply_alike;   // other of w's dtype
  ByFloat<Multiply> multiply_scaled;  // other of the dtype of w's arithmetic
  ByFloat<KeepValues> keep_values;    // those whose key in the order of values is not less
};

inline constexpr int kMostGroup = 32;

struct PruneNmKernels {
  // Groups of m <= kMostGroup columns from the first one on; a shorter one at the end keeps n too.
  using KeepNm = void(const std::byte* w, std::uint8_t* bits, std::int64_t cols, int n, int m) noexcept;
  // Up to four rows, which with each other make blocks of 4 x 4; what is missing of a block counts as zeros.
  using KeepTransposable = void(const std::byte* const* rows, int row_count, std::int64_t cols, std::uint8_t* const* bits) noexcept;
  ByFloat<KeepNm> keep_nm;
  ByFloat<KeepTransposable> keep_transposable;
};

struct BitmaskKernels {
  using PackMask = void(ConstRows mask, Rows bits, Extent extent, Store store) noexcept;
  using UnpackMask = void(ConstRows bits, Rows mask, Extent extent, Store store) noexcept;
  // Columns here are bytes. Of the last one of each row the bits of last_byte stay, so that padding becomes 0.
  using CombineBits = void(ConstRows a, ConstRows b, Rows out, Extent extent, Store store) noexcept;
  using InvertBits = void(ConstRows bits, Rows out, Extent extent, std::uint8_t last_byte, Store store) noexcept;
  using CountBits = std::int64_t(const std::uint8_t* bits, std::int64_t cols) noexcept;
  PackMask& pack_mask;
  UnpackMask& unpack_mask;
  CombineBits& and_bits;
  CombineBits& or_bits;
  CombineBits& xor_bits;
  InvertBits& invert_bits;
  CountBits& count_bits;
};

// Items that a kernel may write beyond its last one.
inline constexpr std::int64_t kCompressSlack = 16;

// Groups of which half is stored, and which zeros are where a group has fewer non-zeros (quads.h).
enum class Half : std::uint8_t { kOfPairs, kOfQuadsToThird, kOfQuadsToFourth };

// compress: items without those whose bit is 0.
struct CompressKernels {
  // The items that are no zeros, row after row, and the bits of their places; returns how many. values has room for all of w and
  // kCompressSlack more.
  using CompressNonzeros = std::int64_t(ConstRows w, Rows bits, Extent extent, std::byte* values) noexcept;
  // The items whose bit is set, row after row, `count` in all; writes nothing beyond them.
  using Compress = void(ConstRows w, ConstRows bits, Extent extent, std::byte* values, std::int64_t count) noexcept;
  // A row of whole groups: the half of its items that is stored, and their bits, in whole words. Returns the first column of a
  // group with too many non-zeros, or -1; what it has written is then of no use.
  using CompressHalf = std::int64_t(const std::byte* w, std::int64_t cols, Half half, std::uint64_t* bits,
                                    std::byte* values) noexcept;
  using Copy = void(const std::byte* from, std::byte* to, std::int64_t bytes, Store store) noexcept;
  // The next items where a bit is set, +0.0 elsewhere. Reads none beyond the `count` that there are from `values` on.
  using Expand = void(const std::byte* values, std::int64_t count, ConstRows bits, Rows out, Extent extent, Store store) noexcept;
  ByFloat<CompressNonzeros> compress_nonzeros;
  ByFloat<Compress> compress;
  ByFloat<CompressHalf> compress_half;
  Copy& copy;
  ByFloat<Expand> expand;
};

struct QuantizeKernels {
  using RoundFixed = void(ConstRows w, Rows out, Extent extent, int bits, Store store) noexcept;
  ByFloat<RoundFixed> round_fixed;
};

// How numbers become integers.
enum class Rounding : std::uint8_t { kHalfEven, kHalfAway, kHalfUp, kTruncate, kStochastic };

// Codes from least to most: round(x / scale) + zero_point, clamped. `flip` is what a stored byte differs by from the code's place
// in int8: 0 where codes are signed, 128 where they are not.
struct CodeRule {
  int least, most, flip;
  Rounding rounding;
  bool by_reciprocal;     // x * (1 / scale)
  bool zero_point_first;  // clamped with the zero point, then rounded
  DType step;             // that each step is rounded to; float64: none
};

// Scales of ranges [low, high], and the zero points of codes that are not symmetric.
struct ScaleRule {
  bool symmetric;         // the greatest magnitude is divided, else high - low
  bool includes_zero;     // the range
  bool one_sided;         // a symmetric range is divided whole, and is half as wide where nothing is negative
  bool widens_nothing;    // a range of zeros alone becomes [-1, 1]
  bool sides_apart;       // high / divisor - low / divisor
  bool in_float64;        // until a scale is stored; where it is replaced, the zero point is 0
  bool zero_point_first;  // made of a scale before that is replaced; 0 where that is 0 / 0
  bool rounds_quotient;   // least - round(low / scale), where others round least - low / scale
  double divisor;
  double least_range;  // what is divided is at least this
  double least_scale;  // a scale below this, or one that is 0 as it is stored, becomes `instead`
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

inline constexpr int kArrangedCodes = 32;

struct PackKernels {
  using PackInt4 = bool(ConstRows q, Rows packed, Extent extent, Store store) noexcept;  // whether all values fit
  using UnpackInt4 = void(ConstRows packed, Rows q, Extent extent, Store store) noexcept;
  // Codes of `bits` bits as one stream, least significant first, to whole bytes; bits beyond the last code are 0. pack_bits returns
  // the bits that are set, in any code, where a code that fits has none: above `bits`, once `bias` is added.
  using PackBits = std::uint8_t(const std::uint8_t* q, std::int64_t cols, int bits, std::uint8_t bias,
                                std::uint8_t* packed) noexcept;
  using UnpackBits = void(const std::uint8_t* packed, std::int64_t cols, int bits, bool is_signed, std::uint8_t* q) noexcept;
  // In each run of kArrangedCodes: to[i] = q[places[i]] + offset, wrapping. What is not among the `count` codes is 0.
  using ArrangeCodes = void(const std::uint8_t* q, std::int64_t count, const std::uint8_t* places, std::uint8_t offset,
                            std::uint8_t* to, std::int64_t to_count) noexcept;
  PackInt4& pack_int4;
  UnpackInt4& unpack_int4;
  PackBits& pack_bits;
  UnpackBits& unpack_bits;
  ArrangeCodes& arrange_codes;
};

// The exponentials of a block of kSoftmaxBlock columns, added up, relative to the place on the axis of exponents that the block
// counts from: exp(shift / T) * 2**exponent.
struct SoftmaxBlock {
  double shift, exponent, sum, sum_low;
};
// Temperatures so far out that every term but the largest underflows, or that every difference vanishes.
enum class SoftmaxLimit : std::uint8_t { kNone, kOneHot, kUniform };
constexpr SoftmaxLimit softmax_limit(DType dtype, double temperature) noexcept {
  const bool is_float64 = dtype == DType::kFloat64;
  if (temperature <= (is_float64 ? 0 : 0x1p-180)) return SoftmaxLimit::kOneHot;
  return temperature >= (is_float64 ? __builtin_huge_val() : 0x1p180) ? SoftmaxLimit::kUniform : SoftmaxLimit::kNone;
}

inline constexpr std::int64_t kSoftmaxBlock = 1024;
constexpr std::int64_t softmax_blocks(std::int64_t cols) noexcept { return (cols + kSoftmaxBlock - 1) / kSoftmaxBlock; }

struct SoftmaxKernels {
  // scratch: 64-byte aligned, softmax_scratch_bytes(dtype, cols).
  using Softmax = void(ConstRows x, ConstRows temperature, Rows out, Extent extent, std::byte* scratch, Store store) noexcept;
  // The same in three steps, for rows too long for scratch, or that several threads share, away from the limits: pieces of whole
  // blocks are measured, the blocks of a row become one, and pieces are written. The bits are those of softmax.
  using MeasurePiece = void(const std::byte* x, double temperature, std::int64_t cols, SoftmaxBlock* blocks) noexcept;
  using JoinBlocks = SoftmaxBlock(const SoftmaxBlock* blocks, std::int64_t count, double temperature) noexcept;
  using WritePiece = void(const std::byte* x, double temperature, SoftmaxBlock row, std::byte* out, std::int64_t cols,
                          Store store) noexcept;
  ByFloat<Softmax> softmax;
  ByFloat<MeasurePiece> measure_piece;
  ByFloat<JoinBlocks> join_blocks;
  ByFloat<WritePiece> write_piece;
};

// The exponentials of a row, and what its blocks add up to; rows of one block go kSoftmaxBatch at a time.
inline constexpr int kSoftmaxBatch = 8;
constexpr std::int64_t softmax_scratch_bytes(DType dtype, std::int64_t cols) noexcept {
  const std::int64_t blocks = softmax_blocks(cols), kept = blocks > 1 ? blocks : kSoftmaxBatch;
  return kept * kSoftmaxBlock * item_size(arithmetic_dtype(dtype)) + blocks * static_cast<std::int64_t>(sizeof(SoftmaxBlock));
}

// How many elements lie on which side of a bracket: below its low key, at it or below, strictly between the two, above the high.
struct BracketCounts {
  std::int64_t below_low, up_to_low, within, above_high;
};

inline constexpr std::int64_t kBracketSlack = 16;

// Keys are signed integers of the element's width, in the order of the elements.
struct SelectKernels {
  // Writes the keys strictly between low and high to `within`, in order; it has room for kBracketSlack more. low <= high.
  using Bracket = BracketCounts(const std::byte* w, std::int64_t cols, std::int64_t low, std::int64_t high,
                                std::byte* within) noexcept;
  ByFloat<Bracket> bracket_magnitudes;
  ByFloat<Bracket> bracket_values;
  Bracket& bracket_keys_16;
  Bracket& bracket_keys_32;
  Bracket& bracket_keys_64;
};

// structured: what rows or columns of entries add up to under a criterion, in float64.
struct StructuredKernels {
  // gradient is read for taylor alone.
  using Sum = void(ConstRows w, ConstRows gradient, Extent extent, double* sums) noexcept;
  struct Criterion {
    ByFloat<Sum> sum_rows;  // one sum a row
    ByFloat<Sum> add_rows;  // to one sum a column
    Sum& sum_sums;          // one sum a row of sums
  };
  Criterion l1, l2, max, taylor;
};

// Where a number lies among thresholds t[0] <= t[1] <= ...: at slot s, how many of them are at most that number. A NaN lies above
// all. A cell, round(min((x - origin) * scale, last_cell)), brackets the slot: numbers of a lesser cell are less, since no step
// of that arithmetic reverses an order. So only the thresholds of the number's own cell are compared with it, whatever the
// rounding.
struct BinGrid {
  double origin, scale, last_cell;  // numbers of the type of arithmetic
  // Even thresholds, one a cell: where place = (x - origin) * scale - 0.5 is nearer than this to an integer, that integer and 1 are
  // the slot, without a comparison. 0 where that is never sure.
  double margin;
  // How many thresholds lie in lesser cells; null where that is the cell's own number, and each cell has one threshold.
  const std::uint32_t* first;
  int steps;                    // of a binary search among the thresholds of one cell: there are less than 2**steps
  const std::byte* thresholds;  // keys of the type of arithmetic, offset to unsigned; then 2**steps that no number reaches
};

// The least and the greatest key; NaN has the greatest of all.
struct KeyRange {
  std::int64_t least, most;
};

// Numbers that repeat wait for one another where they count in the same place: neighbours count in tables of their own.
inline constexpr int kCountTables = 4;

// Keys here are those of values, as in select, but of the type of arithmetic.
struct InformationKernels {
  using MeasureRange = KeyRange(ConstRows x, Extent extent) noexcept;
  // Adds to kCountTables tables, one after the other, of table_slots each; with table_slots = 0 they are one.
  using CountSlots = void(ConstRows x, Extent extent, const BinGrid& grid, std::uint32_t* tables,
                          std::int64_t table_slots) noexcept;
  using FindSlots = void(const std::byte* x, std::int64_t cols, const BinGrid& grid, std::uint32_t* slots) noexcept;
  ByFloat<MeasureRange> measure_range;
  ByFloat<CountSlots> count_slots;
  ByFloat<FindSlots> find_slots;
};

// The most rows of x that go through a product at a time at any level, and the most rows of the weight side by side.
inline constexpr int kMatmulWidth = 16;
inline constexpr int kMatmulRows = 8;
// Columns whose products a lane adds up before they join the row's sum.
inline constexpr std::int64_t kMatmulBlock = 1024;
// Columns of packed rows of x: whole words of bits.
constexpr std::int64_t matmul_padded(std::int64_t cols) noexcept { return (cols + 63) / 64 * 64; }

// Rows of a weight that is kept as bits, and as the items whose bit is set.
struct BitmaskRows {
  const std::byte* values;     // of all rows of the weight
  std::int64_t value_count;    // likewise
  const std::int64_t* starts;  // where the items of each row begin, and where those of the last one end
  ConstRows bits;
};

struct MatmulKernels {
  int width;  // rows of x at most, a power of two
  // Row `place` of a panel: `width` rows of x in the dtype of arithmetic take turns of 16 columns, and end with zeros.
  using PackRow = void(const std::byte* x, std::int64_t cols, int width, int place, std::byte* panel) noexcept;
  // Rows of w times a panel of 1, 2, 4 and so on up to `width` rows of x. The sums of a row of x are adjacent. Returns the first
  // row whose bits are not as many as its values, or -1; reads no value that is not there.
  using MultiplyBitmask = std::int64_t(const BitmaskRows& w, Extent extent, const std::byte* panel, int width,
                                       std::byte* sums) noexcept;
  using WriteSums = void(const std::byte* sums, std::byte* y, std::int64_t count) noexcept;
  ByFloat<PackRow> pack_row;
  PackRow& pack_row_float64;  // of float32 for float64 weights
  ByFloat<MultiplyBitmask> multiply_bitmask;
  ByFloat<WriteSums> write_sums;
  WriteSums& write_sums_float64;
};

// The tables of the level in use.
const PruneKernels& prune_kernels();
const RandomKernels& random_kernels();
const PruneScoreKernels& prune_score_kernels();
const PruneNmKernels& prune_nm_kernels();
const BitmaskKernels& bitmask_kernels();
const CompressKernels& compress_kernels();
const QuantizeKernels& quantize_kernels();
const QuantizeGroupsKernels& quantize_groups_kernels();
const PackKernels& pack_kernels();
const SoftmaxKernels& softmax_kernels();
const SelectKernels& select_kernels();
const StructuredKernels& structured_kernels();
const InformationKernels& information_kernels();
const MatmulKernels& matmul_kernels();

#define TERSOR_DECLARE_LEVEL(level)                           \
  namespace level {                                           \
  extern const PruneKernels prune_kernels;                    \
  extern const RandomKernels random_kernels;                  \
  extern const PruneScoreKernels prune_score_kernels;         \
  extern const PruneNmKernels prune_nm_kernels;               \
  extern const BitmaskKernels bitmask_kernels;                \
  extern const CompressKernels compress_kernels;              \
  extern const QuantizeKernels quantize_kernels;              \
  extern const QuantizeGroupsKernels quantize_groups_kernels; \
  extern const PackKernels pack_kernels;                      \
  extern const SoftmaxKernels softmax_kernels;                \
  extern const SelectKernels select_kernels;                  \
  extern const StructuredKernels structured_kernels;          \
  extern const InformationKernels information_kernels;        \
  extern const MatmulKernels matmul_kernels;                  \
  }
#if defined(__aarch64__)
TERSOR_DECLARE_LEVEL(neon)
#else
TERSOR_DECLARE_LEVEL(baseline)
TERSOR_DECLARE_LEVEL(avx2)
TERSOR_DECLARE_LEVEL(avx512)
#endif
#undef TERSOR_DECLARE_LEVEL

}  // namespace tersor::cpu
