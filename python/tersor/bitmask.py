"""bitmask: bool masks as bits, and logic on these."""

from __future__ import annotations

from collections.abc import Callable
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


def _combined(combine: Callable[[Any, Any, Any], None], a: Any, b: Any, out: Any) -> Any:
    if out is not None:
        combine(a, b, out)
        return out
    framework = framework_of(a, "a")
    filled = framework.empty(a, tuple(a.shape), a.dtype)
    combine(a, b, filled)
    return framework.result(filled)


def and_masks(a: Any, b: Any, *, out: Any = None) -> Any:
    """Entries that are in both of two packed masks.

    Parameters
    ----------
    a, b : uint8 arrays of the same shape
        Bits, as ``pack_mask`` gives them.
    out : uint8 array of that shape, optional
        Where the result goes. It may be a or b; any other overlap is refused.

    Returns
    -------
    array
        ``out``, or a new uint8 array of a's kind, on its device.

    Raises
    ------
    ValueError
        The shapes differ; out does not fit, is read-only, or overlaps an input in part.
    TypeError
        An argument is no array, or of another dtype.

    Examples
    --------
    >>> import numpy as np
    >>> import tersor
    >>> tersor.and_masks(np.array([0b011], np.uint8), np.array([0b110], np.uint8))
    array([2], dtype=uint8)
    """
    return _combined(_core.and_masks, a, b, out)


def or_masks(a: Any, b: Any, *, out: Any = None) -> Any:
    """Entries that are in one of two packed masks, or in both.

    Parameters
    ----------
    a, b : uint8 arrays of the same shape
        Bits, as ``pack_mask`` gives them.
    out : uint8 array of that shape, optional
        Where the result goes. It may be a or b; any other overlap is refused.

    Returns
    -------
    array
        ``out``, or a new uint8 array of a's kind, on its device.

    Raises
    ------
    ValueError
        The shapes differ; out does not fit, is read-only, or overlaps an input in part.
    TypeError
        An argument is no array, or of another dtype.

    Examples
    --------
    >>> import numpy as np
    >>> import tersor
    >>> tersor.or_masks(np.array([0b011], np.uint8), np.array([0b110], np.uint8))
    array([7], dtype=uint8)
    """
    return _combined(_core.or_masks, a, b, out)


def xor_masks(a: Any, b: Any, *, out: Any = None) -> Any:
    """Entries that are in one of two packed masks but not in the other: where they differ.

    Parameters
    ----------
    a, b : uint8 arrays of the same shape
        Bits, as ``pack_mask`` gives them.
    out : uint8 array of that shape, optional
        Where the result goes. It may be a or b; any other overlap is refused.

    Returns
    -------
    array
        ``out``, or a new uint8 array of a's kind, on its device.

    Raises
    ------
    ValueError
        The shapes differ; out does not fit, is read-only, or overlaps an input in part.
    TypeError
        An argument is no array, or of another dtype.

    Examples
    --------
    >>> import numpy as np
    >>> import tersor
    >>> tersor.xor_masks(np.array([0b011], np.uint8), np.array([0b110], np.uint8))
    array([5], dtype=uint8)
    """
    return _combined(_core.xor_masks, a, b, out)


def invert_mask(bits: Any, cols: int, *, out: Any = None) -> Any:
    """The entries that are not in a packed mask.

    Parameters
    ----------
    bits : uint8 array of shape (..., ceil(cols / 8))
    cols : int
        Columns of the mask.
    out : uint8 array like bits, optional
        Where the result goes. ``out=bits`` works in place; any other overlap is refused.

    Returns
    -------
    array
        ``out``, or a new uint8 array of the kind of bits, on its device. Padding bits are 0.

    Raises
    ------
    ValueError
        cols is negative or does not fit the bits; out does not fit, is read-only, or overlaps the bits in part.
    TypeError
        An argument is no array, or of another dtype; cols is not an integer.

    Examples
    --------
    >>> import numpy as np
    >>> import tersor
    >>> tersor.invert_mask(np.array([0b101], np.uint8), 4)
    array([10], dtype=uint8)
    """
    if out is not None:
        _core.invert_mask(bits, cols, out)
        return out
    framework = framework_of(bits, "bits")
    filled = framework.empty(bits, tuple(bits.shape), bits.dtype)
    _core.invert_mask(bits, cols, filled)
    return framework.result(filled)


def count_mask(bits: Any, cols: int) -> int:
    """Count the entries of a packed mask that are True.

    Parameters
    ----------
    bits : uint8 array of shape (..., ceil(cols / 8))
    cols : int
        Columns of the mask; padding bits behind them are ignored.

    Returns
    -------
    int

    Raises
    ------
    ValueError
        cols is negative or does not fit the bits.
    TypeError
        An argument is no array, or of another dtype; cols is not an integer.

    Examples
    --------
    >>> import numpy as np
    >>> import tersor
    >>> tersor.count_mask(np.array([[0b101], [0b011]], np.uint8), 3)
    4
    """
    return _core.count_mask(bits, cols)
