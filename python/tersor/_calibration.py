"""What a calibrator keeps of the numbers that it has seen, and the ranges that it makes of that. All of it is small."""

from __future__ import annotations

import math
import sys
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Counts = NDArray[np.int64]

# Bins are no narrower than this share of the greatest magnitude, so that edges are exact; nor than a normal number.
_LEAST_WIDTH, _LEAST_EXPONENT = 40, -1022


def _bin_of(number: float, exponent: int) -> int:
    """floor(number / 2**exponent); what becomes subnormal on the way may lose its sign."""
    scaled = math.ldexp(number, -exponent)
    return -1 if scaled == 0 and number < 0 else math.floor(scaled)


def least_exponent(low: float, high: float, bins: int) -> int:
    """The least exponent e for which at most ``bins`` bins ``[k * 2**e, (k + 1) * 2**e)`` hold what lies from low to high. A
    wider range has no lesser one."""
    most = max(abs(low), abs(high))
    exponent = max(math.frexp(most)[1] - _LEAST_WIDTH if most else _LEAST_EXPONENT, _LEAST_EXPONENT)
    share = (high / 2 - low / 2) / bins
    if share > 0:
        exponent = max(exponent, math.frexp(share)[1] - 1)
    while _bin_of(high, exponent) - _bin_of(low, exponent) >= bins:
        exponent += 1
    return exponent


@dataclass(frozen=True)
class BinnedCounts:
    """Numbers from low to high, counted in bins ``[k * 2**exponent, (k + 1) * 2**exponent)``. The first holds low, the
    last high. The exponent follows from low and high, and where it grows, bins join in pairs: so what is here
    does not depend on the order in which the numbers came."""

    low: float
    high: float
    exponent: int
    counts: Counts

    @property
    def first(self) -> int:
        return _bin_of(self.low, self.exponent)

    @property
    def edges(self) -> NDArray[np.float64]:
        """All finite, so that infinities lie beyond them."""
        with np.errstate(over="ignore"):
            edges = np.ldexp(np.arange(self.first, self.first + self.counts.size + 1, dtype=np.float64), self.exponent)
        return np.asarray(np.clip(edges, -sys.float_info.max, sys.float_info.max))

    @classmethod
    def empty(cls, low: float, high: float, bins: int) -> BinnedCounts:
        exponent = least_exponent(low, high, bins)
        return cls(low, high, exponent, np.zeros(_bin_of(high, exponent) - _bin_of(low, exponent) + 1, np.int64))

    def joined(self, other: BinnedCounts, bins: int) -> BinnedCounts:
        """Both, as if counted at once."""
        both = BinnedCounts.empty(min(self.low, other.low), max(self.high, other.high), bins)
        for part in (self, other):
            places = (part.first + np.arange(part.counts.size)) >> min(both.exponent - part.exponent, 63)
            np.add.at(both.counts, places - both.first, part.counts)
        return both

    def around_zero(self, bins: int) -> tuple[Counts, NDArray[np.float64]]:
        """Counts and edges of as many bins on either side of zero, and at most ``bins``: where numbers lie far from zero,
        they join in pairs."""
        places, exponent = self.first + np.arange(self.counts.size), self.exponent
        while max(-places[0], places[-1] + 1) > bins:
            places, exponent = places >> 1, exponent + 1
        half = int(max(-places[0], places[-1] + 1, 1))
        counts = np.zeros(2 * half, np.int64)
        np.add.at(counts, half + places, self.counts)
        with np.errstate(over="ignore"):
            return counts, np.ldexp(np.arange(-half, half + 1, dtype=np.float64), exponent)

    def of_magnitudes(self) -> tuple[int, Counts]:
        """The number of the first bin of magnitudes that may hold any, and the counts from there on."""
        end = self.first + self.counts.size
        if self.first >= 0:
            return self.first, self.counts
        if end <= 0:
            return -end, self.counts[::-1]
        counts = np.zeros(max(-self.first, end), np.int64)
        counts[:end] += self.counts[-self.first :]
        counts[: -self.first] += self.counts[: -self.first][::-1]
        return 0, counts

    def clip(self, low: float, high: float) -> tuple[float, float]:
        """No further than the numbers go."""
        return max(low, self.low), min(high, self.high)


# --- percentiles -----------------------------------------------------------------------------------------------------


def _bins_for(counts: Counts, share: float) -> int:
    """How many bins from the first on hold that share of the numbers at least."""
    return int(np.searchsorted(np.cumsum(counts), share * counts.sum(), side="left")) + 1


def percentile_range(of: BinnedCounts, percentile: float, symmetric: bool) -> tuple[float, float]:
    """Of the numbers within, as many to either side are left out; or those of the greatest magnitudes."""
    if symmetric:
        first, counts = of.of_magnitudes()
        magnitude = float(np.ldexp(np.float64(first + _bins_for(counts, percentile / 100)), of.exponent))
        return of.clip(-magnitude, magnitude)
    share, edges = 0.5 + percentile / 200, of.edges
    left = of.counts.size - _bins_for(of.counts[::-1], share)
    return of.clip(float(edges[left]), float(edges[_bins_for(of.counts, share)]))


# --- entropy ---------------------------------------------------------------------------------------------------------


def _smoothed(counts: NDArray[Any]) -> NDArray[np.float32] | None:
    """A little for each empty bin, taken from the others; a distribution."""
    empty = counts == 0
    empty_count = int(empty.sum())
    if empty_count == counts.size:
        return None
    taken = 1e-4 * empty_count / (counts.size - empty_count)
    smooth = counts.astype(np.float32) + np.where(empty, np.float32(1e-4), np.float32(-taken))
    return np.asarray(smooth / smooth.sum())


def _divergence(p: NDArray[Any], q: NDArray[Any]) -> float:
    """Of Kullback and Leibler, in float32, as onnxruntime has it: which of two near ones is the least depends on it.
    Infinite where a side has nothing."""
    smooth_p, smooth_q = _smoothed(p), _smoothed(q)
    if smooth_p is None or smooth_q is None:
        return math.inf
    return float((smooth_p * np.log(smooth_p / smooth_q)).sum())


def entropy_bounds(counts: Counts, levels: int) -> tuple[int, int]:
    """The edges between which a histogram around zero loses the least information when it is cut there and its bins become
    ``levels`` ones, as TensorRT chooses them and ``get_entropy_threshold`` of onnxruntime 1.32 does; all of it where nothing
    can be compared."""
    middle = counts.size // 2
    before = np.concatenate([[0], np.cumsum(counts)])
    best, bounds = math.inf, (0, counts.size)
    for half in range(levels // 2, middle + 1):
        start, end = middle - half, min(middle + half + 1, counts.size)
        divergence = _divergence(*_cut_and_merged(counts[start:end], before[start], before[-1] - before[end], levels))
        if divergence < best:
            best, bounds = divergence, (start, end)
    return bounds


def _cut_and_merged(inner: Counts, below: int, above: int, levels: int) -> tuple[Counts, Counts]:
    """The counts with what lies outside in the outermost bins; and each level's count spread evenly over those of its bins
    that are not empty. What the last level has beyond a whole number of bins is counted with it, and its own bins stay
    empty."""
    p = inner.copy()
    p[0] += below
    p[-1] += above
    each = inner.size // levels
    whole = each * levels
    sums = inner[:whole].reshape(levels, each).sum(axis=1)
    sums[-1] += inner[whole:].sum()
    filled = (p[:whole] != 0).reshape(levels, each).sum(axis=1)
    spread = np.where(filled, sums / np.maximum(filled, 1), 0).astype(np.int64)
    q = np.zeros_like(p)
    q[:whole] = np.repeat(spread, each)
    return p, q


def entropy_range(of: BinnedCounts, levels: int, bins: int) -> tuple[float, float]:
    counts, edges = of.around_zero(bins)
    start, end = entropy_bounds(counts, levels)
    return of.clip(float(edges[start]), float(edges[end]))


# --- mean square -----------------------------------------------------------------------------------------------------

_CANDIDATES = 128


def mse_range(of: BinnedCounts, bits: int, symmetric: bool) -> tuple[float, float]:
    """The one of 128 shares of the range with the least mean square error of the middles of bins, cut and rounded to codes:
    as many on either side of zero, or with a zero point."""
    low, high = min(of.low, 0.0), max(of.high, 0.0)
    if symmetric:
        high = max(-low, high)
        low = -high
    if low == high:
        return low, high
    steps = 2**bits - (2 if symmetric else 1)
    edges = of.edges
    middles = edges[:-1] / 2 + edges[1:] / 2
    best, found = math.inf, (low, high)
    for share in (np.arange(_CANDIDATES, 0, -1) / _CANDIDATES).tolist():
        step = (high / steps - low / steps) * share
        first = round(low * share / step)
        codes = np.clip(np.rint(middles / step), first, first + steps)
        error = float((of.counts * (middles - codes * step) ** 2).sum())
        if error < best:
            best, found = error, (low * share, high * share)
    return found
