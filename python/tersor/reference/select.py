"""select: exact order statistics, by sorting."""

from __future__ import annotations

from typing import Any

import numpy as np

from tersor.reference._arithmetic import Array


def kth_value(w: Array, k: int) -> float:
    """The kth smallest value, k from 1; NaN is larger than infinity, -0.0 smaller than +0.0."""
    x = w.ravel().astype(np.float64)
    return float(x[np.lexsort((~np.signbit(x), x))][k - 1])


def kth_magnitude(w: Array, k: int) -> float:
    """The kth smallest ``|w|``."""
    return float(np.sort(np.abs(w.ravel()).astype(np.float64))[k - 1])


def quantile(w: Array, q: Any) -> Any:
    """NumPy's linear interpolation in float64."""
    return np.quantile(w.astype(np.float64), q)


def magnitude_threshold(w: Array, sparsity: float) -> float:
    """The least magnitude that stays when ``round_half_even(sparsity * n)`` of n entries go; infinity where none does."""
    count = round(sparsity * w.size)
    return float("inf") if count == w.size else kth_magnitude(w, count + 1)
