#pragma once
// What the functions of softmax share: their temperatures, and rows that are measured block by block before they are written.

#include <cstdint>
#include <cstring>
#include <vector>

#include "core/memory.h"
#include "core/view.h"
#include "cpu/softmax.h"
#include "ops/loop.h"

namespace tersor {

// A temperature for each row of x: it must broadcast to x with a length of 1 along the axis.
View temperature_of_rows(const View& temperature, const View& x, int axis);

// ValueError where it is negative or NaN.
void require_temperature(double temperature);

// The same for every entry. Returns whether one of them is a limit for rows of this dtype.
bool check_temperatures(const View& temperature, DType dtype);

// A number as a view of no dimensions.
View view_of_temperature(double& temperature) noexcept;

inline double number_of_row(const Block& block, int operand, std::int64_t row) noexcept {
  double number;  // an array may lie at any address
  std::memcpy(&number, block.operands[operand].row<std::byte>(row), sizeof number);
  return number;
}

// Whether threads share rows, or rows are so long that they would not stay in L2 between two looks. The bits are the same, so that
// the number of threads may choose.
bool goes_in_pieces(const LoopPlan& plan, std::int64_t bytes_of_row) noexcept;

// Calls measure(block, row, parts) and then write(block, row, parts of the whole row), a Part for each block of kSoftmaxBlock
// columns: row by row, or for pieces of all rows first and then for all pieces again.
template <class Part, class Measure, class Write>
void measure_and_write(const LoopPlan& plan, bool in_pieces, Measure measure, Write write) {
  const std::int64_t each = cpu::softmax_blocks(plan.cols);
  if (!in_pieces) {
    for_each_block(plan, Split::kRows, [&](const Block& block) {
      const Scratch scratch(static_cast<std::size_t>(each) * sizeof(Part));
      auto* const parts = reinterpret_cast<Part*>(scratch.data());
      for (std::int64_t r = 0; r < block.extent.rows; ++r) {
        measure(block, r, parts);
        write(block, r, parts);
      }
    });
    return;
  }
  std::vector<Part> parts(static_cast<std::size_t>(plan.rows * each));
  const auto of_row = [&](const Block& block, std::int64_t r) { return parts.data() + (block.first_row + r) * each; };
  for_each_block(plan, Split::kColumns, [&](const Block& block) {
    for (std::int64_t r = 0; r < block.extent.rows; ++r) measure(block, r, of_row(block, r) + block.first_col / cpu::kSoftmaxBlock);
  });
  for_each_block(plan, Split::kColumns, [&](const Block& block) {
    for (std::int64_t r = 0; r < block.extent.rows; ++r) write(block, r, of_row(block, r));
  });
}

}  // namespace tersor
