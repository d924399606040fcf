#pragma once
// softmax in logarithms: what rows add up to, and logarithms of shares.

#include <cstddef>
#include <cstdint>

#include "cpu/kernel_table.h"
#include "cpu/softmax.h"

namespace tersor::cpu {

// A block of kSoftmaxBlock columns. `terms` is precise for every dtype; at the limits of the temperature its sum is the number of
// entries that have a share. Elsewhere NaN makes the sum NaN, and +inf makes it inf; that of a whole row of -inf is 0.
struct LogBlock {
  SoftmaxBlock terms;
  double top;
};

// How a row's logarithms are written: (x - top) / temperature + offset; at the limits of the temperature offset where x has a
// share, else -inf. An offset of NaN makes all of them NaN.
struct LogRow {
  double top, temperature, offset;
  SoftmaxLimit limit;
};

struct SoftmaxLogKernels {
  // A row, or a piece of whole blocks, away from the axis' limits: the blocks of a row, from all its pieces, become one.
  using MeasureLogs = void(const std::byte* x, double temperature, std::int64_t cols, LogBlock* blocks) noexcept;
  using JoinLogs = LogBlock(const LogBlock* blocks, std::int64_t count, double temperature) noexcept;
  using WriteLogs = void(const std::byte* x, const LogRow& row, std::byte* out, std::int64_t cols, Store store) noexcept;
  // The gradient of x where that of the row's logsumexp, divided by the temperature, is `gradient`.
  using WriteShares = void(const std::byte* x, const LogRow& row, double gradient, std::byte* out, std::int64_t cols,
                           Store store) noexcept;
  using ReadNumber = double(const std::byte* number) noexcept;
  using WriteNumber = void(double value, std::byte* out) noexcept;
  ByFloat<MeasureLogs> measure_logs;
  ByFloat<JoinLogs> join_logs;  // away from the limits the sum is that of exp((x - top) / temperature)
  ByFloat<WriteLogs> write_logs;
  ByFloat<WriteShares> write_shares;
  ByFloat<ReadNumber> read_number;
  ByFloat<WriteNumber> write_number;
};

TERSOR_DECLARE_TABLE(SoftmaxLogKernels, softmax_log_kernels)

}  // namespace tersor::cpu
