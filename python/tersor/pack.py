"""pack: codes of a few bits each, one after the other."""

from __future__ import annotations

from typing import Any

from tersor import _core
from tersor._arguments import packed_codes_shape, packed_shape, unpacked_shape
from tersor._outputs import dtype_name, framework_of

_WORD_BITS = {"uint8": 8, "int32": 32}


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


def pack_bits(
    q: Any,
    bits: int,
    *,
    word: str = "uint8",
    padded: bool = False,
    order: str = "low_first",
    offset: bool = False,
    axis: int = -1,
    out: Any = None,
) -> Any:
    """Pack codes of 1 to 8 bits one after the other.

    Parameters
    ----------
    q : int8 or uint8 array with ``cols`` codes along ``axis``
        int8 codes lie in [-2**(bits - 1), 2**(bits - 1) - 1], uint8 codes in [0, 2**bits - 1].
    bits : int in [1, 8]
    word : {"uint8", "int32"}, default "uint8"
        What each row is filled up to with 0.
    padded : bool, default False
        Whether each word holds as many whole codes as go into it, and 0 above; else codes follow one another as one
        stream of bits, across words. Where bits divides the word's, both are the same.
    order : {"low_first", "high_first", "awq", "halves"}, default "low_first"
        Of 4-bit codes in nibbles, the lowest first: as they come; the two of each byte exchanged; 0, 2, 4, 6, 1, 3, 5, 7
        of each 8, as AutoAWQ's int32 words have them; or one of the first 16 and one of the last 16 by turns of each 32,
        as GGUF's blocks have them. The last such run is filled up with 0.
    offset : bool, default False
        Whether ``2**(bits - 1)`` is added to int8 codes, so that the least is stored as 0.
    axis : int, default -1
        Along which codes follow one another.
    out : array of q's shape, but with ``words`` along ``axis``, optional
        Where the result goes, of any strides; it may not overlap q. Its dtype, uint8 or int32, must be ``word``.

    Returns
    -------
    array
        ``out``, or a new array of q's kind, on its device, with ``words`` along ``axis``, ``ceil(cols * bits / word bits)``
        of them, or padded ``ceil(cols / floor(word bits / bits))``, where cols includes what fills up the last run of an
        order.

    Raises
    ------
    ValueError
        A code does not fit (found in the same pass: out is then partly written); bits, word or order is not one of
        these; an order is asked of other than 4 bits, or an offset of uint8 codes; q has no dimension; out does not fit,
        is read-only, or overlaps q.
    numpy.exceptions.AxisError
        axis is out of range. It is a ValueError and an IndexError.
    TypeError
        An argument is no array, or of another dtype.

    Notes
    -----
    The first code is in the lowest bits; int8 codes are in two's complement, or with ``offset`` not negative. Words are
    little-endian, so that the bytes of int32 words are those of uint8 ones. int32 words with an offset are those of
    ``pack_to_int32`` of compressed-tensors: padded up to 0.12, as one stream in later releases. A call interrupted by
    Ctrl-C leaves out partly written.

    Examples
    --------
    >>> import numpy as np
    >>> import tersor
    >>> tersor.pack_bits(np.uint8([1, 2, 3, 4]), 3)
    array([209,   8], dtype=uint8)
    >>> tersor.pack_bits(np.uint8([1, 2, 3, 4]), 3, padded=True)
    array([17, 35], dtype=uint8)
    """
    if out is not None:
        if dtype_name(getattr(out, "dtype", None)) in _WORD_BITS and word != "uint8" and dtype_name(out.dtype) != word:
            raise ValueError(f"word is {word!r}, but out has dtype {dtype_name(out.dtype)}")
        _core.pack_bits(q, bits, padded, order, offset, axis, out)
        return out
    framework = framework_of(q, "q")
    filled = framework.empty(q, packed_codes_shape(q.shape, bits, "q", word_bits(word), padded, order, axis), word)
    _core.pack_bits(q, bits, padded, order, offset, axis, filled)
    return framework.result(filled)


def word_bits(word: str) -> int:
    """How many a word of this dtype has."""
    if word not in _WORD_BITS:
        raise ValueError(f'word must be "uint8" or "int32", got {word!r}')
    return _WORD_BITS[word]


def unpack_bits(
    p: Any,
    bits: int,
    cols: int,
    *,
    signed: bool = True,
    padded: bool = False,
    order: str = "low_first",
    offset: bool = False,
    axis: int = -1,
    out: Any = None,
) -> Any:
    """Unpack the codes that ``pack_bits`` gives.

    Parameters
    ----------
    p : uint8 or int32 array with words along ``axis``
    bits : int in [1, 8]
    cols : int
        How many codes the words along ``axis`` hold.
    signed : bool, default True
        Whether codes become int8, being in two's complement or stored with an offset; else they become uint8.
    padded, order, offset, axis : optional
        As for ``pack_bits``.
    out : int8 or uint8 array of p's shape, but with ``cols`` codes along ``axis``, optional
        Where the result goes; it may not overlap p. Its dtype decides, whatever ``signed`` says.

    Returns
    -------
    array
        ``out``, or a new array of p's kind, on its device.

    Raises
    ------
    ValueError
        cols does not fit p; bits or order is not one of those; an order is asked of other than 4 bits, or an offset of
        uint8 codes; out does not fit, is read-only, or overlaps p.
    numpy.exceptions.AxisError
        axis is out of range. It is a ValueError and an IndexError.
    TypeError
        An argument is no array, or of another dtype; cols is not an integer.

    Notes
    -----
    Bits beyond the last code are ignored. A call interrupted by Ctrl-C leaves out partly written.

    Examples
    --------
    >>> import numpy as np
    >>> import tersor
    >>> tersor.unpack_bits(np.uint8([209, 8]), 3, 4, signed=False)
    array([1, 2, 3, 4], dtype=uint8)
    """
    if out is not None:
        _core.unpack_bits(p, bits, cols, padded, order, offset, axis, out)
        return out
    framework = framework_of(p, "p")
    filled = framework.empty(p, unpacked_shape(p.shape, cols, "p", axis), "int8" if signed else "uint8")
    _core.unpack_bits(p, bits, cols, padded, order, offset, axis, filled)
    return framework.result(filled)
