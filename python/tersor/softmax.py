"""softmax with temperature, its logarithm, and the logarithm of what it divides by, along any axis."""

from __future__ import annotations

from typing import Any, TypeVar

from tersor import _core
from tersor._arguments import normal_axis
from tersor._outputs import filled_like, framework_of, number_or_array

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
    temperature = number_or_array(temperature, x, "temperature")
    if out is None:
        framework = framework_of(x, "x")
        filled = framework.empty_like(x)
        _core.softmax(x, temperature, axis, filled)
        return framework.result(filled)  # type: ignore[no-any-return]
    _core.softmax(x, temperature, axis, out)
    return out


def log_softmax(x: ArrayT, temperature: Any = 1.0, *, axis: int = -1, out: ArrayT | None = None) -> ArrayT:
    """Compute ``x / T - log(sum(exp(x / T)))``, the logarithm of ``softmax(x, T)``, along ``axis``.

    Parameters
    ----------
    x : array of at least one dimension, float32, float16, bfloat16 or float64
        On the CPU.
    temperature : float or array, default 1.0
        T, one for all rows; or an array that broadcasts to x with length 1 along ``axis``: one for each row. It is read
        as float64.
    axis : int, default -1
        The axis along which the exponentials of the result sum to 1.
    out : array like x, optional
        Where the result goes. ``out=x`` works in place; any other overlap is refused.

    Returns
    -------
    array
        ``out``, or a new array of x's kind, shape and dtype. In nats.

    Raises
    ------
    numpy.exceptions.AxisError
        axis is out of range. It is a ValueError and an IndexError.
    ValueError
        A temperature is negative or NaN; it does not broadcast; out has another shape, is read-only, or overlaps an input
        in part; x lies on a GPU.
    TypeError
        An argument is no array, or of a dtype or kind that tersor does not read.

    Notes
    -----
    Entries of -inf give -inf; where softmax is NaN, so is this. At T = 0 the k largest entries get -log(k) and the others
    -inf; at T = inf every entry but -inf gets the logarithm of an even share. What is subtracted is computed in float64
    from sums that are precise for every dtype, so that logarithms of shares near 1 keep their digits: the error is within
    1 ULP of the result and 2**-27 beside it (float64: 2 ULP and 2**-50). The same bits at every CPU level and thread
    count.

    Examples
    --------
    >>> import numpy as np
    >>> import tersor
    >>> tersor.log_softmax(np.array([1.0, 2.0, 3.0], np.float32)).round(3)
    array([-2.408, -1.408, -0.408], dtype=float32)
    """
    temperature = number_or_array(temperature, x, "temperature")
    return filled_like(x, "x", out, lambda filled: _core.log_softmax(x, temperature, axis, filled))  # type: ignore[no-any-return]


def logsumexp(x: Any, temperature: Any = 1.0, *, axis: int = -1, keepdims: bool = False, out: Any = None) -> Any:
    """Compute ``log(sum(exp(x / T)))`` along ``axis``, without overflow.

    Parameters
    ----------
    x : array of at least one dimension, float32, float16, bfloat16 or float64
        On the CPU.
    temperature : float or array, default 1.0
        T, one for all rows; or an array that broadcasts to x with length 1 along ``axis``: one for each row. It is read
        as float64.
    axis : int, default -1
        The axis that is summed over.
    keepdims : bool, default False
        Whether the result has that axis, with length 1.
    out : array, optional
        Where the result goes: of x's dtype, and x's shape without the axis or with length 1 there.

    Returns
    -------
    array
        ``out``, or a new array of x's kind and dtype. In nats.

    Raises
    ------
    numpy.exceptions.AxisError
        axis is out of range. It is a ValueError and an IndexError.
    ValueError
        A temperature is negative or NaN; it does not broadcast; out has another shape, is read-only, or overlaps an
        input; x lies on a GPU.
    TypeError
        An argument is no array, or of a dtype or kind that tersor does not read.

    Notes
    -----
    Rows that hold NaN give NaN, rows with +inf give inf, rows of -inf alone or without entries -inf. As T falls to 0 the
    limit is inf where the largest entry is positive, -inf where it is negative, log(k) where k entries of 0 are the
    largest; at T = inf it is the logarithm of the number of entries above -inf. The error is within 1 ULP of the result
    and 2**-27 beside it (float64: 2 ULP and 2**-50). The same bits at every CPU level and thread count.

    Examples
    --------
    >>> import numpy as np
    >>> import tersor
    >>> round(float(tersor.logsumexp(np.array([1000.0, 1000.0], np.float32))), 3)
    1000.693
    """
    temperature = number_or_array(temperature, x, "temperature")
    if out is not None:
        _core.logsumexp(x, temperature, axis, out)
        return out
    framework = framework_of(x, "x")
    shape = tuple(x.shape)
    place = normal_axis(axis, len(shape))
    filled = framework.empty(x, (*shape[:place], *((1,) if keepdims else ()), *shape[place + 1 :]), x.dtype)
    _core.logsumexp(x, temperature, axis, filled)
    return framework.result(filled)
