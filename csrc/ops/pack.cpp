#include "ops/pack.h"

#include <atomic>
#include <string>

#include "core/check.h"
#include "core/memory.h"
#include "cpu/kernels.h"
#include "ops/check_views.h"
#include "ops/loop.h"

namespace tersor {

namespace {

void require_codes_and_packed(const char* op, const View& q, const View& packed, const View& input) {
  require_dtype(q, {DType::kInt8});
  require_dtype(packed, {DType::kUInt8});
  require_packed_shape(q, packed, Columns::kNibbles, input);
  require_same_device(q, packed);
  require_cpu(op, q);
  require_no_overlap(q, packed);
}

}  // namespace

void pack_int4(const View& q, const View& packed) {
  require_codes_and_packed("pack_int4", q, packed, q);
  auto& kernel = cpu::pack_kernels().pack_int4;
  const Store store = store_for(q, packed);
  std::atomic<bool> all_fit{true};
  for_each_block(plan_elements({{q}, {packed, Columns::kNibbles, Access::kWrite}}), Split::kColumns, [&](const Block& block) {
    if (!kernel(block.operands[0], block.operands[1], block.extent, store)) all_fit.store(false, std::memory_order_relaxed);
  });
  if (!all_fit)
    throw ValueError(std::string(q.name) + " holds values outside [-8, 7], which 4 bits cannot; clip or rescale it first");
}

void unpack_int4(const View& packed, const View& q) {
  require_codes_and_packed("unpack_int4", q, packed, packed);
  auto& kernel = cpu::pack_kernels().unpack_int4;
  const Store store = store_for(packed, q);
  for_each_block(plan_elements({{q, Columns::kEach, Access::kWrite}, {packed, Columns::kNibbles}}), Split::kColumns,
                 [&](const Block& block) { kernel(block.operands[1], block.operands[0], block.extent, store); });
}

}  // namespace tersor
