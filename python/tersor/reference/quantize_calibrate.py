"""Calibrator: the histogram of all numbers that were seen, and the range that keeps the most information."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from tersor.reference._arithmetic import Array


def binned_counts(x: Array, bins: int) -> tuple[int, int, Array]:
    """The exponent e, the number of the first bin, and the counts of the finite numbers in bins
    ``[k * 2**e, (k + 1) * 2**e)``, with the least e for which at most ``bins`` reach from the least number to the greatest;
    but 2**e is no less than 2**-40 of the greatest magnitude rounded up to a power of two."""
    numbers = [float(number) for number in np.ravel(x) if np.isfinite(number)]
    exponent = max(-1022, math.frexp(max(map(abs, numbers)))[1] - 40)
    while True:
        places = [math.floor(number / 2.0**exponent) for number in numbers]
        if max(places) - min(places) < bins:
            break
        exponent += 1
    return exponent, min(places), np.bincount(np.array(places) - min(places))


def entropy_bounds(counts: Array, levels: int) -> tuple[int, int]:
    """The edges between which a histogram around zero is cut, for every number of bins from ``levels`` on: what lies outside
    goes to the outermost bins; beside it stands what is left when the bins within become ``levels`` ones, of as many bins
    each, and each of these is spread evenly over those of its bins that are not empty. The first number with the least
    divergence of Kullback and Leibler is taken.

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
        found.append((_divergence(p, q), start, end))
    if not found:
        return 0, len(counts)
    _, start, end = found[int(np.argmin([divergence for divergence, _, _ in found]))]
    return start, end


def _divergence(p: Array, q: Array) -> float:
    smooth = [_smoothed(p), _smoothed(q)]
    if any(part is None for part in smooth):
        return math.inf
    a, b = (part / part.sum() for part in smooth)
    return float((a * np.log(a / b)).sum())


def _smoothed(counts: Array) -> Any:
    """1e-4 for each empty bin, taken from the others in equal parts, in float32."""
    empty, filled = int((counts == 0).sum()), int((counts != 0).sum())
    if not filled:
        return None
    return counts.astype(np.float32) + np.where(counts == 0, np.float32(1e-4), np.float32(-1e-4 * empty / filled))
