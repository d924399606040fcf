#pragma once
// Edges of bins, and the grid by which kernels find a number's bin. Edges never decrease; where some coincide the bins between them
// are empty. A number belongs to the bin whose lower edge it is, and to the last bin where it is the last edge.

#include <cstdint>
#include <span>
#include <vector>

#include "core/view.h"
#include "cpu/information.h"

namespace tersor {

inline constexpr std::int64_t kMostBins = std::int64_t{1} << 20;

enum class BinKind : std::uint8_t {
  kUniform,   // of the same width
  kQuantile,  // of the same number of elements
};

// ValueError outside [1, kMostBins].
void require_bins(std::int64_t bins);

// Edges from an array of one dimension: TypeError or ValueError where it holds none.
std::vector<double> read_edges(const View& edges);

// Even edges from low to high; both half a unit further out where they are equal. ValueError where high - low is infinite.
std::vector<double> uniform_edges(double low, double high, std::int64_t bins, const char* name);

// The grid of some edges, for numbers of some dtype. Slot 0 is below the edges, slot i is bin i - 1, the last slot is above the
// edges and has NaN too.
class BinFinder {
 public:
  BinFinder(std::span<const double> edges, DType dtype);
  BinFinder(const BinFinder&) = delete;
  BinFinder& operator=(const BinFinder&) = delete;

  const cpu::BinGrid& grid() const noexcept { return grid_; }
  std::int64_t bins() const noexcept { return bins_; }
  std::int64_t slots() const noexcept { return bins_ + 2; }

 private:
  template <class Math>
  void build(std::span<const double> edges);

  std::int64_t bins_;
  cpu::BinGrid grid_;
  std::vector<std::uint32_t> first_;
  std::vector<std::int64_t> memory_;  // of the thresholds
};

}  // namespace tersor
