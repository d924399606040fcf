"""bitmask: bool masks as bits."""

from __future__ import annotations

from typing import Any

from tersor import _core
from tersor._arguments import packed_shape, unpacked_shape
from tersor._outputs import framework_of


def pack_mask(mask: Any, *, out: Any = None) -> Any:
    """Pack a bool mask into bits, eight columns a byte.

    Parameters
    ----------
    mask : bool array of shape (..., cols)
    out : uint8 array of shape (..., ceil(cols / 8)), optional
        Where the result goes; it may not overlap the mask.

    Returns
    -------
    array
        ``out``, or a new uint8 array of the mask's kind, on its device.

    Raises
    ------
    ValueError
        The mask has no dimension; out does not fit, is read-only, or overlaps the mask.
    TypeError
        An argument is no array, or of another dtype.

    Notes
    -----
    Least significant bit first, each row padded with 0 to whole bytes: ``numpy.packbits(mask, axis=-1,
    bitorder="little")``. A call interrupted by Ctrl-C leaves out partly written.

    Examples
    --------
    >>> import numpy as np
    >>> import tersor
    >>> tersor.pack_mask(np.array([True, False, True]))
    array([5], dtype=uint8)
    """
    if out is not None:
        _core.pack_mask(mask, out)
        return out
    framework = framework_of(mask, "mask")
    filled = framework.empty(mask, packed_shape(mask.shape, 8), "uint8")
    _core.pack_mask(mask, filled)
    return framework.result(filled)


def unpack_mask(bits: Any, cols: int, *, out: Any = None) -> Any:
    """Unpack the bits that ``pack_mask`` gives into a bool mask.

    Parameters
    ----------
    bits : uint8 array of shape (..., ceil(cols / 8))
    cols : int
        Columns of the mask.
    out : bool array of shape (..., cols), optional
        Where the result goes; it may not overlap the bits.

    Returns
    -------
    array
        ``out``, or a new bool array of the kind of bits, on its device.

    Raises
    ------
    ValueError
        cols is negative or does not fit the bits; out does not fit, is read-only, or overlaps the bits.
    TypeError
        An argument is no array, or of another dtype; cols is not an integer.

    Notes
    -----
    Padding bits are ignored. A call interrupted by Ctrl-C leaves out partly written.

    Examples
    --------
    >>> import numpy as np
    >>> import tersor
    >>> tersor.unpack_mask(np.array([5], np.uint8), 3)
    array([ True, False,  True])
    """
    if out is not None:
        _core.unpack_mask(bits, cols, out)
        return out
    framework = framework_of(bits, "bits")
    filled = framework.empty(bits, unpacked_shape(bits.shape, cols, "bits"), "bool")
    _core.unpack_mask(bits, cols, filled)
    return framework.result(filled)
