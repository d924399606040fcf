"""fake_quantize: what codes stand for, without the codes, and its gradients."""

from __future__ import annotations

from typing import Any

import numpy as np

from tersor.reference._arithmetic import Array, arithmetic_dtype
from tersor.reference.quantize_conventions import CONVENTIONS
from tersor.reference.quantize_groups import Codes, dequantize, groups_of, quantize, rounded


def fake_quantize(w: Array, bits: int = 8, **options: Any) -> Array:
    """``dequantize(quantize(w, bits, **options))``, rounded to w's dtype."""
    q, scale, zero_point = quantize(w, bits, **options)
    given = {name: options[name] for name in ("granularity", "axis", "group_size") if name in options}
    return dequantize(q, scale, zero_point, w.dtype, bits=bits, **given)


def fake_quantize_backward(
    grad: Array,
    w: Array,
    scale: Array,
    zero_point: Codes | None = None,
    *,
    bits: int = 8,
    granularity: str = "row",
    axis: int = -1,
    group_size: int = 128,
    signed: bool | None = None,
    convention: str = "tersor",
    rounding: str | None = None,
    seed: int = 0,
    gradient_scale: float = 1.0,
) -> tuple[Array, Array, Array | None]:
    """Gradients of the sum of ``grad * fake_quantize(w)`` by w, scale and zero point, if rounding had the slope 1.

    Where a code is not clamped the number is ``(round(x / scale) + zero - zero) * scale``: its gradient by x is 1, by the
    scale ``round(x / scale) - x / scale``, by the zero point 0. Where it is clamped to an end the number is
    ``(end - zero) * scale``: 0, ``end - zero``, ``-scale``. What is clamped is what each convention clamps.

    Esser et al., "Learned Step Size Quantization" (2020); Bhalgat et al., "LSQ+" (2020).
    """
    groups = groups_of(w.shape, granularity, group_size, axis)
    symmetric = zero_point is None
    rule_of = CONVENTIONS[convention]
    if signed is None:
        signed = rule_of.own_signed(bits, symmetric)
    rule = rule_of(bits, symmetric, signed, w.dtype, scale.dtype)
    how = rule.own_rounding if rounding is None else rounding
    x = w.astype(arithmetic_dtype(w.dtype))
    step = groups.spread(scale).astype(x.dtype)
    zero = np.broadcast_to(rule.middle if zero_point is None else groups.spread(zero_point), w.shape).astype(x.dtype)
    quotient = np.nan_to_num(rule.quotient(x, step), nan=0, posinf=np.inf, neginf=-np.inf)
    place = rule.place(quotient, zero, lambda y: rounded(y, how, seed))
    code = rule.clamped(place, lambda y: rounded(y, how, seed))
    passes = (place >= rule.least) & (place <= rule.most)
    slope = (code - zero) - np.where(passes, quotient, 0)
    products = grad.astype(np.float64) * slope.astype(np.float64)
    clamped = np.where(passes, 0, grad.astype(np.float64))
    of_scale = _sums(products, groups, scale.shape) * gradient_scale
    result_dtype = arithmetic_dtype(scale.dtype)
    grad_w = np.where(passes, grad, grad.dtype.type(0))
    if zero_point is None:
        return grad_w, of_scale.astype(result_dtype), None
    of_zero = -scale.astype(np.float64) * _sums(clamped, groups, scale.shape) * gradient_scale
    return grad_w, of_scale.astype(result_dtype), of_zero.astype(result_dtype)


def _sums(terms: Array, groups: Any, shape: tuple[int, ...]) -> Array:
    """Of each group; the order of additions is the kernels' own matter."""
    place = groups.spread(np.arange(int(np.prod(shape))).reshape(shape))
    return np.bincount(place.ravel(), terms.ravel(), int(np.prod(shape))).reshape(shape)
