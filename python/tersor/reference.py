"""The specification: every operation again in plain NumPy, slow and obvious.

Tests compare the kernels with these functions, benchmarks time against them, and the documentation quotes them.
Unless a function says otherwise the kernels give exactly these bits. Arithmetic on float16 and bfloat16 happens in
float32, and results are rounded to the array's dtype once, half to even; a NaN result is the canonical quiet NaN.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, DTypeLike, NDArray

Array = NDArray[Any]


def arithmetic_dtype(dtype: DTypeLike) -> np.dtype[Any]:
    """float64 for float64, float32 for every narrower float."""
    return np.dtype(np.float64 if np.dtype(dtype) == np.float64 else np.float32)


# --- prune ---------------------------------------------------------------------------------------------------------


def mask_threshold(w: Array, eps: float) -> NDArray[np.bool_]:
    """True where ``|w| >= eps`` and where w is NaN. eps is first rounded to w's dtype, as NumPy and torch do."""
    with np.errstate(over="ignore"):
        threshold = np.asarray(eps).astype(w.dtype)
    return ~(np.abs(w) < threshold)


def prune_threshold(w: Array, eps: float) -> Array:
    """w where ``|w| >= eps``, else +0.0. NaN stays as it is; -0.0 becomes +0.0, for eps = 0 too."""
    return np.where(mask_threshold(w, eps) & (w != 0), w, w.dtype.type(0))


def apply_mask(w: Array, mask: NDArray[np.bool_]) -> Array:
    """w where the mask is True, bit for bit, else +0.0."""
    return np.where(mask, w, w.dtype.type(0))


def count_nonzero(w: Array) -> int:
    """How many entries differ from zero. NaN does; -0.0 does not."""
    return int((w != 0).sum())


def sparsity(w: Array) -> float:
    """Zeros / total; 0.0 for an empty array."""
    return (w.size - count_nonzero(w)) / w.size if w.size else 0.0


def _magnitude_order(w: Array) -> Array:
    """Indices of the flattened w from the smallest magnitude to the largest, ties by index, NaN last."""
    return np.argsort(np.abs(w.ravel()).astype(np.float64), kind="stable")


def mask_magnitude(w: Array, sparsity: float, axis: int | None = None) -> NDArray[np.bool_]:
    """False for the ``round_half_even(sparsity * n)`` entries of the smallest magnitude: of all n entries, or of the n of
    each row along ``axis``. Of entries that tie, NaN among themselves too, the first in C order go first."""
    if axis is not None:
        mask: NDArray[np.bool_] = np.empty(w.shape, np.bool_)
        for index in np.ndindex(*np.delete(w.shape, axis)):
            row = (*index[: axis % w.ndim], slice(None), *index[axis % w.ndim :])
            mask[row] = mask_magnitude(w[row], sparsity)
        return mask
    mask = np.ones(w.size, np.bool_)
    mask[_magnitude_order(w)[: round(sparsity * w.size)]] = False
    return mask.reshape(w.shape)


def prune_magnitude(w: Array, sparsity: float, axis: int | None = None) -> Array:
    """w where ``mask_magnitude`` is True, bit for bit, else +0.0."""
    return apply_mask(w, mask_magnitude(w, sparsity, axis))


# --- select ------------------------------------------------------------------------------------------------------


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


# --- bitmask -------------------------------------------------------------------------------------------------------


def pack_mask(mask: NDArray[np.bool_]) -> NDArray[np.uint8]:
    """Bits of each row of the last axis, least significant first, padded with 0 to whole bytes."""
    return np.packbits(mask, axis=-1, bitorder="little")


def unpack_mask(bits: NDArray[np.uint8], cols: int) -> NDArray[np.bool_]:
    """The first ``cols`` bits of each row. Padding bits are ignored."""
    return np.unpackbits(bits, axis=-1, count=cols, bitorder="little").view(np.bool_)


# --- quantize ------------------------------------------------------------------------------------------------------


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


# --- pack ----------------------------------------------------------------------------------------------------------


def pack_int4(q: NDArray[np.int8]) -> NDArray[np.uint8]:
    """Two's complement nibbles, the even column in the low one; an odd row ends with a high nibble of 0."""
    if q.size and (q.min() < -8 or q.max() > 7):
        raise ValueError("q holds values outside [-8, 7]")
    nibbles = q.astype(np.uint8) & 0x0F
    if q.shape[-1] % 2:
        nibbles = np.concatenate([nibbles, np.zeros_like(nibbles[..., :1])], axis=-1)
    return (nibbles[..., 0::2] | (nibbles[..., 1::2] << 4)).astype(np.uint8)


def unpack_int4(p: NDArray[np.uint8], cols: int) -> NDArray[np.int8]:
    """The first ``cols`` nibbles of each row, sign-extended."""
    nibbles = np.stack([p & 0x0F, p >> 4], axis=-1).reshape(*p.shape[:-1], 2 * p.shape[-1])[..., :cols]
    return ((nibbles ^ 8).astype(np.int16) - 8).astype(np.int8)


# --- softmax -------------------------------------------------------------------------------------------------------


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
