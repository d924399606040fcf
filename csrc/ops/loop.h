#pragma once
// Runs a plan on the CPU: cuts it into chunks, spreads them over the threads, and hands the kernel blocks of dense rows.
//
// Operands whose items are not adjacent in memory go through scratch: a few rows at a time are gathered, worked on and scattered
// back. The kernel never sees a stride inside a row.

#include "core/function_ref.h"
#include "core/store.h"
#include "cpu/rows.h"
#include "ops/loop_plan.h"

namespace tersor {

struct Block {
  cpu::Extent extent;
  std::int64_t first_row, first_col;  // where the block lies in the plan
  std::int64_t chunk;                 // of chunk_count(); the blocks of one come in order, on one thread
  cpu::Rows operands[kMaxOperands];
};

enum class Split : std::uint8_t {
  kColumns,      // a row may be cut, at multiples of kColumnUnit
  kColumnsInL2,  // likewise, into the least chunks: what becomes of one in scratch is in L2 when it is read again
  kRows,         // rows stay whole
};

// Cuts between columns fall on whole bytes of packed operands and whole vectors of every dtype.
inline constexpr std::int64_t kColumnUnit = 1024;

// Streaming for outputs beyond the caches; never in place, where the lines are in cache anyway.
Store store_for(const View& in, const View& out) noexcept;

// Into how many chunks a plan is cut: the problem alone decides.
std::int64_t chunk_count(const LoopPlan& plan, Split split) noexcept;

// The body may run on several threads at once; every block has at least one row.
void for_each_block(const LoopPlan& plan, Split split, FunctionRef<void(const Block&)> body);

}  // namespace tersor
