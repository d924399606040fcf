"""Gradients of softmax, log_softmax and logsumexp."""

from __future__ import annotations

from typing import Any, TypeVar

from tersor import _core
from tersor._outputs import filled_like, number_or_array

ArrayT = TypeVar("ArrayT")


def softmax_backward(
    grad: ArrayT, y: ArrayT, temperature: Any = 1.0, *, axis: int = -1, out: ArrayT | None = None
) -> ArrayT:
    """Compute the gradient of x, ``y * (grad - sum(grad * y)) / T``, from that of ``y = softmax(x, T)``.

    Parameters
    ----------
    grad : array, float32, float16, bfloat16 or float64
        The gradient of y. On the CPU.
    y : array like grad
        What softmax gave.
    temperature : float or array, default 1.0
        T, as it was given to softmax.
    axis : int, default -1
        The axis, as it was given to softmax.
    out : array like grad, optional
        Where the result goes. It may be grad or y itself; any other overlap is refused.

    Returns
    -------
    array
        ``out``, or a new array like y.

    Raises
    ------
    numpy.exceptions.AxisError
        axis is out of range. It is a ValueError and an IndexError.
    ValueError
        A temperature is negative or NaN; it does not broadcast; shapes differ; out is read-only or overlaps an input in
        part; an array lies on a GPU.
    TypeError
        An argument is no array, or of a dtype or kind that tersor does not read; dtypes differ.

    Notes
    -----
    Computed in float64, from sums over blocks of 1,024 columns, and rounded at the end, to 16-bit dtypes by way of float32:
    the same bits at every CPU level and thread count. Entries of x at -inf have y = 0 and the gradient 0. At T = 0, where
    softmax is constant but for ties, and at T = inf the gradient is 0. The gradient of the temperature is
    ``-sum(x * result) / T``.

    Examples
    --------
    >>> import numpy as np
    >>> import tersor
    >>> y = tersor.softmax(np.array([0.0, 0.0], np.float32))
    >>> tersor.softmax_backward(np.array([1.0, 0.0], np.float32), y)
    array([ 0.25, -0.25], dtype=float32)
    """
    temperature = number_or_array(temperature, y, "temperature")
    return filled_like(  # type: ignore[no-any-return]
        y, "y", out, lambda filled: _core.softmax_backward(grad, y, temperature, axis, filled)
    )


def log_softmax_backward(
    grad: ArrayT, y: ArrayT, temperature: Any = 1.0, *, axis: int = -1, out: ArrayT | None = None
) -> ArrayT:
    """Compute the gradient of x from that of ``y = log_softmax(x, T)``.

    It is ``(grad - exp(y) * sum(grad)) / T``.

    Parameters
    ----------
    grad : array, float32, float16, bfloat16 or float64
        The gradient of y. On the CPU.
    y : array like grad
        What log_softmax gave. Entries above 0, which are no logarithms of shares, count as 0.
    temperature : float or array, default 1.0
        T, as it was given to log_softmax.
    axis : int, default -1
        The axis, as it was given to log_softmax.
    out : array like grad, optional
        Where the result goes. It may be grad or y itself; any other overlap is refused.

    Returns
    -------
    array
        ``out``, or a new array like y.

    Raises
    ------
    numpy.exceptions.AxisError
        axis is out of range. It is a ValueError and an IndexError.
    ValueError
        A temperature is negative or NaN; it does not broadcast; shapes differ; out is read-only or overlaps an input in
        part; an array lies on a GPU.
    TypeError
        An argument is no array, or of a dtype or kind that tersor does not read; dtypes differ.

    Notes
    -----
    Computed in float64 from exponentials of the precision of float32 (of float64 for float64), and rounded at the end, to
    16-bit dtypes by way of float32: the same bits at every CPU level and thread count. At T = 0 and T = inf the gradient
    is 0. The gradient of the temperature is ``-sum(x * result) / T``.

    Examples
    --------
    >>> import numpy as np
    >>> import tersor
    >>> y = tersor.log_softmax(np.array([0.0, 0.0], np.float32))
    >>> tersor.log_softmax_backward(np.array([1.0, 0.0], np.float32), y)
    array([ 0.5, -0.5], dtype=float32)
    """
    temperature = number_or_array(temperature, y, "temperature")
    return filled_like(  # type: ignore[no-any-return]
        y, "y", out, lambda filled: _core.log_softmax_backward(grad, y, temperature, axis, filled)
    )


def logsumexp_backward(
    grad: ArrayT, x: ArrayT, temperature: Any = 1.0, *, axis: int = -1, out: ArrayT | None = None
) -> ArrayT:
    """Compute the gradient of x, ``grad * softmax(x, T) / T``, from that of ``logsumexp(x, T)``.

    Parameters
    ----------
    grad : array, float32, float16, bfloat16 or float64
        The gradient of the result, of its shape, with the axis or without. On the CPU.
    x : array of grad's dtype
        What logsumexp was given.
    temperature : float or array, default 1.0
        T, as it was given to logsumexp.
    axis : int, default -1
        The axis, as it was given to logsumexp.
    out : array like x, optional
        Where the result goes. ``out=x`` works in place; any other overlap is refused.

    Returns
    -------
    array
        ``out``, or a new array like x.

    Raises
    ------
    numpy.exceptions.AxisError
        axis is out of range. It is a ValueError and an IndexError.
    ValueError
        A temperature is negative or NaN; it does not broadcast; shapes do not go together; out is read-only or overlaps an
        input in part; an array lies on a GPU.
    TypeError
        An argument is no array, or of a dtype or kind that tersor does not read; dtypes differ.

    Notes
    -----
    The sum is found again, so that no rounded result is needed; computed in float64 from exponentials of the precision of
    float32 (of float64 for float64), and rounded at the end, to 16-bit dtypes by way of float32: the same bits at every CPU
    level and thread count. A row whose shares are NaN has the gradient NaN. At T = 0 and T = inf the gradient is 0. The
    gradient of the temperature is ``-sum(x * result) / T``.

    Examples
    --------
    >>> import numpy as np
    >>> import tersor
    >>> tersor.logsumexp_backward(np.array(2.0, np.float32), np.array([0.0, 0.0], np.float32))
    array([1., 1.], dtype=float32)
    """
    temperature = number_or_array(temperature, x, "temperature")
    return filled_like(  # type: ignore[no-any-return]
        x, "x", out, lambda filled: _core.logsumexp_backward(grad, x, temperature, axis, filled)
    )
