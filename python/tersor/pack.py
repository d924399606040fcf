"""pack: two signed nibbles a byte."""

from __future__ import annotations

from typing import Any

from tersor import _core
from tersor._arguments import packed_shape, unpacked_shape
from tersor._outputs import framework_of


def pack_int4(q: Any, *, out: Any = None) -> Any:
    """Pack int8 codes in [-8, 7] two a byte.

    Parameters
    ----------
    q : int8 array of shape (..., cols), values in [-8, 7]
    out : uint8 array of shape (..., ceil(cols / 2)), optional
        Where the result goes; it may not overlap q.

    Returns
    -------
    array
        ``out``, or a new uint8 array of q's kind, on its device.

    Raises
    ------
    ValueError
        A value is outside [-8, 7] (found in the same pass: out is then partly written); q has no dimension; out does
        not fit, is read-only, or overlaps q.
    TypeError
        An argument is no array, or of another dtype.

    Notes
    -----
    Two's complement nibbles, the even column in the low one; the last high nibble of an odd row is 0. A call
    interrupted by Ctrl-C leaves out partly written.

    Examples
    --------
    >>> import numpy as np
    >>> import tersor
    >>> tersor.pack_int4(np.array([1, -1, 7], np.int8))
    array([241,   7], dtype=uint8)
    """
    if out is not None:
        _core.pack_int4(q, out)
        return out
    framework = framework_of(q, "q")
    filled = framework.empty(q, packed_shape(q.shape, 2), "uint8")
    _core.pack_int4(q, filled)
    return framework.result(filled)


def unpack_int4(p: Any, cols: int, *, out: Any = None) -> Any:
    """Unpack the nibbles that ``pack_int4`` gives into int8.

    Parameters
    ----------
    p : uint8 array of shape (..., ceil(cols / 2))
    cols : int
        Columns of the result.
    out : int8 array of shape (..., cols), optional
        Where the result goes; it may not overlap p.

    Returns
    -------
    array
        ``out``, or a new int8 array of p's kind, on its device.

    Raises
    ------
    ValueError
        cols is negative or does not fit p; out does not fit, is read-only, or overlaps p.
    TypeError
        An argument is no array, or of another dtype; cols is not an integer.

    Notes
    -----
    Nibbles are sign-extended; the padding nibble is ignored. A call interrupted by Ctrl-C leaves out partly written.

    Examples
    --------
    >>> import numpy as np
    >>> import tersor
    >>> tersor.unpack_int4(np.array([241, 7], np.uint8), 3)
    array([ 1, -1,  7], dtype=int8)
    """
    if out is not None:
        _core.unpack_int4(p, cols, out)
        return out
    framework = framework_of(p, "p")
    filled = framework.empty(p, unpacked_shape(p.shape, cols, "p"), "int8")
    _core.unpack_int4(p, cols, filled)
    return framework.result(filled)
