#include "ops/matmul.h"

#include <algorithm>
#include <bit>
#include <cstring>
#include <string>

#include "core/check.h"
#include "core/float_environment.h"
#include "core/memory.h"
#include "core/parallel.h"
#include "cpu/matmul.h"
#include "ops/check_views.h"

namespace tersor {

namespace {

// Rows of x that share one read of the weight, and rows of the weight whose sums wait to be written.
constexpr std::int64_t kBlock = 16;
constexpr std::int64_t kPiece = 64;
// Of the weight for each thread at a time, less the more rows of x there are: chunks are to take about as long.
constexpr std::int64_t kChunkBytes = 256 << 10;
constexpr std::int64_t kLeastChunkBytes = 32 << 10;

constexpr std::int64_t round_up(std::int64_t n, std::int64_t step) noexcept { return (n + step - 1) / step * step; }

// The last axis of a view, row by row: rows are numbered in C order, whatever their strides.
class LastAxis {
 public:
  explicit LastAxis(const View& view)
      : view_(view), item_bytes_(item_size(view.dtype)), length_(view.shape[view.ndim - 1]), rows_(1) {
    for (int axis = 0; axis + 1 < view.ndim; ++axis) rows_ *= view.shape[axis];
    item_stride_bytes_ = length_ > 1 ? view.stride_bytes[view.ndim - 1] : item_bytes_;
  }
  std::int64_t rows() const noexcept { return rows_; }
  bool is_dense() const noexcept { return item_stride_bytes_ == item_bytes_; }
  std::int64_t dense_bytes() const noexcept { return length_ * item_bytes_; }

  std::byte* at(std::int64_t row, std::int64_t item) const noexcept {
    std::byte* place = view_.data + item * item_stride_bytes_;
    for (int axis = view_.ndim - 2; axis >= 0; --axis) {
      place += row % view_.shape[axis] * view_.stride_bytes[axis];
      row /= view_.shape[axis];
    }
    return place;
  }
  void gather(std::int64_t row, std::byte* dense) const noexcept {
    for (std::int64_t i = 0; i < length_; ++i) copy_item(dense + i * item_bytes_, at(row, 0) + i * item_stride_bytes_);
  }
  void scatter(std::int64_t row, std::int64_t first, const std::byte* dense, std::int64_t count) const noexcept {
    for (std::int64_t i = 0; i < count; ++i) copy_item(at(row, first + i), dense + i * item_bytes_);
  }

 private:
  void copy_item(std::byte* to, const std::byte* from) const noexcept {
    std::memcpy(to, from, static_cast<std::size_t>(item_bytes_));
  }

  const View& view_;
  std::int64_t item_bytes_, length_, rows_, item_stride_bytes_;
};

// --- what is asked of the arguments ----------------------------------------------------------------------------------------------

void require_columns(const View& x, std::int64_t cols) {
  require_last_axis(x);
  if (x.shape[x.ndim - 1] == cols) return;
  throw ValueError(std::string(x.name) + " has shape " + shape_text(x) + "; its last axis must have the columns of t, " +
                   std::to_string(cols));
}

void require_arguments(const View& x, const BitmaskViews& w, const View& y) {
  require_bitmask(w);
  require_floating(x);
  if (x.dtype != DType::kFloat32) require_same_dtype(w.values, x);
  require_same_dtype(x, y);
  require_columns(x, w.cols);
  View wanted = x;
  wanted.shape[x.ndim - 1] = w.rows;
  if (!same_shape(wanted, y))
    throw ValueError(std::string(y.name) + " has shape " + shape_text(y) + "; it must have shape " + shape_text(wanted));
  require_cpu("matmul_bitmask", x);
  for (const View* view : {&w.values, &w.bits, &w.row_offsets, &y}) require_same_device(x, *view);
  for (const View* view : {&x, &w.values, &w.bits, &w.row_offsets}) require_no_overlap(*view, y);
}

// --- the weight ------------------------------------------------------------------------------------------------------------------

// Calls body(first, last) for stretches of rows whose size depends on the weight and the batch alone.
template <class Body>
void for_rows(const BitmaskViews& w, std::int64_t batch, Body body) {
  const std::int64_t row_bytes = (w.values.size_bytes() + w.bits.size_bytes()) / w.rows + 1;
  const std::int64_t wanted = std::max(kLeastChunkBytes, kChunkBytes / batch);
  const std::int64_t rows_each = round_up(std::max<std::int64_t>(wanted / row_bytes, 1), cpu::kMatmulRows);
  parallel_for((w.rows + rows_each - 1) / rows_each,
               [&](std::int64_t chunk) { body(chunk * rows_each, std::min(w.rows, (chunk + 1) * rows_each)); });
}

// --- the product -----------------------------------------------------------------------------------------------------------------

// A block of rows of x in the dtype of arithmetic, in panels of 1, 2, 4 rows and so on, up to as many as the kernel takes.
class Panels {
 public:
  Panels(const View& x, DType weight)
      : x_(x),
        pack_(kernel_for(x.dtype, weight)),
        most_(cpu::matmul_kernels().width),
        cols_(x.shape[x.ndim - 1]),
        math_bytes_(item_size(arithmetic_dtype(weight))) {
    const std::int64_t rows = std::min(kBlock, x_.rows());
    panel_bytes_ = (rows > most_ ? kBlock : width_for(rows)) * row_bytes();
  }
  // Room for the panels, and for a row whose items are not adjacent.
  std::size_t scratch_bytes() const noexcept {
    return static_cast<std::size_t>(panel_bytes_ + (x_.is_dense() ? 0 : x_.dense_bytes()));
  }

  void fill(std::byte* scratch, std::int64_t first, std::int64_t count) noexcept {
    data_ = scratch;
    count_ = count;
    for (std::int64_t b = 0; b < count; b += most_)
      for (int place = 0; place < width(b); ++place) {
        const std::int64_t row = first + std::min(b + place, count - 1);  // a panel that is not full repeats the last row
        pack_(x_.is_dense() ? x_.at(row, 0) : gathered(row), cols_, width(b), place, data_ + b * row_bytes());
      }
  }
  std::int64_t count() const noexcept { return count_; }
  std::int64_t most() const noexcept { return most_; }
  int width(std::int64_t b) const noexcept { return width_for(count_ - b); }
  const std::byte* panel(std::int64_t b) const noexcept { return data_ + b * row_bytes(); }

 private:
  int width_for(std::int64_t rows) const noexcept {
    return static_cast<int>(std::min(most_, static_cast<std::int64_t>(std::bit_ceil(static_cast<std::uint64_t>(rows)))));
  }
  static cpu::MatmulKernels::PackRow& kernel_for(DType x, DType weight) {
    const cpu::MatmulKernels& kernels = cpu::matmul_kernels();
    return x == DType::kFloat32 && weight == DType::kFloat64 ? kernels.pack_row_float64 : kernels.pack_row[x];
  }
  std::int64_t row_bytes() const noexcept { return cpu::matmul_padded(cols_) * math_bytes_; }
  const std::byte* gathered(std::int64_t row) const noexcept {
    x_.gather(row, data_ + panel_bytes_);
    return data_ + panel_bytes_;
  }

  LastAxis x_;
  cpu::MatmulKernels::PackRow& pack_;
  std::int64_t most_, cols_, math_bytes_, panel_bytes_;
  std::byte* data_ = nullptr;
  std::int64_t count_ = 0;
};

// Sums become entries of y, whose last axis runs along the rows of the weight.
class Writer {
 public:
  Writer(const View& y, DType weight)
      : y_(y), write_(kernel_for(y.dtype, weight)), math_bytes_(item_size(arithmetic_dtype(weight))) {}

  std::int64_t math_bytes() const noexcept { return math_bytes_; }
  void write(std::int64_t row, std::int64_t first, const std::byte* sums, std::int64_t count) const noexcept {
    if (y_.is_dense()) return write_(sums, y_.at(row, first), count);
    std::byte dense[kPiece * sizeof(double)];
    write_(sums, dense, count);
    y_.scatter(row, first, dense, count);
  }

 private:
  static cpu::MatmulKernels::WriteSums& kernel_for(DType y, DType weight) {
    const cpu::MatmulKernels& kernels = cpu::matmul_kernels();
    return y == DType::kFloat32 && weight == DType::kFloat64 ? kernels.write_sums_float64 : kernels.write_sums[y];
  }

  LastAxis y_;
  cpu::MatmulKernels::WriteSums& write_;
  std::int64_t math_bytes_;
};

// Some rows of the weight times a block of x, whose rows number from first_x.
void multiply_piece(const BitmaskViews& w, std::int64_t first, std::int64_t last, const Panels& x, std::int64_t first_x,
                    const Writer& y, FirstWrong& wrong) {
  std::int64_t starts[kPiece + 1];
  for (std::int64_t row = first; row <= last; ++row) starts[row - first] = w.start_of(row);
  auto& multiply = cpu::matmul_kernels().multiply_bitmask[w.values.dtype];
  const std::int64_t rows = last - first;
  const cpu::BitmaskRows weight{w.values.data, w.values.size(), starts, {w.bits.data + first * w.row_bytes(), w.row_bytes()}};
  alignas(64) std::byte sums[kPiece * cpu::kMatmulWidth * sizeof(double)];
  for (std::int64_t b = 0; b < x.count(); b += x.most()) {
    const std::int64_t row = multiply(weight, {rows, w.cols}, x.panel(b), x.width(b), sums);
    if (row >= 0) wrong.find(first + row);
    for (std::int64_t i = 0; i < std::min(x.most(), x.count() - b); ++i)
      y.write(first_x + b + i, first, sums + i * rows * y.math_bytes(), rows);
  }
}

}  // namespace

void matmul_bitmask(const View& x, const BitmaskViews& w, const View& y) {
  require_arguments(x, w, y);
  require_ordered(w);
  if (y.size() == 0) return;
  const DefaultFloatEnvironment environment;  // rows of x are widened on the caller's thread
  Panels panels(x, w.values.dtype);
  const Writer writer(y, w.values.dtype);
  const Scratch scratch(panels.scratch_bytes());
  FirstWrong wrong;
  const std::int64_t batch = LastAxis(x).rows();
  for (std::int64_t begin = 0; begin < batch; begin += kBlock) {
    const std::int64_t count = std::min(kBlock, batch - begin);
    panels.fill(scratch.data(), begin, count);
    for_rows(w, count, [&](std::int64_t first, std::int64_t last) {
      for (; first < last; first += kPiece) multiply_piece(w, first, std::min(last, first + kPiece), panels, begin, writer, wrong);
    });
    require_no_wrong_row(w, wrong);
  }
}

}  // namespace tersor
