"""softmax: with temperature, along any axis."""

from __future__ import annotations

from typing import Any, TypeVar

from tersor import _core
from tersor._outputs import float64_array, framework_of

ArrayT = TypeVar("ArrayT")


def softmax(x: ArrayT, temperature: Any = 1.0, *, axis: int = -1, out: ArrayT | None = None) -> ArrayT:
    """Compute ``exp(x / T)`` over its sum along ``axis``.

    Parameters
    ----------
    x : array of at least one dimension, float32, float16, bfloat16 or float64
    temperature : float or array, default 1.0
        T, one for all rows; or an array that broadcasts to x with length 1 along ``axis``: one for each row. It is read
        as float64.
    axis : int, default -1
        The axis along which the result sums to 1.
    out : array like x, optional
        Where the result goes. ``out=x`` works in place; any other overlap is refused.

    Returns
    -------
    array
        ``out``, or a new array of x's kind, shape, dtype and device.

    Raises
    ------
    numpy.exceptions.AxisError
        axis is out of range. It is a ValueError and an IndexError.
    ValueError
        A temperature is negative or NaN (on CUDA, temperatures in an array make their rows NaN instead); it does not
        broadcast; out has another shape, is read-only, or overlaps an input in part.
    TypeError
        An argument is no array, or of a dtype or kind that tersor does not read.

    Notes
    -----
    The row's maximum is subtracted first, so nothing overflows. T = 0 is the limit from above: the largest entries
    share 1 evenly. T = inf is the limit too: every entry but -inf gets the same. A row that holds NaN, or +inf at
    T > 0, or nothing but -inf, is NaN throughout. Accumulated in float32 (float64 for float64); within 2 ULP of the
    exact result for float32 and float64, within 0.52 ULP for the narrower dtypes. The same bits at every CPU level
    and thread count. A call interrupted by Ctrl-C leaves out partly written; in place, x too. The temperature is that
    of Hinton et al., "Distilling the Knowledge in a Neural Network" (2015), equation 1.

    Examples
    --------
    >>> import numpy as np
    >>> import tersor
    >>> x = np.array([[1.0, 2.0, 3.0]], np.float32)
    >>> tersor.softmax(x).round(3)
    array([[0.09 , 0.245, 0.665]], dtype=float32)
    >>> tersor.softmax(x, temperature=0)
    array([[0., 0., 1.]], dtype=float32)
    """
    if not isinstance(temperature, (float, int)):
        temperature = float64_array(temperature, x, "temperature")
    if out is None:
        framework = framework_of(x, "x")
        filled = framework.empty_like(x)
        _core.softmax(x, temperature, axis, filled)
        return framework.result(filled)  # type: ignore[no-any-return]
    _core.softmax(x, temperature, axis, out)
    return out
