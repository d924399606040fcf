"""quantize: codes of 2 to 8 bits, with a scale and a zero point for each group of entries."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from tersor.reference._arithmetic import Array, arithmetic_dtype
from tersor.reference.prune import random_words
from tersor.reference.quantize_conventions import CONVENTIONS, Convention
from tersor.reference.quantize_search import (
    entropy_ranges,
    first_sides,
    least_error_shares,
    percentile_ranges,
    shares_of_range,
    squared_errors,
)

Codes = NDArray[np.int8] | NDArray[np.uint8]

# --- rounding to an integer ------------------------------------------------------------------------------------------


def half_away(x: Array) -> Array:
    """The nearest integer, ties away from zero. What is left of x is exact."""
    whole = np.trunc(x)
    return np.where(np.abs(x - whole) >= 0.5, whole + np.copysign(1, x), whole).astype(x.dtype)


def half_up(x: Array) -> Array:
    """The nearest integer, ties to the greater one."""
    whole = np.floor(x)
    return np.where(x - whole >= 0.5, whole + 1, whole).astype(x.dtype)


ROUNDINGS: dict[str, Callable[[Array], Array]] = {
    "half_even": np.rint,
    "half_away": half_away,
    "half_up": half_up,
    "truncate": np.trunc,
}


def stochastic(x: Array, seed: int) -> Array:
    """The integer below, or the one above with the probability of the fraction: it goes up where the upper 24 bits of
    the entry's random number, as a fraction, are less than its own."""
    random = (random_words(x.shape, seed) >> np.uint32(8)) * 2.0**-24
    whole = np.floor(x)
    return np.where(x - whole > random, whole + 1, whole).astype(x.dtype)


def rounded(x: Array, rounding: str, seed: int) -> Array:
    """Integral values; infinities and NaN stay."""
    return stochastic(x, seed) if rounding == "stochastic" else ROUNDINGS[rounding](x)


# --- groups ----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Groups:
    """Runs of ``size`` entries along ``axis``, the last one shorter; of all entries where axis is None."""

    shape: tuple[int, ...]
    axis: int | None
    size: int

    @property
    def scale_shape(self) -> tuple[int, ...]:
        """Of what there is one of for each group."""
        if self.axis is None:
            return (1,) * len(self.shape)
        count = -(-self.shape[self.axis] // self.size)
        return (*self.shape[: self.axis], count, *self.shape[self.axis + 1 :])

    def ranges(self, x: Array) -> tuple[Array, Array]:
        """The least and the greatest finite entry of each group; 0 and 0 where there is none."""
        return self._side(x, np.minimum, np.inf), self._side(x, np.maximum, -np.inf)

    def _side(self, x: Array, pick: np.ufunc, nothing: float) -> Array:
        finite = np.where(np.isfinite(x), x, nothing)
        if self.axis is None:
            found = np.full(self.scale_shape, pick.reduce(finite, axis=None, initial=nothing))
        else:
            missing = [(0, 0)] * x.ndim
            missing[self.axis] = (0, -x.shape[self.axis] % self.size)
            whole = np.pad(finite, missing, constant_values=nothing)
            parts = (*x.shape[: self.axis], -1 if whole.size else 0, self.size, *x.shape[self.axis + 1 :])
            found = pick.reduce(whole.reshape(parts), axis=self.axis + 1) if whole.size else np.empty(self.scale_shape)
        return np.where(np.isfinite(found), found, 0).astype(x.dtype)

    def spread(self, of_groups: Array) -> Array:
        """What belongs to a group, at each of its entries."""
        if self.axis is None:
            return np.broadcast_to(of_groups, self.shape)
        return np.take(of_groups, np.arange(self.shape[self.axis]) // self.size, self.axis)


def groups_of(shape: tuple[int, ...], granularity: str, group_size: int = 128, axis: int = -1) -> Groups:
    """ "tensor": one group; "row": the whole ``axis``; "column": the whole axis before the last; "group": a part."""
    if granularity == "tensor":
        return Groups(shape, None, 0)
    axis = len(shape) - 2 if granularity == "column" else axis % len(shape)
    return Groups(shape, axis, group_size if granularity == "group" else max(shape[axis], 1))


# --- the operations --------------------------------------------------------------------------------------------------


def quantize(
    w: Array,
    bits: int = 8,
    *,
    granularity: str = "row",
    axis: int = -1,
    group_size: int = 128,
    symmetric: bool = True,
    signed: bool | None = None,
    convention: str = "tersor",
    rounding: str | None = None,
    seed: int = 0,
    scale_dtype: DTypeLike | None = None,
    scale_method: str = "minmax",
    percentile: float = 99.9,
    max_shrink: float = 0.8,
    grid: int = 100,
    importance: Array | None = None,
    bins: int | None = None,
    scale: Array | None = None,
    zero_point: Codes | None = None,
) -> tuple[Codes, Array, Codes | None]:
    """Codes, and the scale and zero point of each group; these are given or come from the range of its finite entries: all
    of it; for "percentile" what so many entries lie within; for "mse" the share that leaves the least error; for "entropy"
    the part that keeps the most information.

    A scale is at most the greatest number of its dtype and of that of arithmetic. Codes are made with scales as they are
    stored. An infinity becomes the least or the greatest code, a NaN the zero point.
    """
    groups = groups_of(w.shape, granularity, group_size, axis)
    rule_of = CONVENTIONS[convention]
    if signed is None:
        signed = rule_of.own_signed(bits, symmetric)
    x = w.astype(arithmetic_dtype(w.dtype))
    if scale_dtype is None:
        scale_dtype = w.dtype if convention in ("compressed-tensors", "awq", "matmulnbits") else x.dtype
    rule = rule_of(bits, symmetric, signed, w.dtype, np.dtype(scale_dtype))
    how = rule.own_rounding if rounding is None else rounding
    code_dtype = np.int8 if signed else np.uint8
    if scale is None:
        low, high = groups.ranges(x)
        where = (groups.scale_shape, groups.axis, groups.size)
        if scale_method == "percentile":
            low, high = percentile_ranges(x, *where, percentile, symmetric)
        if scale_method == "entropy":
            low, high = entropy_ranges(x, *where, 2 ** (bits - 1), 8 * 2**bits if bins is None else bins)
        if rule.first_side:
            low, high = first_sides(x, low, high, groups.axis, groups.size)
        if scale_method == "mse":

            def errors(share: float) -> Array:
                scales, zero_points = scales_of(rule, low * x.dtype.type(share), high * x.dtype.type(share))
                scale, zero_point = (groups.spread(part).astype(x.dtype) for part in (scales, zero_points))
                return squared_errors(x, scale, zero_point, rule.least, rule.most, importance)

            shares = least_error_shares(errors, *where, shares_of_range(max_shrink, grid)).astype(x.dtype)
            low, high = low * shares, high * shares
        scale, found = scales_of(rule, low, high)
        if not symmetric:
            zero_point = found.astype(code_dtype)
    zero = np.asarray(rule.middle) if zero_point is None else groups.spread(zero_point)
    zero = np.broadcast_to(zero, w.shape).astype(x.dtype)
    codes = rule.codes(x, groups.spread(scale).astype(x.dtype), zero, lambda y: rounded(y, how, seed))
    return np.where(np.isnan(codes), zero, codes).astype(code_dtype), scale, zero_point


def scales_of(rule: Convention, low: Array, high: Array) -> tuple[Array, Array]:
    """Scales as they are stored, and zero points, of the ranges of groups."""
    low, high = rule.range(low, high)
    exact = rule.scales(low, high)
    most = min(greatest(rule.scale_dtype), greatest(arithmetic_dtype(rule.w_dtype)))
    stored = np.clip(exact, -most, most).astype(rule.scale_dtype)
    unusable = (stored == 0) | (np.abs(exact) < rule.least_scale)
    scale = stored if rule.instead is None else np.where(unusable, np.asarray(rule.instead).astype(rule.scale_dtype), stored)
    if rule.symmetric:
        return scale, np.full(scale.shape, rule.middle, low.dtype)
    return scale, rule.zero_points(low, scale.astype(low.dtype), exact, unusable)


def dequantize(
    q: Codes,
    scale: Array,
    zero_point: Codes | None = None,
    dtype: DTypeLike | None = None,
    *,
    granularity: str = "row",
    axis: int = -1,
    group_size: int = 128,
    bits: int = 8,
) -> Array:
    """``(q - zero_point) * scale`` in the scale's dtype of arithmetic, rounded once to ``dtype``. Unsigned codes without a
    zero point have that of symmetric ones, ``2**(bits - 1)``."""
    groups = groups_of(q.shape, granularity, group_size, axis)
    math = arithmetic_dtype(scale.dtype)
    middle = 2 ** (bits - 1) if q.dtype == np.uint8 else 0
    zero = np.asarray(middle) if zero_point is None else groups.spread(zero_point)
    product = (q.astype(math) - zero.astype(math)) * groups.spread(scale).astype(math)
    with np.errstate(over="ignore"):
        return np.asarray(product.astype(scale.dtype if dtype is None else dtype))


def greatest(dtype: np.dtype[Any]) -> float:
    """Of a floating dtype."""
    digits, most_exponent = {"float32": (24, 128), "float16": (11, 16), "bfloat16": (8, 128), "float64": (53, 1024)}[
        dtype.name
    ]
    return float((2.0 - 2.0 ** (1 - digits)) * 2.0 ** (most_exponent - 1))
