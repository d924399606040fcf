"""matmul: products with weights that stay compressed."""

from __future__ import annotations

from typing import Any

from tersor import _core
from tersor._bitmask_tensor import BitmaskTensor, require_matrix
from tersor._outputs import framework_of


def matmul_bitmask(x: Any, t: BitmaskTensor, *, out: Any = None) -> Any:
    """Multiply ``x @ W.T``, W being a sparse weight that is read as it is stored.

    What ``torch.nn.functional.linear(x, W)`` computes, without making the dense W: for a few rows of x, as in generating
    text, such a product takes as long as reading the weight, and the stored one is shorter.

    Parameters
    ----------
    x : array of shape (..., cols)
        Of the dtype of ``t.values``, or float32.
    t : BitmaskTensor of shape (rows, cols)
        W; values of float32, float16, bfloat16 or float64. Its three arrays must be contiguous.
    out : array of shape (..., rows), optional
        Where the result goes, of x's dtype; it may not overlap an input.

    Returns
    -------
    array
        ``out``, or a new array of x's kind, dtype and device.

    Raises
    ------
    ValueError
        The columns of x are not those of t; t is no matrix, or its arrays disagree with one another; out does not fit, is
        read-only, or overlaps an input.
    TypeError
        An argument is no array, or of another dtype; t is no BitmaskTensor.

    Notes
    -----
    An entry that is not stored counts as +0.0 and takes part: where x is infinite or NaN, the result is NaN, as that of
    the dense product is. Arithmetic is in float32, or float64 for float64 values, and the result is rounded to x's dtype
    once. Products are fused into 16 sums for every 1,024 columns; those of the blocks are added in order, then the 16. So
    the error is at most ``n * u / (1 - n * u)`` times ``|x| @ |W|.T`` with ``n = 67 + ceil(cols / 1024)`` and u the unit
    roundoff of the arithmetic, plus the rounding to x's dtype (Higham, Accuracy and Stability of Numerical Algorithms,
    2002, section 3.1), unless products underflow. A row of x gives the same bits whatever rows are beside it, at every
    CPU level and thread count.

    The weight is read once for 16 rows of x, which are held in the dtype of arithmetic meanwhile. Whether the bits agree
    with the row offsets shows while they are read: that ValueError, like an interruption by Ctrl-C, leaves out partly
    written. No value that is not there is read.

    Examples
    --------
    >>> import numpy as np
    >>> import tersor
    >>> w = tersor.compress_bitmask(np.array([[0, 3], [4, 0]], np.float32))
    >>> tersor.matmul_bitmask(np.array([[1.0, 2.0]], np.float32), w)
    array([[6., 4.]], dtype=float32)
    """
    rows, _ = require_matrix(t)
    if out is not None:
        _core.matmul_bitmask(x, t.values, t.bits, t.row_offsets, t.shape, out)
        return out
    framework = framework_of(x, "x")
    filled = framework.empty(x, (*x.shape[:-1], rows), x.dtype)
    _core.matmul_bitmask(x, t.values, t.bits, t.row_offsets, t.shape, filled)
    return framework.result(filled)
