"""quantize: how far what codes stand for is from the numbers that they were made of."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from tersor.reference._arithmetic import Array, arithmetic_dtype
from tersor.reference.quantize_groups import Codes, dequantize, groups_of


class Errors(NamedTuple):
    """Of each group, as arrays of the scale's shape; or of the whole, as numbers."""

    mse: Array
    max: Array
    sqnr: Array
    cosine: Array


def quantization_error(
    w: Array,
    q: Codes,
    scale: Array,
    zero_point: Codes | None = None,
    *,
    per_group: bool = False,
    granularity: str = "row",
    axis: int = -1,
    group_size: int = 128,
    bits: int = 8,
) -> Errors:
    """The errors of ``dequantize`` to float32 (float64 for float64 scales), in float64, like squares, products and sums.

    A group with a NaN error has only NaN, and so has one without entries. The ratio of signal to noise is infinite
    without an error, and NaN where there is no signal either; the cosine is NaN where either side is 0.
    """
    given = {"granularity": granularity, "axis": axis, "group_size": group_size}
    numbers = dequantize(q, scale, zero_point, arithmetic_dtype(scale.dtype), bits=bits, **given)  # type: ignore[arg-type]
    x, y = w.astype(np.float64), numbers.astype(np.float64)
    error = x - y
    groups = groups_of(w.shape, granularity, group_size, axis)
    if per_group:
        place = groups.spread(np.arange(scale.size).reshape(scale.shape))
        members = [place == group for group in range(scale.size)]
        found = [_errors(x[member], y[member], error[member]) for member in members]
        return Errors(*(np.array(part, np.float64).reshape(scale.shape) for part in zip(*found, strict=True)))
    return _errors(x, y, error)


def _errors(x: Array, y: Array, error: Array) -> Errors:
    noise, signal = (error * error).sum(), (x * x).sum()
    if x.size == 0 or np.isnan(noise):
        return Errors(*(np.asarray(np.nan),) * 4)
    return Errors(
        noise / x.size,
        np.abs(error).max(),
        10 * np.log10(signal / noise),
        (x * y).sum() / (np.sqrt(signal) * np.sqrt((y * y).sum())),
    )
