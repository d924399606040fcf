#include "ops/quantize_error.h"

#include <cmath>
#include <limits>

#include "core/parallel.h"
#include "cpu/quantize_error.h"
#include "ops/check_views.h"
#include "ops/logarithm.h"
#include "ops/quantize_checks.h"
#include "ops/quantize_codes.h"
#include "ops/quantize_tally.h"

namespace tersor {

namespace {

using cpu::kErrorTallies, cpu::kLargestError, cpu::kProducts, cpu::kSquaredErrors, cpu::kSquaredNumbers, cpu::kSquares;

constexpr double kNaN = std::numeric_limits<double>::quiet_NaN(), kInfinity = std::numeric_limits<double>::infinity();

// 10 log10(signal / noise). Logarithms are subtracted: a quotient of sums may overflow.
double decibels(double signal, double noise) noexcept {
  constexpr double kPerNat = 0x1.15f2ced384f28p+2;  // 10 / ln 10
  if (signal == noise) return signal > 0 && signal < kInfinity ? 0 : kNaN;
  if (noise == 0 || signal == kInfinity) return kInfinity;
  if (signal == 0 || noise == kInfinity) return -kInfinity;
  return (natural_logarithm(signal) - natural_logarithm(noise)) * kPerNat;
}

double cosine_of(double products, double squares, double others) noexcept {
  const double cosine = products / (std::sqrt(squares) * std::sqrt(others));
  return std::isnan(cosine) ? kNaN : std::fmin(std::fmax(cosine, -1), 1);  // rounding may lead beyond 1
}

QuantizationError error_of(const Tallies& tallies, std::int64_t entries) noexcept {
  const double noise = *tallies.of(kSquaredErrors), signal = *tallies.of(kSquares);
  if (entries == 0 || std::isnan(noise)) return {kNaN, kNaN, kNaN, kNaN};
  return {noise / static_cast<double>(entries), *tallies.of(kLargestError), decibels(signal, noise),
          cosine_of(*tallies.of(kProducts), signal, *tallies.of(kSquaredNumbers))};
}

// Compares tiles of w with what their codes stand for.
class Comparer {
 public:
  Comparer(const View& w, GroupAxis groups, const QuantizedViews& quantized)
      : layout_(with_groups_clipped(layout_for(w, quantized.q, w, groups, quantized.format, quantized.packed))),
        dtype_(w.dtype),
        math_(arithmetic_dtype(quantized.scale.dtype)),
        format_(quantized.format),
        w_(grid_of(w, groups, layout_)),
        codes_{grid_of(quantized.q, groups, layout_), quantized.packed ? quantized.format.bits : 0},
        scales_(math_, quantized.scale, quantized.zero_point, quantized.format, Access::kRead),
        kernels_(cpu::quantize_error_kernels().of(math_)),
        most_(tally_scratch(layout_)) {}

  const GroupLayout& layout() const noexcept { return layout_; }

  void compare(TakeTallies take, std::span<double> whole) const {
    const std::int64_t bytes =
        number_bytes() + w_.scratch_bytes(most_.rows, most_.cols) + codes_.scratch_bytes(most_.rows, most_.cols);
    tally_groups(
        layout_, {kErrorTallies, kLargestError}, item_size(dtype_), bytes,
        [&](const Tile& tile, const Tallies& tallies, std::byte* scratch) { add(tile, tallies, scratch); }, take, whole);
  }

 private:
  std::int64_t number_bytes() const noexcept { return GroupNumbers::bytes(most_.groups, item_size(math_)); }

  void add(const Tile& tile, const Tallies& tallies, std::byte* scratch) const {
    const GroupNumbers numbers(scratch, most_.groups, item_size(math_));
    std::byte* const of_w = scratch + number_bytes();
    scales_.load(numbers, tile.first_scale, tile.scales);
    const cpu::ConstRows w = w_.read(tile.row, tile.rows, tile.col, tile.cols, of_w);
    const cpu::ConstRows codes = codes_.read(tile, format_, of_w + w_.scratch_bytes(tile.rows, tile.cols));
    for (std::int64_t r = 0; r < tile.rows; ++r)
      add_row(w.row<std::byte>(r), codes.row<std::uint8_t>(r), tile.cols, numbers, tallies);
  }

  void add_row(const std::byte* w, const std::uint8_t* codes, std::int64_t cols, const GroupNumbers& numbers,
               const Tallies& tallies) const noexcept {
    const int flip = flip_of(format_);
    if (layout_.along_rows)
      kernels_.compare_groups[dtype_](w, codes, cols, layout_.size, flip, numbers.scales, numbers.zero_points, tallies.data,
                                      tallies.stride);
    else
      kernels_.compare_columns[dtype_](w, codes, cols, flip, numbers.scales, numbers.zero_points, tallies.data, tallies.stride);
  }

  GroupLayout layout_;
  DType dtype_, math_;
  CodeFormat format_;
  Grid w_;
  CodeGrid codes_;
  StoredScales scales_;
  const cpu::QuantizeErrorKernels::OfMath& kernels_;
  TallyScratch most_;
};

void require_comparable(const View& w, GroupAxis groups, const QuantizedViews& quantized) {
  require_floating(w);
  require_groups(groups, quantized.format);
  require_codes(w, groups, quantized.format, quantized.packed, quantized.q);
  require_scales(w, groups, quantized.format, quantized.scale, quantized.zero_point);
  require_cpu("quantization_error", w);
}

}  // namespace

QuantizationError quantization_error(const View& w, GroupAxis groups, const QuantizedViews& quantized) {
  require_comparable(w, groups, quantized);
  double whole[kErrorTallies];
  Comparer(w, groups, quantized).compare([](std::int64_t, std::int64_t, const Tallies&) {}, whole);
  QuantizationError error;
  parallel_for(1, [&](std::int64_t) { error = error_of({whole, 1}, w.size()); });
  return error;
}

void quantization_error_of_groups(const View& w, GroupAxis groups, const QuantizedViews& quantized,
                                  const QuantizationErrorViews& errors) {
  require_comparable(w, groups, quantized);
  for (const View* view : {&errors.mse, &errors.largest, &errors.sqnr, &errors.cosine}) {
    require_dtype(*view, {DType::kFloat64});
    require_of_groups(w, groups, *view);
  }
  const Comparer comparer(w, groups, quantized);
  const DenseArray mse(errors.mse, Access::kWrite), largest(errors.largest, Access::kWrite), sqnr(errors.sqnr, Access::kWrite),
      cosine(errors.cosine, Access::kWrite);
  const auto write = [](const DenseArray& array, std::int64_t group, double number) {
    reinterpret_cast<double*>(array.data())[group] = number;
  };
  comparer.compare(
      [&](std::int64_t first, std::int64_t count, const Tallies& tallies) {
        for (std::int64_t i = 0; i < count; ++i) {
          const QuantizationError error = error_of(tallies.from(i), entries_of_group(comparer.layout(), first + i));
          write(mse, first + i, error.mse);
          write(largest, first + i, error.largest);
          write(sqnr, first + i, error.sqnr);
          write(cosine, first + i, error.cosine);
        }
      },
      {});
  for (const DenseArray* array : {&mse, &largest, &sqnr, &cosine}) array->write_back();
}

}  // namespace tersor
