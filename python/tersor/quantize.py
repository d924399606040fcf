"""quantize: fixed point, and symmetric int8 with one scale a row."""

from __future__ import annotations

from typing import Any, TypeVar

from tersor import _core
from tersor._arguments import pair_of_outputs, reduced_shape
from tersor._outputs import dtype_name, floating_dtype_name, framework_of, is_float64

ArrayT = TypeVar("ArrayT")


def round_fixed(w: ArrayT, bits: int = 8, *, out: ArrayT | None = None) -> ArrayT:
    """Round to fixed point with ``bits`` fractional bits: ``round(w * 2**bits) / 2**bits``.

    Parameters
    ----------
    w : array of any shape, float32, float16, bfloat16 or float64
    bits : int in [0, 52], default 8
    out : array like w, optional
        Where the result goes. ``out=w`` works in place; any other overlap with w is refused.

    Returns
    -------
    array
        ``out``, or a new array of w's kind, shape, dtype and device.

    Raises
    ------
    ValueError
        bits is outside [0, 52]; out has another shape, is read-only, or overlaps w in part.
    TypeError
        An argument is no array, or of a dtype or kind that tersor does not read; bits is not an integer.

    Notes
    -----
    The nearest multiple of ``2**-bits``, ties to even, rounded once more to w's dtype where that is too narrow for it.
    Nothing overflows: a value too large to have a fraction stays. NaN and infinities stay, and so does the sign of
    zero. A call interrupted by Ctrl-C leaves out partly written.

    Examples
    --------
    >>> import numpy as np
    >>> import tersor
    >>> tersor.round_fixed(np.array([0.3, -1.76], np.float32), bits=2)
    array([ 0.25, -1.75], dtype=float32)
    """
    if out is None:
        framework = framework_of(w, "w")
        filled = framework.empty_like(w)
        _core.round_fixed(w, bits, filled)
        return framework.result(filled)  # type: ignore[no-any-return]
    _core.round_fixed(w, bits, out)
    return out


def quantize_int8(w: Any, *, axis: int = -1, out: tuple[Any, Any] | None = None) -> tuple[Any, Any]:
    """Quantize to int8, symmetric about zero, with one scale for each row along ``axis``.

    Parameters
    ----------
    w : array of at least one dimension, float32, float16, bfloat16 or float64
    axis : int, default -1
        The axis along which rows run; each row has its own scale.
    out : pair of arrays (q, scale), optional
        Where the results go: int8 with w's shape, and w's shape with length 1 along ``axis``, float32 (float64 for
        float64). Neither may overlap w or the other.

    Returns
    -------
    q : int8 array of w's shape
    scale : array of w's shape with length 1 along ``axis``
        ``w`` is about ``q * scale``. Both are of w's kind, on its device; or they are ``out``.

    Raises
    ------
    numpy.exceptions.AxisError
        axis is out of range. It is a ValueError and an IndexError.
    ValueError
        An output has another shape, is read-only, or overlaps w.
    TypeError
        An argument is no array, or of a dtype or kind that tersor does not read; out is no pair.

    Notes
    -----
    ``scale = max(|w|) / 127`` over the finite entries of the row, and 1 where that is 0. ``q = w / scale`` rounded to
    the nearest integer, ties to even, clamped to [-127, 127]: -128 is never used. Both divisions are correctly rounded
    in float32 (float64 for float64). An infinity becomes +-127 and NaN becomes 0. A call interrupted by Ctrl-C leaves
    the outputs partly written. The scheme is that of Dettmers et al., "LLM.int8()" (2022), section 2.1.

    Examples
    --------
    >>> import numpy as np
    >>> import tersor
    >>> q, scale = tersor.quantize_int8(np.array([[1.0, -0.5, 0.25], [0.0, 0.0, 0.0]], np.float32))
    >>> q
    array([[127, -64,  32],
           [  0,   0,   0]], dtype=int8)
    >>> scale
    array([[0.00787402],
           [1.        ]], dtype=float32)
    """
    if out is not None:
        q, scale = pair_of_outputs(out, "(q, scale)")
        _core.quantize_int8(w, axis, q, scale)
        return q, scale
    framework = framework_of(w, "w")
    q = framework.empty_like(w, "int8")
    scale = framework.empty(w, reduced_shape(w.shape, axis), "float64" if is_float64(w) else "float32")
    _core.quantize_int8(w, axis, q, scale)
    return framework.result(q), framework.result(scale)


def dequantize_int8(q: Any, scale: Any, *, dtype: Any = None, out: Any = None) -> Any:
    """Turn int8 codes back into numbers: ``q * scale``.

    Parameters
    ----------
    q : int8 array
    scale : float32 or float64 array
        It broadcasts to q and is constant along at least one of q's axes, as ``quantize_int8`` gives it.
    dtype : name, NumPy dtype or torch dtype, optional
        float32, float16, bfloat16 or float64; the scale's dtype by default.
    out : array of q's shape and a floating dtype, optional
        Where the result goes; it may not overlap q or the scale. Its dtype decides, and ``dtype`` must not differ.

    Returns
    -------
    array
        ``out``, or a new array of q's kind and shape, on its device.

    Raises
    ------
    ValueError
        The scale does not broadcast to q; out does not fit, is read-only, overlaps an input, or differs from dtype.
    TypeError
        An argument is no array, or of a dtype or kind that tersor does not read; dtype is not one of the four.

    Notes
    -----
    The product is taken in the scale's dtype and rounded once to ``dtype``, half to even; what is too large for it
    becomes infinite. A call interrupted by Ctrl-C leaves out partly written.

    Examples
    --------
    >>> import numpy as np
    >>> import tersor
    >>> tersor.dequantize_int8(np.array([[127, -64]], np.int8), np.array([[0.5]], np.float32))
    array([[ 63.5, -32. ]], dtype=float32)
    """
    if out is not None:
        if dtype is not None and dtype_name(dtype) != dtype_name(out.dtype):
            raise ValueError(f"dtype is {dtype_name(dtype)}, but out has dtype {dtype_name(out.dtype)}")
        _core.dequantize_int8(q, scale, out)
        return out
    framework = framework_of(q, "q")
    if dtype is not None:
        dtype = floating_dtype_name(dtype)
    elif framework_of(scale, "scale") is framework:
        dtype = scale.dtype  # looking its name up would take 1 us in NumPy
    else:
        _core.check_array(scale, "scale")  # a dtype that tersor does not know has no name here
        dtype = dtype_name(scale.dtype)
    filled = framework.empty_like(q, dtype)
    _core.dequantize_int8(q, scale, filled)
    return framework.result(filled)
