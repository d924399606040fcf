#pragma once
// Entropies and divergences in nats: of distributions, and of counts. Terms of probability zero count nothing. Sums are compensated
// and taken in an order that depends on the shape alone.

#include <cstdint>
#include <span>

#include "core/view.h"

namespace tersor {

// How far from 1 the probabilities of a distribution may sum: 1e-6, or where the dtype cannot keep that, four times its epsilon.
double sum_tolerance(DType dtype) noexcept;

// The sum of p ln(p / q), at least 0; infinite where p is positive and q is not. p and q have one shape.
double divergence(const View& p, const View& q);

// The sum of p ln(1 / p).
double distribution_entropy(const View& p);

// Of the shares of the counts; 0 where all are 0.
double entropy_of_counts(std::span<const std::int64_t> counts) noexcept;

// Of a table of counts with `cols` columns, in C order; at least 0. `sums` is scratch, for a number a row and a column.
double mutual_information_of_counts(std::span<const std::int64_t> table, std::int64_t cols, std::span<std::int64_t> sums) noexcept;

}  // namespace tersor
