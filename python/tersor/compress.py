"""compress: sparse arrays as their nonzero entries and where these stand."""

from __future__ import annotations

from typing import Any

from tersor import _core
from tersor._bitmask_tensor import BitmaskTensor, compressed, require_bitmask
from tersor._outputs import framework_of


def compress_bitmask(w: Any, *, out: Any = None) -> BitmaskTensor:
    """Store a sparse array as its nonzero entries and one bit an entry.

    Parameters
    ----------
    w : array of shape (..., cols), float32, float16, bfloat16 or float64
    out : array of one dimension, of w's dtype, optional
        Where the values go, at its beginning; it may not overlap w. One that is used again and again saves the time that
        new memory takes, a third of the whole.

    Returns
    -------
    BitmaskTensor
        Of w's kind. Its arrays are new; with ``out`` the values are the first part of it. At a sparsity of s it takes
        ``1 - s`` of w's bytes, one bit for each entry, and 8 bytes for each row.

    Raises
    ------
    ValueError
        w has no dimension, or lies on a GPU; out is shorter than the values, has more dimensions than one, is not
        contiguous, is read-only, or overlaps w.
    TypeError
        w or out is no array, or of a dtype or kind that tersor does not read, or out of another than w.

    Notes
    -----
    The bytes of the format sparse-bitmask of compressed-tensors 0.12.2: values in C order, bits least significant first,
    int64 row offsets. -0.0 counts as zero, and comes back as +0.0; NaN is stored, bit for bit. For a moment the values
    may take up addresses for all entries of w; memory is used for those that are stored. A call that fails for want of
    room, or is interrupted by Ctrl-C, leaves out partly written.

    Examples
    --------
    >>> import numpy as np
    >>> import tersor
    >>> t = tersor.compress_bitmask(np.array([[0, 3, 0], [4, 0, 5]], np.float32))
    >>> t.values, t.bits, t.row_offsets
    (array([3., 4., 5.], dtype=float32), array([[2],
           [5]], dtype=uint8), array([0, 1]))
    """
    return compressed(w, "w", out)


def decompress_bitmask(t: BitmaskTensor, *, out: Any = None) -> Any:
    """Make the dense array of a ``BitmaskTensor``.

    Parameters
    ----------
    t : BitmaskTensor
        Its three arrays must be contiguous.
    out : array of shape ``t.shape``, optional
        Where the result goes, of the dtype of ``t.values``; it may not overlap them.

    Returns
    -------
    array
        ``out``, or a new array of the kind of ``t.values``.

    Raises
    ------
    ValueError
        The arrays of t disagree with one another or with its shape; out does not fit, is read-only, or overlaps them.
    TypeError
        t is no BitmaskTensor, or an array is of another dtype.

    Notes
    -----
    Entries that are not stored are +0.0; values go back bit for bit. Whether the bits agree with the row offsets shows
    while they are read: that ValueError, like an interruption by Ctrl-C, leaves out partly written. No value that is not
    there is read.

    Examples
    --------
    >>> import numpy as np
    >>> import tersor
    >>> tersor.decompress_bitmask(tersor.compress_bitmask(np.array([[0, 3], [4, 0]], np.float32)))
    array([[0., 3.],
           [4., 0.]], dtype=float32)
    """
    require_bitmask(t)
    if out is not None:
        _core.decompress_bitmask(t.values, t.bits, t.row_offsets, t.shape, out)
        return out
    framework = framework_of(t.values, "t.values")
    filled = framework.empty(t.values, t.shape, t.values.dtype)
    _core.decompress_bitmask(t.values, t.bits, t.row_offsets, t.shape, filled)
    return framework.result(filled)
