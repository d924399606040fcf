#pragma once
// Loops over groups of consecutive rows of matrices, the last two axes of a view; the last group of a matrix may be shorter.

#include <cstdint>

#include "core/function_ref.h"
#include "core/view.h"
#include "cpu/rows.h"

namespace tersor {

void require_matrix(const View& view);  // at least two axes

struct RowGroup {
  std::int64_t matrix, index;  // which matrix, which group of it
  std::int64_t first, rows;    // rows of the matrix

  // Calls body(first row of the group, dense rows, how many), in order.
  void read(const View& view, FunctionRef<void(std::int64_t, cpu::ConstRows, std::int64_t)> body) const;

  // Writes what bits(row of the group) keep of w.
  void write(const View& w, const View& out, FunctionRef<const std::uint8_t*(std::int64_t)> bits) const;
};

// How many groups the rows of one matrix make.
std::int64_t groups_per_matrix(const View& view, std::int64_t rows_each) noexcept;

// The body runs on several threads at once.
void for_each_row_group(const View& view, std::int64_t rows_each, FunctionRef<void(const RowGroup&)> body);

}  // namespace tersor
