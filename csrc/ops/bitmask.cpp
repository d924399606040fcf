#include "ops/bitmask.h"

#include <algorithm>
#include <atomic>
#include <string>

#include "core/check.h"
#include "core/memory.h"
#include "cpu/bitmask.h"
#include "ops/check_views.h"
#include "ops/loop.h"

namespace tersor {

namespace {

void require_mask_and_bits(const char* op, const View& mask, const View& bits, const View& input) {
  require_dtype(mask, {DType::kBool});
  require_dtype(bits, {DType::kUInt8});
  require_packed_shape(mask, bits, Columns::kBits, input);
  require_same_device(mask, bits);
  require_cpu(op, mask);
  require_no_overlap(mask, bits);
}

}  // namespace

void pack_mask(const View& mask, const View& bits) {
  require_mask_and_bits("pack_mask", mask, bits, mask);
  auto& kernel = cpu::bitmask_kernels().pack_mask;
  const Store store = store_for(mask, bits);
  for_each_block(plan_elements({{mask}, {bits, Columns::kBits, Access::kWrite}}), Split::kColumns,
                 [&](const Block& block) { kernel(block.operands[0], block.operands[1], block.extent, store); });
}

void unpack_mask(const View& bits, const View& mask) {
  require_mask_and_bits("unpack_mask", mask, bits, bits);
  auto& kernel = cpu::bitmask_kernels().unpack_mask;
  const Store store = store_for(bits, mask);
  for_each_block(plan_elements({{mask, Columns::kEach, Access::kWrite}, {bits, Columns::kBits}}), Split::kColumns,
                 [&](const Block& block) { kernel(block.operands[1], block.operands[0], block.extent, store); });
}

// --- logic on packed masks -------------------------------------------------------------------------------------------------------

namespace {

void require_bits_of(const char* op, const View& bits, std::int64_t cols) {
  require_dtype(bits, {DType::kUInt8});
  require_cpu(op, bits);
  require_last_axis(bits);
  if (cols < 0 || bits.shape[bits.ndim - 1] != items_for(Columns::kBits, cols))
    throw ValueError(std::string(bits.name) + " has shape " + shape_text(bits) + ", which does not fit " + std::to_string(cols) +
                     " columns; its last axis must be ceil(cols / 8)");
}

cpu::BitmaskKernels::CombineBits& kernel_of(BitLogic logic) {
  const cpu::BitmaskKernels& kernels = cpu::bitmask_kernels();
  switch (logic) {
    case BitLogic::kOr: return kernels.or_bits;
    case BitLogic::kXor: return kernels.xor_bits;
    default: return kernels.and_bits;
  }
}

}  // namespace

void combine_masks(const View& a, const View& b, BitLogic logic, const View& out) {
  require_dtype(a, {DType::kUInt8});
  require_cpu("logic on masks", a);
  for (const View* other : {&b, &out}) {
    require_same_dtype(a, *other);
    require_same_shape(a, *other);
    require_same_device(a, *other);
  }
  require_no_overlap(a, out, InPlace::kAllowed);
  require_no_overlap(b, out, InPlace::kAllowed);
  auto& kernel = kernel_of(logic);
  const Store store = same_elements(b, out) ? Store::kCached : store_for(a, out);
  for_each_block(plan_elements({{a}, {b}, {out, Columns::kEach, Access::kWrite}}), Split::kColumns,
                 [&](const Block& block) { kernel(block.operands[0], block.operands[1], block.operands[2], block.extent, store); });
}

void invert_mask(const View& bits, std::int64_t cols, const View& out) {
  require_bits_of("invert_mask", bits, cols);
  require_same_dtype(bits, out);
  require_same_shape(bits, out);
  require_same_device(bits, out);
  require_no_overlap(bits, out, InPlace::kAllowed);
  auto& kernel = cpu::bitmask_kernels().invert_bits;
  const Store store = store_for(bits, out);
  const std::int64_t row_bytes = bits.shape[bits.ndim - 1];
  const auto last_byte = static_cast<std::uint8_t>(cols % 8 == 0 ? 0xff : (1 << (cols % 8)) - 1);
  for_each_block(plan_rows({{bits}, {out, Columns::kEach, Access::kWrite}}, bits.ndim - 1), Split::kColumns,
                 [&](const Block& block) {
                   const bool ends_row = block.first_col + block.extent.cols == row_bytes;
                   kernel(block.operands[0], block.operands[1], block.extent, ends_row ? last_byte : std::uint8_t{0xff}, store);
                 });
}

std::int64_t count_mask(const View& bits, std::int64_t cols) {
  require_bits_of("count_mask", bits, cols);
  auto& kernel = cpu::bitmask_kernels().count_bits;
  std::atomic<std::int64_t> total{0};
  for_each_block(plan_rows({{bits}}, bits.ndim - 1), Split::kColumns, [&](const Block& block) {
    const std::int64_t columns = std::min(8 * block.extent.cols, cols - 8 * block.first_col);
    std::int64_t count = 0;
    for (std::int64_t r = 0; r < block.extent.rows; ++r) count += kernel(block.operands[0].row<std::uint8_t>(r), columns);
    total.fetch_add(count, std::memory_order_relaxed);
  });
  return total.load();
}

}  // namespace tersor
