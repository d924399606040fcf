"""quantize: fewer bits a number."""

from __future__ import annotations

import numpy as np
from numpy.typing import DTypeLike, NDArray

from tersor.reference._arithmetic import Array, arithmetic_dtype


def round_fixed(w: Array, bits: int = 8) -> Array:
    """The nearest multiple of ``2**-bits``, ties to even, sign of zero kept. NaN and infinities stay.

    In float64 no step of this rounds but the ``rint`` for the narrower dtypes. float64 itself could overflow at the
    scaling: where ``|w| >= 2**(52 - bits)`` it is a multiple already.
    """
    x = w.astype(np.float64)
    fine = np.abs(x) < 2.0 ** (52 - bits)
    rounded = np.rint(np.where(fine, x, 0.0) * 2.0**bits) / 2.0**bits
    return np.where(fine, np.copysign(rounded, x), x).astype(w.dtype)


def quantize_int8(w: Array, axis: int = -1) -> tuple[NDArray[np.int8], Array]:
    """Symmetric int8 codes and one scale for each row along ``axis``; the scale keeps that axis with length 1.

    ``scale = absmax / 127`` over the finite entries of the row, and 1 where that is 0; ``q = rint(w / scale)``, half to
    even, clamped to [-127, 127]. Both divisions are correctly rounded in float32 (float64 for float64), whose dtype the
    scale has. An infinity becomes +-127, a NaN 0.
    """
    x = w.astype(arithmetic_dtype(w.dtype))
    magnitude = np.where(np.isfinite(x), np.abs(x), 0)
    absmax = magnitude.max(axis=axis, keepdims=True, initial=0)
    scale = absmax / x.dtype.type(127)
    scale[scale == 0] = 1
    with np.errstate(invalid="ignore", over="ignore"):
        q = np.clip(np.rint(x / scale), -127, 127)
    return np.where(np.isnan(x), 0, q).astype(np.int8), scale


def dequantize_int8(q: NDArray[np.int8], scale: Array, dtype: DTypeLike | None = None) -> Array:
    """``q * scale`` in the scale's dtype, rounded once to ``dtype``."""
    product = q.astype(scale.dtype) * scale
    with np.errstate(over="ignore"):
        return product.astype(scale.dtype if dtype is None else dtype)
