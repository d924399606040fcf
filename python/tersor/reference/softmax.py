"""softmax at a temperature."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from tersor.reference._arithmetic import Array


def softmax(x: Array, temperature: ArrayLike = 1.0, axis: int = -1) -> Array:
    """``exp(x / T)`` over its sum along ``axis``, in float64, rounded to x's dtype at the end.

    The temperature is a scalar, or an array that broadcasts to x with length 1 along ``axis``. T = 0 is the limit from
    above: the largest entries share 1 evenly. T = inf is the limit too: every entry but -inf gets the same. A row that
    holds NaN, or +inf at T > 0, or nothing but -inf, is NaN throughout. The kernels are within 2 ULP of this (float32,
    float64), or within 0.52 ULP (float16, bfloat16).
    """
    z = x.astype(np.float64)
    t = np.broadcast_to(np.asarray(temperature, np.float64), [1 if i == axis % x.ndim else n for i, n in enumerate(x.shape)])
    top = z.max(axis=axis, keepdims=True, initial=-np.inf)
    with np.errstate(all="ignore"):
        exponential = np.exp((z - top) / t)
        exponential = np.where(np.isinf(t), np.where(z == -np.inf, 0.0, np.exp(z - z)), exponential)
        exponential = np.where(t == 0, np.where(np.isnan(top), np.nan, z == top), exponential)
        exponential = np.where(np.isneginf(top), np.nan, exponential)
        shares: Array = exponential / exponential.sum(axis=axis, keepdims=True)
    return shares.astype(x.dtype)
