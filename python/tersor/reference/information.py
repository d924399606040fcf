"""information: histograms and what they tell."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from tersor.reference._arithmetic import Array


def bin_edges(x: Array, bins: int, kind: str = "uniform") -> NDArray[np.float64]:
    """``bins + 1`` edges in float64: even ones from the least element to the greatest, or the quantiles ``i / bins``.

    Where all elements are equal, even edges reach half a unit further on both sides; without any they go from 0 to 1.
    """
    wide = x.ravel().astype(np.float64) + 0.0
    if not np.isfinite(wide).all():
        raise ValueError("x holds NaN or an infinity")
    if kind == "quantile" and wide.size:
        return np.maximum.accumulate(np.quantile(wide, np.arange(bins + 1) / bins))
    low, high = (wide.min(), wide.max()) if wide.size else (0.0, 1.0)
    return np.linspace(low - 0.5, high + 0.5, bins + 1) if low == high else np.linspace(low, high, bins + 1)


def bins_of(x: Array, edges: Array) -> NDArray[np.int64]:
    """The bin of each element; -1 below the edges, and their number above them or for NaN.

    The last edge belongs to the last bin. Where edges coincide, a number equal to them is in the bin above.
    """
    wide = x.astype(np.float64)
    found = np.searchsorted(edges[:-1], wide, "right") - 1
    return np.where((wide > edges[-1]) | np.isnan(wide), len(edges) - 1, found)


def histogram(x: Array, edges: Array) -> NDArray[np.int64]:
    """How many elements lie in each bin."""
    return np.bincount(bins_of(x.ravel(), edges) + 1, minlength=len(edges) + 1)[1 : len(edges)].astype(np.int64)


def histogram2d(x: Array, y: Array, x_edges: Array, y_edges: Array) -> NDArray[np.int64]:
    """How many pairs of elements lie in each pair of bins."""
    of_x, of_y = bins_of(x.ravel(), x_edges), bins_of(y.ravel(), y_edges)
    counts = np.zeros((len(x_edges) + 1, len(y_edges) + 1), np.int64)
    np.add.at(counts, (of_x + 1, of_y + 1), 1)
    return counts[1:-1, 1:-1]


def distribution_entropy(p: Array) -> float:
    """The sum of p ln(1 / p), in nats; terms of 0 are 0. The kernels are within 1e-15, relative and absolute."""
    positive = p[p > 0].astype(np.float64)
    return float(-(positive * np.log(positive)).sum())


def divergence(p: Array, q: Array) -> float:
    """The sum of p ln(p / q) in nats: 0 where p is 0, infinite where q alone is."""
    there = p > 0
    p, q = p[there].astype(np.float64), q[there].astype(np.float64)
    return float("inf") if (q == 0).any() else max(0.0, float((p * np.log(p / q)).sum()))


def entropy(x: Array, edges: Array) -> float:
    """Of the shares of the bins among all that is counted; 0 where nothing is."""
    counts = histogram(x, edges)
    return distribution_entropy(counts / counts.sum()) if counts.any() else 0.0


def mutual_information(x: Array, y: Array, bins: int, kind: str = "uniform") -> float:
    """Of two variables, in nats. Where y is of integers, each is a class; where it is floating, it has bins of its own."""
    of_x = bins_of(x, bin_edges(x, bins, kind))
    of_y = np.unique(y, return_inverse=True)[1] if y.dtype.kind in "iub" else bins_of(y, bin_edges(y, bins, kind))
    joint = np.array([[((of_x == i) & (of_y == j)).sum() for j in np.unique(of_y)] for i in np.unique(of_x)])
    if not joint.size:
        return 0.0
    share = joint / joint.sum()
    return divergence(share, share.sum(axis=0) * share.sum(axis=1, keepdims=True))


def mask_units(w: Array, scores: Array, sparsity: float, axis: int = 0) -> NDArray[np.bool_]:
    """False for the ``round_half_even(sparsity * units)`` units along ``axis`` that score lowest, the first of those that
    tie."""
    keep = np.ones(len(scores), np.bool_)
    keep[np.argsort(scores, kind="stable")[: round(sparsity * len(scores))]] = False
    mask: NDArray[np.bool_] = np.empty(w.shape, np.bool_)
    np.moveaxis(mask, axis, -1)[...] = keep
    return mask
