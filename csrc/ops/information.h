#pragma once
// information: histograms, exact to the last count, and the information that one variable has about another, in nats. Numbers
// outside the edges and NaN are in no bin.

#include <cstdint>
#include <span>
#include <vector>

#include "core/view.h"
#include "ops/bin_grid.h"

namespace tersor {

// Bins made from the data, or those between given edges.
struct BinRule {
  std::int64_t bins = 0;
  BinKind kind = BinKind::kUniform;
  std::vector<double> edges;  // where not empty, they count and the rest does not
};

// The edges of `bins` bins from the least element to the greatest, or at the quantiles i / bins; from 0 to 1 where there is no
// element. ValueError where an element is NaN or infinite.
std::vector<double> edges_of_data(const View& x, std::int64_t bins, BinKind kind);
// The same for one dense row, on the calling thread; `name` is for messages.
std::vector<double> edges_of_row(const std::byte* row, std::int64_t cols, DType dtype, std::int64_t bins, BinKind kind,
                                 const char* name);

// counts: int64, one a bin.
void histogram(const View& x, std::span<const double> edges, const View& counts);

// x and y have the same shape; counts: int64, (bins of x, bins of y).
void histogram2d(const View& x, const View& y, std::span<const double> x_edges, std::span<const double> y_edges,
                 const View& counts);

// The entropy of all of x in its bins.
double entropy(const View& x, const BinRule& rule);

}  // namespace tersor
