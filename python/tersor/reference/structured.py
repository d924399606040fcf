"""structured: units, which are whole rows or columns."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from tersor.reference._arithmetic import Array


def _sums_of_units(terms: Array, join: np.ufunc) -> Array:
    """Terms of shape (stretches, units, length) joined to one number a unit, in the order that the kernels keep to.

    Blocks of 128 stretches, one after the other; of their sums blocks of 2,048 within a unit, entry i on lane i % 64, and
    the lanes by halves; these blocks one after the other.
    """
    stretches, units, length = terms.shape
    total = np.zeros(units)
    for stretch in range(0, stretches, 128):
        column = np.zeros((units, length))
        for row in terms[stretch : stretch + 128]:
            column = join(column, row)
        for first in range(0, length, 2048):
            lanes = np.zeros((units, 64))
            for place in range(first, min(first + 2048, length), 64):
                group = column[:, place : min(place + 64, first + 2048, length)]
                lanes[:, : group.shape[1]] = join(lanes[:, : group.shape[1]], group)
            while lanes.shape[1] > 1:
                half = lanes.shape[1] // 2
                lanes = join(lanes[:, :half], lanes[:, half:])
            total = join(total, lanes[:, 0])
    return total


def score_units(
    w: Array, criterion: str = "l1", axis: int = 0, group_size: int = 1, gradient: Array | None = None
) -> NDArray[np.float64]:
    """One score for each ``group_size`` neighbours along ``axis``, over all that belongs to them on the other axes.

    l1: the sum of ``|w|``; l2: the square root of the sum of squares; max: the largest ``|w|``; taylor: the square of the
    sum of ``w * gradient``. All in float64. A NaN in a unit makes its score NaN; a unit without entries scores 0.
    """
    axis %= w.ndim
    units = w.shape[axis] // group_size
    shape = (int(np.prod(w.shape[:axis])), units, group_size * int(np.prod(w.shape[axis + 1 :])))
    x = w.astype(np.float64).reshape(shape)
    with np.errstate(all="ignore"):
        if criterion == "taylor":
            assert gradient is not None
            total = _sums_of_units(x * gradient.astype(np.float64).reshape(shape), np.add) ** 2
        elif criterion == "l2":
            total = np.sqrt(_sums_of_units(x * x, np.add))
        else:
            total = _sums_of_units(np.abs(x), np.maximum if criterion == "max" else np.add)
    return np.where(np.isnan(total), np.nan, total)


def select_units(scores: Array, sparsity: float, multiple_of: int = 1) -> NDArray[np.int64]:
    """The indexes that stay, ascending, when the ``round_half_even(sparsity * n)`` lowest of n scores go.

    The number that stays is rounded up to a multiple of ``multiple_of``, to n where that is less. Of scores that tie the
    first go first; NaN is the highest score.
    """
    n = scores.size
    kept = n - round(sparsity * n)
    kept = min(n, -(-kept // multiple_of) * multiple_of)
    return np.sort(np.argsort(scores.astype(np.float64), kind="stable")[n - kept :])


def remove_units(w: Array, keep: NDArray[np.int64], axis: int = 0, group_size: int = 1) -> Array:
    """The units of the given indexes, in a new array."""
    entries = (np.asarray(keep)[:, None] * group_size + np.arange(group_size)).ravel()
    return np.take(w, entries, axis)
