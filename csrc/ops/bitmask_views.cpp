#include "ops/bitmask_views.h"

#include <cstring>
#include <string>

#include "core/check.h"
#include "cpu/prune.h"
#include "ops/check_views.h"

namespace tersor {

namespace {

constexpr const char* kRemedy = "; compress the weight again";

}  // namespace

std::int64_t BitmaskViews::start_of(std::int64_t row) const noexcept {
  if (row == rows) return values.size();
  std::int64_t start;
  std::memcpy(&start, row_offsets.data + row * static_cast<std::int64_t>(sizeof start), sizeof start);
  return start;
}

void require_shape(const View& view, std::initializer_list<std::int64_t> shape, const char* meaning) {
  View wanted = view;
  wanted.ndim = 0;
  for (const std::int64_t length : shape) wanted.shape[wanted.ndim++] = length;
  if (!same_shape(view, wanted))
    throw ValueError(std::string(view.name) + " has shape " + shape_text(view) + "; " + meaning + " it must have shape " +
                     shape_text(wanted));
}

void require_bitmask(const BitmaskViews& t) {
  if (t.rows < 0 || t.cols < 0) throw ValueError("t.shape must hold no negative number");
  require_floating(t.values);
  require_dtype(t.bits, {DType::kUInt8});
  require_dtype(t.row_offsets, {DType::kInt64});
  const std::string meaning = "for " + std::to_string(t.rows) + " rows of " + std::to_string(t.cols) + " columns";
  require_shape(t.bits, {t.rows, t.row_bytes()}, meaning.c_str());
  require_shape(t.row_offsets, {t.rows}, meaning.c_str());
  if (t.values.ndim != 1)
    throw ValueError(std::string(t.values.name) + " has shape " + shape_text(t.values) + "; it must have one dimension");
  for (const View* part : {&t.values, &t.bits, &t.row_offsets}) require_contiguous(*part);
}

void require_ordered(const BitmaskViews& t) {
  std::int64_t last = 0;
  bool ordered = t.rows == 0 || t.start_of(0) == 0;
  for (std::int64_t row = 0; row <= t.rows && ordered; ++row) {
    const std::int64_t start = t.start_of(row);
    ordered = last <= start && (row < t.rows || t.rows > 0 || start == 0);
    last = start;
  }
  if (!ordered)
    throw ValueError(std::string(t.row_offsets.name) + " must begin with 0, never decrease, and stay within the " +
                     std::to_string(t.values.size()) + " entries of " + t.values.name + kRemedy);
}

void mark_nonzeros(DType dtype, const std::byte* items, std::int64_t count, std::byte* bits) noexcept {
  constexpr std::uint64_t kLeastMagnitude = 1;  // as a bit pattern
  cpu::prune_kernels().mask_threshold_packed[dtype]({items, 0}, {bits, 0}, {1, count}, kLeastMagnitude, Store::kCached);
}

void require_no_wrong_row(const BitmaskViews& t, const FirstWrong& row) {
  if (row.place() == FirstWrong::kNone) return;
  throw ValueError(std::string(t.bits.name) + " and " + t.row_offsets.name + " disagree about the number of values in row " +
                   std::to_string(row.place()) + kRemedy);
}

}  // namespace tersor
