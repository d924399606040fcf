"""Calibrator: the histogram of all numbers that were seen, and the range that keeps the most information."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from tersor.reference._arithmetic import Array


def binned_counts(x: Array, bins: int) -> tuple[int, int, Array]:
    """The exponent e, the number of the first bin, and the counts of the finite numbers in bins
    ``[k * 2**e, (k + 1) * 2**e)``, with the least e for which at most ``bins`` reach from the least number to the greatest;
    but 2**e is no less than 2**-40 of the greatest magnitude rounded up to a power of two."""
    numbers = x[np.isfinite(x)].astype(np.float64)
    exponent = max(-1022, math.frexp(float(np.abs(numbers).max()))[1] - 40)
    while np.ptp(_places(numbers, exponent)) >= bins:
        exponent += 1
    places = _places(numbers, exponent)
    return exponent, int(places.min()), np.bincount(places - places.min())


def _places(numbers: Array, exponent: int) -> NDArray[np.int64]:
    """``floor(number / 2**exponent)``, of what becomes 0 on the way too."""
    scaled = np.ldexp(numbers, -exponent)
    return np.where((scaled == 0) & (numbers < 0), -1, np.floor(scaled)).astype(np.int64)


def counts_around_zero(x: Array, bins: int) -> tuple[int, Array]:
    """The exponent e and the counts of as many bins on either side of zero as hold all finite numbers: e is that of
    ``binned_counts``, or the next one for which there are at most ``bins`` on a side."""
    exponent, first, counts = binned_counts(x, bins)
    places = first + np.arange(len(counts))
    while max(-places[0], places[-1] + 1) > bins:
        exponent, places = exponent + 1, places >> 1
    half = int(max(-places[0], places[-1] + 1, 1))
    around = np.zeros(2 * half, np.int64)
    np.add.at(around, half + places, counts)
    return exponent, around


def entropy_bounds(counts: Array, levels: int, dtype: DTypeLike = np.float32) -> tuple[int, int]:
    """The edges between which a histogram around zero is cut, for every number of bins from ``levels`` on: what lies outside
    goes to the outermost bins; beside it stands what is left when the bins within become ``levels`` ones, of as many bins
    each, and each of these is spread evenly over those of its bins that are not empty. The first number with the least
    divergence of Kullback and Leibler is taken, which is computed in ``dtype``; all bins where none is finite.

    Migacz, "8-bit inference with TensorRT" (2017), as ``get_entropy_threshold`` of onnxruntime 1.32 has it.
    """
    middle = len(counts) // 2
    found: list[tuple[float, int, int]] = []
    for half in range(levels // 2, middle + 1):
        start, end = middle - half, min(middle + half + 1, len(counts))
        p = np.array(counts[start:end])
        p[0] += counts[:start].sum()
        p[-1] += counts[end:].sum()
        each = (end - start) // levels
        q = np.zeros_like(p)
        for level in range(levels):
            first, last = start + level * each, start + (level + 1) * each
            total = counts[first : last if level < levels - 1 else end].sum()
            own = slice(first - start, last - start)
            if np.count_nonzero(p[own]):
                q[own] = int(total / np.count_nonzero(p[own]))
        found.append((_divergence(p, q, dtype), start, end))
    least = min((divergence for divergence, _, _ in found), default=math.inf)
    return next(((start, end) for divergence, start, end in found if divergence == least < math.inf), (0, len(counts)))


def _divergence(p: Array, q: Array, dtype: DTypeLike) -> float:
    smooth = [_smoothed(p, dtype), _smoothed(q, dtype)]
    if any(part is None for part in smooth):
        return math.inf
    a, b = (part / part.sum() for part in smooth)
    return float((a * np.log(a / b)).sum())


def _smoothed(counts: Array, dtype: DTypeLike) -> Any:
    """1e-4 for each empty bin, taken from the others in equal parts; None where these would have nothing left."""
    empty, filled = int((counts == 0).sum()), int((counts != 0).sum())
    if not filled or 1e-4 * empty / filled >= 1:
        return None
    return counts.astype(dtype) + np.where(counts == 0, 1e-4, -1e-4 * empty / filled).astype(dtype)
