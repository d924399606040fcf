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


def pack_bits(q: Any, bits: int, *, word: str = "uint8", padded: bool = False, out: Any = None) -> Any:
    """Pack codes of 1 to 8 bits one after the other.

    Parameters
    ----------
    q : int8 or uint8 array of shape (..., cols)
        int8 codes lie in [-2**(bits - 1), 2**(bits - 1) - 1], uint8 codes in [0, 2**bits - 1].
    bits : int in [1, 8]
    word : {"uint8", "int32"}, default "uint8"
        What each row is filled up to with 0.
    padded : bool, default False
        Whether each word holds as many whole codes as go into it, and 0 above; else codes follow one another as one
        stream of bits, across words. Where bits divides the word's, both are the same.
    out : array of shape (..., words), optional
        Where the result goes; it may not overlap q. Its dtype, uint8 or int32, must be ``word``.

    Returns
    -------
    array
        ``out``, or a new array of q's kind, on its device; ``words`` is ``ceil(cols * bits / word bits)``, or padded
        ``ceil(cols / floor(word bits / bits))``.

    Raises
    ------
    ValueError
        A code does not fit (found in the same pass: out is then partly written); bits or word is not one of these; q
        has no dimension; out does not fit, is read-only, or overlaps q.
    TypeError
        An argument is no array, or of another dtype.

    Notes
    -----
    The first code is in the lowest bits; int8 codes are in two's complement. Words are little-endian, so that the bytes
    of int32 words are those of uint8 ones. Once ``2**(bits - 1)`` is added to signed codes, int32 words are those of
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
        _core.pack_bits(q, bits, padded, out)
        return out
    framework = framework_of(q, "q")
    filled = framework.empty(q, packed_codes_shape(q.shape, bits, "q", word_bits(word), padded), word)
    _core.pack_bits(q, bits, padded, filled)
    return framework.result(filled)


def word_bits(word: str) -> int:
    """How many a word of this dtype has."""
    if word not in _WORD_BITS:
        raise ValueError(f'word must be "uint8" or "int32", got {word!r}')
    return _WORD_BITS[word]


def unpack_bits(p: Any, bits: int, cols: int, *, signed: bool = True, padded: bool = False, out: Any = None) -> Any:
    """Unpack the codes that ``pack_bits`` gives.

    Parameters
    ----------
    p : uint8 or int32 array of shape (..., words)
    bits : int in [1, 8]
    cols : int
        How many codes a row of the last axis holds.
    signed : bool, default True
        Whether codes are in two's complement and become int8; else they become uint8.
    padded : bool, default False
        As for ``pack_bits``.
    out : int8 or uint8 array of shape (..., cols), optional
        Where the result goes; it may not overlap p. Its dtype decides, whatever ``signed`` says.

    Returns
    -------
    array
        ``out``, or a new array of p's kind, on its device.

    Raises
    ------
    ValueError
        cols does not fit p; bits is out of range; out does not fit, is read-only, or overlaps p.
    TypeError
        An argument is no array, or of another dtype; cols is not an integer.

    Notes
    -----
    Bits beyond the last code of a row are ignored. A call interrupted by Ctrl-C leaves out partly written.

    Examples
    --------
    >>> import numpy as np
    >>> import tersor
    >>> tersor.unpack_bits(np.uint8([209, 8]), 3, 4, signed=False)
    array([1, 2, 3, 4], dtype=uint8)
    """
    if out is not None:
        _core.unpack_bits(p, bits, cols, padded, out)
        return out
    framework = framework_of(p, "p")
    filled = framework.empty(p, unpacked_shape(p.shape, cols, "p"), "int8" if signed else "uint8")
    _core.unpack_bits(p, bits, cols, padded, filled)
    return framework.result(filled)
