"""Shapes of outputs and the few arguments that Python reads itself; the rest is checked where it is used, in C++."""

from __future__ import annotations

import operator
from typing import Any

import numpy as np


def _integer(number: Any, name: str) -> int:
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
    axis = _integer(axis, "axis")
    if not -ndim <= axis < ndim:
        raise np.exceptions.AxisError(axis, ndim)
    return axis % ndim


def packed_shape(shape: Any, per_byte: int) -> tuple[int, ...]:
    """The last axis counted in bytes, rounded up. An array of no dimensions is left for the op to refuse."""
    return (*shape[:-1], -(-shape[-1] // per_byte)) if len(shape) else ()


def unpacked_shape(shape: Any, cols: int, name: str) -> tuple[int, ...]:
    """The last axis of the argument ``name`` replaced by ``cols`` columns."""
    if not len(shape):
        raise ValueError(f"{name} has no axis to unpack along; it must have at least one dimension")
    cols = _integer(cols, "cols")
    if cols < 0:
        raise ValueError(f"cols must be at least 0, got {cols}")
    return (*shape[:-1], cols)


def reduced_shape(shape: Any, axis: int) -> tuple[int, ...]:
    """Length 1 along ``axis``."""
    return resized_shape(shape, axis, 1)


def unit_count(shape: Any, axis: int, group_size: int) -> int:
    """How many times ``group_size`` goes into ``axis``; what does not go in evenly is left for the op to refuse."""
    entries, group_size = shape[normal_axis(axis, len(shape))], _integer(group_size, "group_size")
    return int(entries // group_size) if group_size > 0 else 0


def resized_shape(shape: Any, axis: int, length: int) -> tuple[int, ...]:
    """Another length along ``axis``."""
    axis = normal_axis(axis, len(shape))
    return (*shape[:axis], length, *shape[axis + 1 :])
