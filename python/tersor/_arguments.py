"""Shapes of outputs and the few arguments that Python reads itself; the rest is checked where it is used, in C++."""

from __future__ import annotations

import operator
from typing import Any

import numpy as np

MOST_BINS = 2**20  # as in C++, which checks them; here it keeps outputs small


def integer(number: Any, name: str) -> int:
    """An integer of any kind, but not a float."""
    try:
        return operator.index(number)
    except TypeError:
        raise TypeError(f"{name} must be an integer, not {type(number).__name__}") from None


def share(number: Any, name: str) -> float:
    """A number in [0, 1]."""
    try:
        value = float(number)
    except (TypeError, ValueError):
        raise TypeError(f"{name} must be a number in [0, 1], not {number!r}") from None
    if not 0 <= value <= 1:
        raise ValueError(f"{name} must be in [0, 1], got {value}")
    return value


def normal_axis(axis: int, ndim: int) -> int:
    """The axis counted from the front."""
    axis = integer(axis, "axis")
    if not -ndim <= axis < ndim:
        raise np.exceptions.AxisError(axis, ndim)
    return axis % ndim


def packed_shape(shape: Any, per_byte: int) -> tuple[int, ...]:
    """The last axis counted in bytes, rounded up. An array of no dimensions is left for the op to refuse."""
    return (*shape[:-1], -(-shape[-1] // per_byte)) if len(shape) else ()


def word_count(cols: int, bits: Any, word_bits: int = 8, padded: bool = False) -> int:
    """Words that ``cols`` codes take. What is out of range is left for the op to refuse."""
    bits = integer(bits, "bits")
    if not 1 <= bits <= 8:
        return 0
    words: int = -(-cols // (word_bits // bits)) if padded else -(-cols * bits // word_bits)
    return words


# Codes whose nibbles change places with each other.
_RUN_OF_ORDER = {"high_first": 2, "awq": 8, "halves": 32}


def packed_codes_shape(
    shape: Any, bits: Any, name: str, word_bits: int = 8, padded: bool = False, order: str = "low_first", axis: int = -1
) -> tuple[int, ...]:
    """One axis of the argument ``name`` counted in words of packed codes."""
    cols = columns_of(shape, name)
    if axis != -1:
        cols = shape[normal_axis(axis, len(shape))]
    run = _RUN_OF_ORDER.get(order, 1)
    return resized_shape(shape, axis, word_count(-(-cols // run) * run, bits, word_bits, padded))


def columns_of(shape: Any, name: str) -> int:
    """The length of the last axis of the argument ``name``."""
    if not len(shape):
        raise ValueError(f"{name} has no axis of columns; it must have at least one dimension")
    return int(shape[-1])


def nm_shapes(shape: Any, n: int, m: int) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Of values and indices of n:m storage. What is out of range is left for the op to refuse."""
    cols = columns_of(shape, "w")
    stored = cols // m * n + min(n, cols % m) if 1 <= n < m else 0
    return resized_shape(shape, -1, stored), packed_shape(resized_shape(shape, -1, stored * (m - 1).bit_length()), 8)


def unpacked_shape(shape: Any, cols: int, name: str, axis: int = -1) -> tuple[int, ...]:
    """An axis of the argument ``name`` replaced by ``cols`` columns."""
    if not len(shape):
        raise ValueError(f"{name} has no axis to unpack along; it must have at least one dimension")
    cols = integer(cols, "cols")
    if cols < 0:
        raise ValueError(f"cols must be at least 0, got {cols}")
    return resized_shape(shape, normal_axis(axis, len(shape)), cols)


def reduced_shape(shape: Any, axis: int) -> tuple[int, ...]:
    """Length 1 along ``axis``."""
    return resized_shape(shape, axis, 1)


def unit_count(shape: Any, axis: int, group_size: int) -> int:
    """How many times ``group_size`` goes into ``axis``; what does not go in evenly is left for the op to refuse."""
    entries, group_size = shape[normal_axis(axis, len(shape))], integer(group_size, "group_size")
    return int(entries // group_size) if group_size > 0 else 0


def resized_shape(shape: Any, axis: int, length: int) -> tuple[int, ...]:
    """Another length along ``axis``."""
    axis = normal_axis(axis, len(shape))
    return (*shape[:axis], length, *shape[axis + 1 :])


def bin_count(bins: Any) -> int:
    """A number of bins, where an array of edges could be."""
    try:
        count = operator.index(bins)
    except TypeError:
        raise TypeError(f"bins must be an integer or an array of edges, not {type(bins).__name__}") from None
    if not 1 <= count <= MOST_BINS:
        raise ValueError(f"bins must be in [1, {MOST_BINS}], got {count}")
    return count


def bounds(range: Any) -> tuple[float, float]:
    """What bins divide: two finite numbers in order."""
    try:
        low, high = (float(bound) for bound in range)
    except (TypeError, ValueError):
        raise TypeError(f"range must be a pair of numbers, not {range!r}") from None
    if not -np.inf < low <= high < np.inf:
        raise ValueError(f"range must be finite, and not decrease, got ({low}, {high})")
    return low, high


def pair_of_outputs(out: Any, names: str) -> tuple[Any, Any]:
    """out= of an operation with two results, which ``names`` lists."""
    if not isinstance(out, (tuple, list)) or len(out) != 2:
        raise TypeError(f"out must be a pair {names}")
    return out[0], out[1]


def pair(values: Any, name: str) -> tuple[Any, Any]:
    """What is given for x and y each."""
    try:
        first, second = values
    except (TypeError, ValueError):
        raise TypeError(f"{name} must be a pair, for x and for y") from None
    return first, second
