"""fake_quantize: what quantized numbers become, without their codes, and the gradients to train with."""

from __future__ import annotations

from typing import Any

from tersor import _core
from tersor._arguments import integer
from tersor._groups import empty_scales, groups_in, is_signed, is_symmetric
from tersor._outputs import framework_of, is_float64


def fake_quantize(
    w: Any,
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
    scale_dtype: Any = None,
    scale: Any = None,
    zero_point: Any = None,
    out: Any = None,
) -> Any:
    """Round numbers to what ``dequantize`` would make of their codes, in one pass that stores no codes.

    Parameters
    ----------
    w : array, float32, float16, bfloat16 or float64
    bits : int in [2, 8], default 8
    granularity : {"row", "tensor", "column", "group"}, default "row"
        As in ``quantize``, like all of the following.
    axis : int, default -1
    group_size : int, default 128
    symmetric : bool, default True
    signed : bool, optional
    convention : str, default "tersor"
        One of those of ``quantize``.
    rounding : {"half_even", "half_away", "half_up", "truncate", "stochastic"}, optional
    seed : int in [0, 2**64), default 0
    scale_dtype : name, NumPy dtype or torch dtype, optional
        What scales are rounded to before numbers are divided by them.
    scale, zero_point : arrays, optional
        Given scales and zero points; else they are made from w, and not kept.
    out : array of w's shape and dtype, optional
        Where the result goes; it may be w.

    Returns
    -------
    array
        ``out``, or a new array of w's kind, shape and dtype, on its device.

    Raises
    ------
    ValueError
        An argument is out of range or unknown; a scale or out has another shape; out is read-only, or overlaps an array
        without being w.
    numpy.exceptions.AxisError
        axis is out of range. It is a ValueError and an IndexError.
    TypeError
        An argument is no array, or of a dtype or kind that tersor does not read; out has another dtype than w.

    Notes
    -----
    The result has the bits of ``dequantize(quantize(w, bits, ...), dtype=w.dtype)``: with scales that are made from the
    finite entries of each group as ``quantize`` makes them, rounded to ``scale_dtype``. NaN becomes 0, an infinity the
    least or greatest number that has a code. With ``convention="torch"`` and given scales it is
    ``torch.fake_quantize_per_channel_affine``.

    Examples
    --------
    >>> import numpy as np
    >>> import tersor
    >>> w = np.float32([[0.5, 1.0, 2.0, 3.0], [-1.0, 0.0, 0.25, 0.75]])
    >>> tersor.fake_quantize(w, bits=3).round(3)
    array([[ 0.   ,  1.   ,  2.   ,  3.   ],
           [-1.   ,  0.   ,  0.333,  0.667]], dtype=float32)
    >>> tersor.fake_quantize(w, bits=4, scale=np.float32([[0.25], [0.25]]))
    array([[ 0.5 ,  1.  ,  1.75,  1.75],
           [-1.  ,  0.  ,  0.25,  0.75]], dtype=float32)
    """
    options = (bits, granularity, axis, group_size, symmetric, signed, convention, rounding, seed, scale_dtype)
    return fake_quantize_with_scales(w, *options, scale, zero_point, out)[0]


def fake_quantize_with_scales(
    w: Any,
    bits: Any,
    granularity: str,
    axis: Any,
    group_size: Any,
    symmetric: bool,
    signed: bool | None,
    convention: str,
    rounding: str | None,
    seed: Any,
    scale_dtype: Any,
    scale: Any,
    zero_point: Any,
    out: Any,
) -> tuple[Any, Any, Any]:
    """``fake_quantize``, and the scales and zero points that it was done with."""
    groups = groups_in(w, granularity, group_size, axis)
    scale_is_given = scale is not None
    symmetric = is_symmetric(symmetric, scale, zero_point)
    bits = integer(bits, "bits")
    signed = is_signed(signed, symmetric, convention, bits)
    if not scale_is_given:
        like = _of_known_kind(w, out)
        scale, zero_point = empty_scales(w, like, groups, symmetric, signed, convention, scale_dtype)
    filled = framework_of(w, "w").empty_like(w) if out is None else out
    options = (bits, symmetric, signed, convention, rounding, seed, scale_is_given)
    _core.fake_quantize(w, groups.axis, groups.size, *options, scale, zero_point, filled)
    return framework_of(w, "w").result(filled) if out is None else out, scale, zero_point


def _of_known_kind(w: Any, out: Any) -> Any:
    """w, or ``out``, which has its dtype, where arrays like w cannot be made."""
    try:
        framework_of(w, "w")
    except TypeError:
        if out is None:
            raise
        return out
    return w


def fake_quantize_backward(
    grad: Any,
    w: Any,
    scale: Any,
    zero_point: Any = None,
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
    out: Any = None,
) -> tuple[Any, Any, Any]:
    """Find gradients of ``fake_quantize`` by numbers, scales and zero points.

    Parameters
    ----------
    grad : array of w's shape and dtype
        The gradient of what ``fake_quantize`` gave.
    w : array, float32, float16, bfloat16 or float64
    scale, zero_point : arrays
        That it was called with; without zero points codes are symmetric.
    bits : int in [2, 8], default 8
        As in ``fake_quantize``, like all of the following.
    granularity : {"row", "tensor", "column", "group"}, default "row"
    axis : int, default -1
    group_size : int, default 128
    signed : bool, optional
    convention : str, default "tersor"
        One of those of ``quantize``.
    rounding : {"half_even", "half_away", "half_up", "truncate", "stochastic"}, optional
    seed : int in [0, 2**64), default 0
    gradient_scale : float, default 1.0
        What the gradients of scales and zero points are multiplied by. LSQ takes ``1 / sqrt(n * most)`` for n entries of a
        group and the greatest code, ``most``.
    out : tuple (grad_w, grad_scale) or (grad_w, grad_scale, grad_zero_point), optional
        Where the results go; they may overlap nothing.

    Returns
    -------
    grad_w : array
        As w is.
    grad_scale : array
        Of the scale's shape, float32; float64 where the scale is float64.
    grad_zero_point : array or None
        Likewise; None without zero points.

    Raises
    ------
    ValueError
        An argument is out of range or unknown; an array has another shape; an output is read-only or overlaps another
        array.
    numpy.exceptions.AxisError
        axis is out of range. It is a ValueError and an IndexError.
    TypeError
        An argument is no array, or of a dtype or kind that tersor does not read; an array has another dtype than w.

    Notes
    -----
    Rounding is given the slope 1. For q = round(x / scale) + zero_point, before it is clamped to the codes from least to
    most:

    ======================  =====  =======================================  ===========
    q                       by x   by the scale                             by the zero point
    ======================  =====  =======================================  ===========
    within the codes        1      ``q - zero_point - x / scale``           0
    below the first code    0      ``least - zero_point``                   ``-scale``
    above the last code     0      ``most - zero_point``                    ``-scale``
    ======================  =====  =======================================  ===========

    each times grad, summed over the group. The first column is the straight-through estimator, the second LSQ's (Esser et
    al., "Learned Step Size Quantization", 2020), the third LSQ+'s (Bhalgat et al., "LSQ+", 2020). "compressed-tensors"
    clamps before it rounds, and so its q is not rounded where it is compared. With "torch" these are the gradients of
    ``torch._fake_quantize_learnable_per_channel_affine``. Where x is NaN the gradient passes.

    Terms are of the dtype of arithmetic, products and sums float64. Sums are taken in runs as in
    ``quantization_error``, in 16 lanes: the bits are the same for any number of threads, at every CPU level.

    Examples
    --------
    >>> import numpy as np
    >>> import tersor
    >>> w, scale = np.float32([[0.2, 0.5, 3.0, -9.0]]), np.float32([[0.5]])
    >>> tersor.fake_quantize(w, bits=4, scale=scale)
    array([[ 0. ,  0.5,  3. , -3.5]], dtype=float32)
    >>> grad_w, grad_scale, _ = tersor.fake_quantize_backward(np.ones_like(w), w, scale, bits=4)
    >>> grad_w, grad_scale  # -0.4 + 0 + 0 - 7
    (array([[1., 1., 1., 0.]], dtype=float32), array([[-7.4]], dtype=float32))
    """
    groups = groups_in(w, granularity, group_size, axis)
    symmetric = zero_point is None
    bits = integer(bits, "bits")
    signed = is_signed(signed, symmetric, convention, bits)
    framework = framework_of(w, "w") if out is None else None
    if framework is not None:
        _core.check_array(scale, "scale")
        dtype = "float64" if is_float64(scale) else "float32"
        of_groups = [framework.empty(w, groups.scale_shape, dtype) for _ in range(1 if symmetric else 2)]
        filled = (framework.empty_like(w), *of_groups)
    else:
        filled = _gradients(out, symmetric)
    options = (bits, signed, convention, rounding, seed)
    parts = (*filled, None) if symmetric else filled
    _core.fake_quantize_backward(grad, w, groups.axis, groups.size, *options, scale, zero_point, gradient_scale, *parts)
    grad_w, grad_scale, *of_zero_point = filled if framework is None else map(framework.result, filled)
    return grad_w, grad_scale, None if symmetric else of_zero_point[0]


def _gradients(out: Any, symmetric: bool) -> tuple[Any, ...]:
    wanted = "(grad_w, grad_scale)" if symmetric else "(grad_w, grad_scale, grad_zero_point)"
    if not isinstance(out, (tuple, list)) or len(out) != (2 if symmetric else 3):
        raise TypeError(f"out must be a tuple {wanted}")
    if not symmetric:
        _core.check_array(out[2], "grad_zero_point")  # None would be none
    return tuple(out)
