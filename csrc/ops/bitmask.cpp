#include "ops/bitmask.h"

#include "core/memory.h"
#include "cpu/kernels.h"
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

}  // namespace tersor
