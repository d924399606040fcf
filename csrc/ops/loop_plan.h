#pragma once
// How an op walks its arrays: every op, on the CPU and on CUDA, sees rows of columns. A plan turns views of any number of
// dimensions and strides into that form, merging axes where the memory allows it.

#include <cstdint>
#include <initializer_list>

#include "core/view.h"

namespace tersor {

inline constexpr int kMaxOperands = 4;

// What an operand holds for a row of the op's columns.
enum class Columns : std::uint8_t {
  kEach,     // one item a column
  kBits,     // one byte for 8 columns
  kNibbles,  // one byte for 2 columns
  kNone,     // one item for the whole row, such as its scale
};

enum class Access : std::uint8_t { kRead, kWrite };

struct OperandSpec {
  const View& view;
  Columns columns = Columns::kEach;
  Access access = Access::kRead;
};

// Items that `cols` columns take.
constexpr std::int64_t items_for(Columns columns, std::int64_t cols) noexcept {
  switch (columns) {
    case Columns::kEach: return cols;
    case Columns::kBits: return (cols + 7) / 8;
    case Columns::kNibbles: return (cols + 1) / 2;
    case Columns::kNone: return 1;
  }
  return 0;
}

struct LoopPlan {
  struct Operand {
    std::byte* data;
    std::int64_t item_bytes;
    std::int64_t item_stride_bytes;  // from one item of a row to the next
    std::int64_t outer_stride_bytes[kMaxDims];
    Columns columns;
    Access access;
    bool has_dense_rows() const noexcept { return item_stride_bytes == item_bytes; }
  };

  std::int64_t rows = 1;  // the product of outer_shape
  std::int64_t cols = 1;
  int outer_ndim = 0;
  std::int64_t outer_shape[kMaxDims];  // outermost first
  int operand_count = 0;
  Operand operands[kMaxOperands];

  std::int64_t row_bytes() const noexcept;  // of all operands together
};

// For ops that treat every element alike: any axis may become the row, and rows merge into longer ones. The operands have the
// same shape, but for the packed ones, whose last axis is shorter (then the last axis is the row).
LoopPlan plan_elements(std::initializer_list<OperandSpec> operands);

// The same, for ops that number the elements: rows and columns run in C order.
LoopPlan plan_in_order(std::initializer_list<OperandSpec> operands);

// For ops to whose result a whole row belongs: rows run along `axis`, and are never merged or split.
LoopPlan plan_rows(std::initializer_list<OperandSpec> operands, int axis);

// The same, for ops that number the rows: they follow each other in C order of the other axes.
LoopPlan plan_rows_in_order(std::initializer_list<OperandSpec> operands, int axis);

}  // namespace tersor
