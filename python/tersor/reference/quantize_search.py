"""quantize: which part of a group's range leaves the least error or keeps the most information, and percentiles of a group.

Sources: Frantar et al., "GPTQ" (2022), whose ``Quantizer.find_params`` tries shrunken ranges with ``maxshrink`` and
``grid``; here the error is the sum of squares.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np

from tersor.reference._arithmetic import Array
from tersor.reference.quantize_calibrate import counts_around_zero, entropy_bounds

LANES = 16
ALONG = 4096  # entries of a run that lanes add up before the sum is kept in float64
DOWN = 64  # likewise where groups lie side by side and each is a lane


def shares_of_range(max_shrink: float, grid: int) -> list[float]:
    """What ranges are multiplied by, the whole one first."""
    return [1 - i / grid for i in range(max(int(max_shrink * grid), 1))]


def squared_errors(x: Array, scale: Array, zero_point: Array, least: int, most: int, importance: Array | None) -> Array:
    """What codes leave of each finite entry, squared; 0 for others. In the dtype of x, like scale and zero_point."""
    largest = np.finfo(x.dtype).max
    with np.errstate(divide="ignore", over="ignore"):
        reciprocal = np.clip(x.dtype.type(1) / scale, -largest, largest)
    steps = np.clip(np.rint(np.where(np.isfinite(x), x, 0) * reciprocal), least - zero_point, most - zero_point)
    error = x - steps * scale
    square = np.where(np.isfinite(x), error * error, x.dtype.type(0))
    return square if importance is None else np.asarray(square * importance)


def padded(x: Array, multiple: int) -> Array:
    """The last axis with zeros at its end."""
    return np.pad(x, [(0, 0)] * (x.ndim - 1) + [(0, -x.shape[-1] % multiple)])


def sum_along(runs: Array) -> Array:
    """Of each run of the last axis: 16 lanes take turns; lane i meets lane i + 8, then i + 4, i + 2, i + 1."""
    block = min(ALONG, -(-runs.shape[-1] // LANES) * LANES)
    blocks = padded(runs, block)
    lanes = blocks.reshape(*runs.shape[:-1], -1, block // LANES, LANES).cumsum(axis=-2)[..., -1, :]
    for width in (8, 4, 2, 1):
        lanes = lanes[..., :width] + lanes[..., width:]
    return np.asarray(lanes[..., 0].cumsum(axis=-1, dtype=np.float64)[..., -1])


def sum_down(runs: Array) -> Array:
    """Of each run of the last axis: one entry after the other."""
    blocks = padded(runs, DOWN).reshape(*runs.shape[:-1], -1, DOWN)
    return np.asarray(blocks.cumsum(axis=-1)[..., -1].cumsum(axis=-1, dtype=np.float64)[..., -1])


def sums_of_groups(squares: Array, scale_shape: tuple[int, ...], axis: int | None, size: int) -> Array:
    """In the shape of scales. Where what comes after the axis has more than one entry, groups lie side by side."""
    if not squares.size:
        return np.zeros(scale_shape)
    if axis is None:
        return sum_along(squares.reshape(1, -1)).reshape(scale_shape)
    moved = padded(np.moveaxis(squares, axis, -1), size)
    is_run = int(np.prod(squares.shape[axis + 1 :])) == 1
    sums = (sum_along if is_run else sum_down)(moved.reshape(*moved.shape[:-1], -1, size))
    return np.moveaxis(sums, -1, axis)


def runs_of(of_entries: Array, axis: int | None, size: int) -> Iterator[tuple[tuple[int, ...], Array]]:
    """The place of each group among scales, and its entries."""
    if axis is None:
        yield (0,) * of_entries.ndim, of_entries.ravel()
        return
    moved = np.moveaxis(of_entries, axis, -1)
    for outer in np.ndindex(moved.shape[:-1]):
        for group in range(-(-moved.shape[-1] // size)):
            place = list(outer)
            place.insert(axis, group)
            yield tuple(place), moved[outer][group * size : (group + 1) * size]


def least_error_shares(
    error_of_share: Callable[[float], Array], scale_shape: tuple[int, ...], axis: int | None, size: int, shares: list[float]
) -> Array:
    """Of each group, the share of its range with the least sum of squared errors; the greatest of several alike.
    ``error_of_share`` gives the squared errors of all entries."""
    best, least = np.ones(scale_shape), sums_of_groups(error_of_share(shares[0]), scale_shape, axis, size)
    for share in shares[1:]:
        errors = sums_of_groups(error_of_share(share), scale_shape, axis, size)
        is_less = errors < least
        best, least = np.where(is_less, share, best), np.where(is_less, errors, least)
    return best


def percentile_ranges(
    x: Array, scale_shape: tuple[int, ...], axis: int | None, size: int, percentile: float, symmetric: bool
) -> tuple[Array, Array]:
    """Of each group what a percentage of its entries lies within, by nearest rank: of symmetric codes the magnitude that so
    many do not exceed; else the number that so many do not exceed, and the one that so many are not below. NaN counts as the
    greatest, and no range reaches beyond the finite entries."""
    lows, highs = np.zeros(scale_shape, x.dtype), np.zeros(scale_shape, x.dtype)
    for place, run in runs_of(x, axis, size):
        finite, rank = run[np.isfinite(run)], max(int(np.ceil(percentile / 100 * len(run))), 1)
        if not len(finite):
            continue
        ordered = np.sort(np.abs(run) if symmetric else run)
        high = ordered[rank - 1]
        low = -high if symmetric else ordered[len(run) - rank]
        lows[place] = np.fmin(np.fmax(finite.min(), low), finite.max())
        highs[place] = np.fmax(np.fmin(finite.max(), high), finite.min())
    return lows, highs


def entropy_ranges(
    x: Array, scale_shape: tuple[int, ...], axis: int | None, size: int, levels: int, bins: int
) -> tuple[Array, Array]:
    """Of each group the part of its range in which ``levels`` levels keep the most information about its finite entries, as
    a histogram around zero has them; no further than these go."""
    lows, highs = np.zeros(scale_shape, x.dtype), np.zeros(scale_shape, x.dtype)
    for place, run in runs_of(x, axis, size):
        finite = run[np.isfinite(run)]
        if not len(finite):
            continue
        exponent, counts = counts_around_zero(finite, bins)
        bounds = np.array(entropy_bounds(counts, levels, np.float64)) - len(counts) // 2
        with np.errstate(over="ignore"):
            below, above = np.ldexp(bounds.astype(np.float64), exponent).astype(x.dtype)
        lows[place], highs[place] = max(finite.min(), below), min(finite.max(), above)
    return lows, highs


def first_sides(x: Array, low: Array, high: Array, axis: int | None, size: int) -> tuple[Array, Array]:
    """Where a range reaches as far to either side of zero, only the side that the first entry so far out lies on; the other
    ends at zero."""
    low, high = low.copy(), high.copy()
    for place, run in runs_of(x, axis, size):
        if low[place] == -high[place] != 0:
            first = run[np.isfinite(run) & (np.abs(run) >= high[place])][0]
            (high if first < 0 else low)[place] = 0
    return low, high
