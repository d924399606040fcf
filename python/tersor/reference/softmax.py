"""softmax at a temperature, its logarithm, what it divides by, and the gradients."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from tersor.reference._arithmetic import Array


def _of_rows(temperature: ArrayLike, x: Array, axis: int) -> Array:
    """The temperatures in float64, with length 1 along ``axis``."""
    return np.broadcast_to(
        np.asarray(temperature, np.float64), [1 if i == axis % x.ndim else n for i, n in enumerate(x.shape)]
    )


def softmax(x: Array, temperature: ArrayLike = 1.0, axis: int = -1) -> Array:
    """``exp(x / T)`` over its sum along ``axis``, in float64, rounded to x's dtype at the end.

    The temperature is a scalar, or an array that broadcasts to x with length 1 along ``axis``. T = 0 is the limit from
    above: the largest entries share 1 evenly. T = inf is the limit too: every entry but -inf gets the same. A row that
    holds NaN, or +inf at T > 0, or nothing but -inf, is NaN throughout. The kernels are within 2 ULP of this (float32,
    float64), or within 0.52 ULP (float16, bfloat16).
    """
    z = x.astype(np.float64)
    t = _of_rows(temperature, x, axis)
    top = z.max(axis=axis, keepdims=True, initial=-np.inf)
    with np.errstate(all="ignore"):
        exponential = np.exp((z - top) / t)
        exponential = np.where(np.isinf(t), np.where(z == -np.inf, 0.0, np.exp(z - z)), exponential)
        exponential = np.where(t == 0, np.where(np.isnan(top), np.nan, z == top), exponential)
        exponential = np.where(np.isneginf(top), np.nan, exponential)
        shares: Array = exponential / exponential.sum(axis=axis, keepdims=True)
    return shares.astype(x.dtype)


def _sums(x: Array, temperature: ArrayLike, axis: int) -> tuple[Array, Array, Array, Array]:
    """x, T, the largest entries and ``log(sum(exp((x - top) / T)))``, in float64, with length 1 along ``axis``.

    At the limits of T the sum is the number of entries that have a share. Rows with NaN have NaN, rows without entries
    above -inf have -inf.
    """
    z = x.astype(np.float64)
    t = _of_rows(temperature, x, axis)
    top = z.max(axis=axis, keepdims=True, initial=-np.inf)
    with np.errstate(all="ignore"):
        terms = np.exp((z - top) / t)
        terms = np.where(np.isinf(t), np.where(np.isnan(z), np.nan, z > -np.inf), terms)
        terms = np.where(t == 0, np.where(np.isnan(z), np.nan, (z == top) & (z > -np.inf)), terms)
        terms = np.where(np.isneginf(top), 0.0, terms)
        return z, t, top, np.log(terms.sum(axis=axis, keepdims=True))


def log_softmax(x: Array, temperature: ArrayLike = 1.0, axis: int = -1) -> Array:
    """``x / T - log(sum(exp(x / T)))`` along ``axis``, in float64, rounded to x's dtype at the end.

    Where softmax is NaN, so is this. T = 0: the largest entries share 1 evenly and the others have -inf. T = inf: every
    entry but -inf has the same.
    """
    z, t, top, sums = _sums(x, temperature, axis)
    with np.errstate(all="ignore"):
        logs = (z - top) / t - sums
        logs = np.where(np.isinf(t), np.where(z > -np.inf, 0 - sums, -np.inf), logs)
        logs = np.where(t == 0, np.where(z == top, 0 - sums, -np.inf), logs)
        without = np.isnan(sums) | np.isneginf(top) | (np.isposinf(top) & (t > 0))
        return np.where(without, np.nan, logs).astype(x.dtype)


def logsumexp(x: Array, temperature: ArrayLike = 1.0, axis: int = -1, keepdims: bool = False) -> Array:
    """``log(sum(exp(x / T)))`` along ``axis``, in float64, rounded to x's dtype at the end.

    A row without entries above -inf gives -inf, one with +inf gives inf (NaN at T = inf), one with NaN gives NaN. T = 0
    is the limit from above: inf or -inf by the sign of the largest entry, log(k) where k entries of 0 are the largest.
    """
    _, t, top, sums = _sums(x, temperature, axis)
    with np.errstate(all="ignore"):
        values = np.where(np.isinf(t), sums, top / t + sums)
        values = np.where(t == 0, np.where(top == 0, sums, np.copysign(np.inf, top)), values)
        values = np.where(np.isposinf(top), np.where(np.isinf(t), np.nan, np.inf), values)
        values = np.where(np.isneginf(top), -np.inf, values)
        values = np.where(np.isnan(x.astype(np.float64)).any(axis=axis, keepdims=True), np.nan, values)
    return (values if keepdims else values.squeeze(axis)).astype(x.dtype)


def softmax_backward(grad: Array, y: Array, temperature: ArrayLike = 1.0, axis: int = -1) -> Array:
    """``y * (grad - sum(grad * y)) / T`` in float64, rounded to y's dtype at the end; 0 at T = 0 and T = inf."""
    g, p, t = grad.astype(np.float64), y.astype(np.float64), _of_rows(temperature, y, axis)
    with np.errstate(all="ignore"):
        gradient = p * (g - (g * p).sum(axis=axis, keepdims=True)) / t
    return np.where((t == 0) | np.isinf(t), 0.0, gradient).astype(y.dtype)


def log_softmax_backward(grad: Array, y: Array, temperature: ArrayLike = 1.0, axis: int = -1) -> Array:
    """``(grad - exp(y) * sum(grad)) / T`` in float64, rounded to y's dtype at the end; 0 at T = 0 and T = inf.

    Entries of y above 0 count as 0.
    """
    g, t = grad.astype(np.float64), _of_rows(temperature, y, axis)
    with np.errstate(all="ignore"):
        gradient = (g - np.exp(np.minimum(y.astype(np.float64), 0)) * g.sum(axis=axis, keepdims=True)) / t
    return np.where((t == 0) | np.isinf(t), 0.0, gradient).astype(y.dtype)


def logsumexp_backward(grad: Array, x: Array, temperature: ArrayLike = 1.0, axis: int = -1) -> Array:
    """``grad * softmax(x, T) / T`` in float64, rounded to x's dtype at the end; 0 at T = 0 and T = inf.

    grad has x's shape without the axis, or with length 1 there.
    """
    g = grad.astype(np.float64)
    t = _of_rows(temperature, x, axis)
    with np.errstate(all="ignore"):
        shares = np.exp(log_softmax(x.astype(np.float64), temperature, axis))
        gradient = (g if g.ndim == x.ndim else np.expand_dims(g, axis)) * shares / t
    zero = ((t == 0) | np.isinf(t)) & ~np.isnan(shares)
    return np.where(zero, 0.0, gradient).astype(x.dtype)
