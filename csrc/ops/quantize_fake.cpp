#include "ops/quantize_fake.h"

#include <cstring>
#include <optional>

#include "cpu/quantize_fake.h"
#include "cpu/random.h"
#include "ops/check_views.h"
#include "ops/quantize_checks.h"
#include "ops/quantize_codes.h"
#include "ops/quantize_tally.h"

namespace tersor {

namespace {

// Wherever it lies: NumPy's arrays may begin at any byte.
void store_number(const DenseArray& array, DType dtype, std::int64_t index, double number) noexcept {
  std::byte* const to = array.data() + index * item_size(dtype);
  const auto single = static_cast<float>(number);
  if (dtype == DType::kFloat64)
    std::memcpy(to, &number, sizeof number);
  else
    std::memcpy(to, &single, sizeof single);
}

// One number a group, of float32 or float64.
class GroupGradients {
 public:
  explicit GroupGradients(const View* view) {
    if (!view) return;
    dtype_ = view->dtype;
    array_.emplace(*view, Access::kWrite);
  }
  void store(std::int64_t group, double number) const noexcept {
    if (array_) store_number(*array_, dtype_, group, number);
  }
  void write_back() const {
    if (array_) array_->write_back();
  }

 private:
  DType dtype_ = DType::kFloat64;
  std::optional<DenseArray> array_;
};

class Backward {
 public:
  Backward(const View& grad, const View& w, GroupAxis groups, const CodeOptions& options, const View& scale, const View* zero_point,
           const View& grad_w)
      : layout_(with_groups_clipped(layout_for(w, grad, grad_w, groups, options.format, false))),
        dtype_(w.dtype),
        grad_(grid_of(grad, groups, layout_)),
        w_(grid_of(w, groups, layout_)),
        grad_w_(grid_of(grad_w, groups, layout_)),
        scales_(arithmetic_dtype(w.dtype), scale, zero_point, options.format, Access::kRead),
        rule_(code_rule(options.convention, options.format, options.rounding, w.dtype)),
        seed_(options.seed),
        most_(tally_scratch(layout_)) {}

  void run(TakeTallies take) const {
    const std::int64_t bytes = number_bytes() + word_bytes(most_.cols) + 3 * grid_bytes(most_.rows, most_.cols);
    tally_groups(layout_, {cpu::kGradientTallies, cpu::kGradientTallies}, 3 * item_size(dtype_), bytes,
                 [&](const Tile& tile, const Tallies& tallies, std::byte* scratch) { add(tile, tallies, scratch); }, take, {});
  }
  const StoredScales& scales() const noexcept { return scales_; }

 private:
  bool is_random() const noexcept { return rule_.rounding == cpu::Rounding::kStochastic; }
  std::int64_t number_bytes() const noexcept { return GroupNumbers::bytes(most_.groups, item_size(arithmetic_dtype(dtype_))); }
  std::int64_t word_bytes(std::int64_t cols) const noexcept { return is_random() ? 4 * padded(cols) : 0; }
  std::int64_t grid_bytes(std::int64_t rows, std::int64_t cols) const noexcept {
    return std::max({grad_.scratch_bytes(rows, cols), w_.scratch_bytes(rows, cols), grad_w_.scratch_bytes(rows, cols)});
  }

  void add(const Tile& tile, const Tallies& tallies, std::byte* scratch) const {
    const Rectangle part{tile.row, tile.rows, tile.col, tile.cols};
    const GroupNumbers numbers(scratch, most_.groups, item_size(arithmetic_dtype(dtype_)));
    std::byte* const words = scratch + number_bytes();
    std::byte* const rectangles = words + word_bytes(tile.cols);
    const std::int64_t each = grid_bytes(tile.rows, tile.cols);
    scales_.load(numbers, tile.first_scale, tile.scales);
    const cpu::ConstRows grad = grad_.read(part.row, part.rows, part.col, part.cols, rectangles);
    const cpu::ConstRows w = w_.read(part.row, part.rows, part.col, part.cols, rectangles + each);
    const cpu::Rows to = grad_w_.place(part, rectangles + 2 * each);
    auto* const random = is_random() ? reinterpret_cast<std::uint32_t*>(words) : nullptr;
    for (std::int64_t r = 0; r < tile.rows; ++r) {
      if (random) cpu::random_kernels().words((tile.row + r) * layout_.cols() + tile.col, tile.cols, seed_, 0, random);
      add_row(grad.row<std::byte>(r), w.row<std::byte>(r), tile.cols, numbers, random, to.row<std::byte>(r), tallies);
    }
    grad_w_.write(part, rectangles + 2 * each);
  }

  void add_row(const std::byte* grad, const std::byte* w, std::int64_t cols, const GroupNumbers& numbers,
               const std::uint32_t* random, std::byte* grad_w, const Tallies& tallies) const noexcept {
    const cpu::QuantizeFakeKernels& kernels = cpu::quantize_fake_kernels();
    if (layout_.along_rows)
      kernels.backward_groups[dtype_](grad, w, cols, layout_.size, numbers.scales, numbers.zero_points, rule_, random, grad_w,
                                      tallies.data, tallies.stride);
    else
      kernels.backward_columns[dtype_](grad, w, cols, numbers.scales, numbers.zero_points, rule_, random, grad_w, tallies.data,
                                       tallies.stride);
  }

  GroupLayout layout_;
  DType dtype_;
  Grid grad_, w_, grad_w_;
  StoredScales scales_;
  cpu::CodeRule rule_;
  std::uint64_t seed_;
  TallyScratch most_;
};

// Of some groups at a time, so that they lie on the stack.
void store_zero_point_gradients(const StoredScales& scales, std::int64_t first, std::int64_t count, const double* clamped,
                                double gradient_scale, const GroupGradients& gradients) noexcept {
  constexpr std::int64_t kEach = 64;
  alignas(64) std::byte memory[GroupNumbers::kArrays * kEach * sizeof(double)];
  const GroupNumbers numbers(memory, kEach, sizeof(double));
  for (std::int64_t i = 0; i < count; i += kEach) {
    const std::int64_t some = std::min(kEach, count - i);
    scales.load_as(DType::kFloat64, numbers, first + i, some);
    for (std::int64_t k = 0; k < some; ++k) {
      const double scale = reinterpret_cast<const double*>(numbers.scales)[k];
      gradients.store(first + i + k, -scale * clamped[i + k] * gradient_scale);
    }
  }
}

void require_gradients(const View& grad, const View& w, GroupAxis groups, const CodeOptions& options, const View& scale,
                       const View* zero_point, const FakeQuantizeGradients& gradients) {
  require_floating(w);
  require_groups(groups, options.format);
  require_convention(options.convention, options.format);
  require_numbers(w, grad);
  require_numbers(w, gradients.w);
  require_scales(w, groups, options.format, scale, zero_point);
  require_cpu("fake_quantize_backward", w);
  for (const View* in : {&grad, &w, &scale, zero_point})
    if (in) require_no_overlap(*in, gradients.w);
  for (const View* out : {&gradients.scale, gradients.zero_point}) {
    if (!out) continue;
    require_dtype(*out, {DType::kFloat32, DType::kFloat64});
    require_of_groups(w, groups, *out);
    require_same_device(w, *out);
    for (const View* other : {&grad, &w, &scale, zero_point, &gradients.w})
      if (other) require_no_overlap(*other, *out);
  }
  if (gradients.zero_point) require_no_overlap(gradients.scale, *gradients.zero_point);
}

}  // namespace

void fake_quantize_backward(const View& grad, const View& w, GroupAxis groups, const CodeOptions& options, const View& scale,
                            const View* zero_point, double gradient_scale, const FakeQuantizeGradients& gradients) {
  require_gradients(grad, w, groups, options, scale, zero_point, gradients);
  const Backward backward(grad, w, groups, options, scale, zero_point, gradients.w);
  const GroupGradients of_scale(&gradients.scale), of_zero_point(gradients.zero_point);
  backward.run([&](std::int64_t first, std::int64_t count, const Tallies& tallies) {
    for (std::int64_t i = 0; i < count; ++i) of_scale.store(first + i, tallies.of(cpu::kScaleGradient)[i] * gradient_scale);
    if (gradients.zero_point)
      store_zero_point_gradients(backward.scales(), first, count, tallies.of(cpu::kClampedGradient), gradient_scale, of_zero_point);
  });
  of_scale.write_back();
  of_zero_point.write_back();
}

}  // namespace tersor
