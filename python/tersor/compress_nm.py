"""compress by pattern: n of every m consecutive entries, and which."""

from __future__ import annotations

from typing import Any

from tersor import _core
from tersor._arguments import integer, nm_shapes, pair_of_outputs, unpacked_shape
from tersor._outputs import dtype_name, framework_of
from tersor._two_of_four import dense_shape, layout_of


def compress_24(w: Any, *, layout: str = "bitmask", out: tuple[Any, Any] | None = None) -> tuple[Any, Any]:
    """Store a 2:4 sparse array as half of its entries and which these are.

    Parameters
    ----------
    w : array of shape (..., cols), float32, float16, bfloat16 or float64
        At most two of every four consecutive entries are nonzero; ``prune_nm(w, 2, 4)`` makes it so. cols is a multiple
        of 4. For the cutlass layout w is a matrix of float16 or bfloat16, its rows and columns multiples of 32, or one of
        float32 whose columns are a multiple of 16, with at most one nonzero in every two entries, as the hardware wants
        it.
    layout : {"bitmask", "cutlass"}, default "bitmask"
        "bitmask": what compressed-tensors 0.12.2 stores as sparse-24-bitmask. "cutlass": what
        ``torch.sparse.SparseSemiStructuredTensorCUTLASS`` computes with.
    out : pair of arrays, optional
        Where values and metadata go; they may not overlap w.

    Returns
    -------
    values : array of shape (..., cols / 2), of w's kind and dtype
        The entries that are stored, in order.
    metadata : array
        "bitmask": uint8 of shape (..., ceil(cols / 8)), one bit an entry, as ``pack_mask`` gives them. "cutlass": int16
        of shape (rows, cols / 16), for float32 (rows, cols / 8).

    Raises
    ------
    ValueError
        w is not 2:4: the message names the first group that is not; its shape does not fit; layout is unknown; w lies on
        a GPU; an output does not fit, is not contiguous, is read-only, or overlaps w.
    TypeError
        w is no array, or of a dtype or kind that tersor does not read, or that the layout has no form for; out is no pair.

    Notes
    -----
    A group with fewer than two nonzeros stores zeros along: the last two entries of a group of zeros, and of one whose
    only nonzero is the third or the fourth; the first entry goes with the third, and the second with the fourth in the
    bitmask layout (torch.topk's choice), with the third in the cutlass one. Stored entries keep their bits, the sign
    of a zero too. Metadata of the cutlass layout names the places of the two entries of a group in two bits each, and is
    reordered as CUTLASS's kernels for sm80 read it (``torch/sparse/_semi_structured_conversions.py``).

    Examples
    --------
    >>> import numpy as np
    >>> import tersor
    >>> tersor.compress_24(np.array([[0, 5, 0, 6, 7, 8, 0, 0]], np.float32))
    (array([[5., 6., 7., 8.]], dtype=float32), array([[58]], dtype=uint8))
    """
    compress = layout_of(layout).compress
    if out is not None:
        values, metadata = pair_of_outputs(out, "(values, metadata)")
        compress(w, values, metadata)
        return values, metadata
    framework = framework_of(w, "w")
    values_shape, metadata_shape = layout_of(layout).part_shapes(w.shape, dtype_name(w.dtype))
    values = framework.empty(w, values_shape, w.dtype)
    metadata = framework.empty(w, metadata_shape, layout_of(layout).metadata_dtype)
    compress(w, values, metadata)
    return framework.result(values), framework.result(metadata)


def decompress_24(values: Any, metadata: Any, *, layout: str = "bitmask", out: Any = None) -> Any:
    """Make the dense array of what ``compress_24`` gives.

    Parameters
    ----------
    values : array of shape (..., cols / 2), contiguous
    metadata : array, contiguous
        As ``compress_24`` gives it in this layout.
    layout : {"bitmask", "cutlass"}, default "bitmask"
    out : array of shape (..., cols), of the dtype of values, optional
        Where the result goes; it may not overlap an input.

    Returns
    -------
    array
        ``out``, or a new array of the kind of values.

    Raises
    ------
    ValueError
        The metadata of a row is not that of half of its entries; shapes do not fit; an input is not contiguous; layout is
        unknown; out does not fit, is read-only, or overlaps an input.
    TypeError
        An argument is no array, or of another dtype.

    Notes
    -----
    Entries that are not stored are +0.0. What is wrong with the metadata shows while they are read: that ValueError, like
    an interruption by Ctrl-C, leaves out partly written.

    Examples
    --------
    >>> import numpy as np
    >>> import tersor
    >>> tersor.decompress_24(np.float32([[5, 6, 7, 8]]), np.uint8([[58]]))
    array([[0., 5., 0., 6., 7., 8., 0., 0.]], dtype=float32)
    """
    decompress = layout_of(layout).decompress
    if out is not None:
        decompress(values, metadata, out)
        return out
    framework = framework_of(values, "values")
    filled = framework.empty(values, dense_shape(values.shape), values.dtype)
    decompress(values, metadata, filled)
    return framework.result(filled)


def compress_nm(w: Any, n: int, m: int, *, out: tuple[Any, Any] | None = None) -> tuple[Any, Any]:
    """Store n of every m consecutive entries of an n:m sparse array, and the place of each.

    Parameters
    ----------
    w : array of shape (..., cols), float32, float16, bfloat16 or float64
        At most n of every m consecutive entries are nonzero; ``prune_nm(w, n, m)`` makes it so.
    n, m : int
        ``1 <= n < m <= 32``.
    out : pair of arrays, optional
        Where values and indices go; they may not overlap w.

    Returns
    -------
    values : array of shape (..., stored), of w's kind and dtype
        ``stored = cols // m * n + min(n, cols % m)``: a shorter group at the end of a row stores n entries too, or all of
        them.
    indices : uint8 array of shape (..., ceil(stored * ceil(log2 m) / 8))
        The place of each value within its group, in ``ceil(log2 m)`` bits, one after the other, least significant first;
        each row is padded with 0 to whole bytes.

    Raises
    ------
    ValueError
        w is not n:m: the message names the first group that is not; n and m are out of range; w has no dimension, or lies
        on a GPU; an output does not fit, is not contiguous, is read-only, or overlaps w.
    TypeError
        w is no array, or of a dtype or kind that tersor does not read; n or m is not an integer;
        out is no pair.

    Notes
    -----
    A group with fewer than n nonzeros stores the last of its zeros along, as ``mask_nm`` keeps them. Stored entries keep
    their bits.

    Examples
    --------
    >>> import numpy as np
    >>> import tersor
    >>> tersor.compress_nm(np.array([[0, 0, 5, 0, 0, 0, 0, 6]], np.float32), 1, 4)
    (array([[5., 6.]], dtype=float32), array([[14]], dtype=uint8))
    """
    if out is not None:
        values, indices = pair_of_outputs(out, "(values, indices)")
        _core.compress_nm(w, n, m, values, indices)
        return values, indices
    framework = framework_of(w, "w")
    n, m = integer(n, "n"), integer(m, "m")
    values_shape, indices_shape = nm_shapes(w.shape, n, m)
    values = framework.empty(w, values_shape, w.dtype)
    indices = framework.empty(w, indices_shape, "uint8")
    _core.compress_nm(w, n, m, values, indices)
    return framework.result(values), framework.result(indices)


def decompress_nm(values: Any, indices: Any, n: int, m: int, cols: int, *, out: Any = None) -> Any:
    """Make the dense array of what ``compress_nm`` gives.

    Parameters
    ----------
    values : array of shape (..., stored), contiguous
    indices : uint8 array, contiguous
        As ``compress_nm`` gives them.
    n, m : int
        ``1 <= n < m <= 32``.
    cols : int
        Columns of the dense array.
    out : array of shape (..., cols), of the dtype of values, optional
        Where the result goes; it may not overlap an input.

    Returns
    -------
    array
        ``out``, or a new array of the kind of values.

    Raises
    ------
    ValueError
        The indices of a group do not ascend or point beyond it; n and m are out of range; shapes do not fit; an input is
        not contiguous; out does not fit, is read-only, or overlaps an input.
    TypeError
        An argument is no array, or of another dtype; n, m or cols is not an integer.

    Notes
    -----
    Entries that are not stored are +0.0. What is wrong with the indices shows while they are read: that ValueError, like
    an interruption by Ctrl-C, leaves out partly written.

    Examples
    --------
    >>> import numpy as np
    >>> import tersor
    >>> tersor.decompress_nm(np.float32([[5, 6]]), np.uint8([[14]]), 1, 4, 8)
    array([[0., 0., 5., 0., 0., 0., 0., 6.]], dtype=float32)
    """
    if out is not None:
        _core.decompress_nm(values, indices, n, m, cols, out)
        return out
    framework = framework_of(values, "values")
    filled = framework.empty(values, unpacked_shape(values.shape, cols, "values"), values.dtype)
    _core.decompress_nm(values, indices, n, m, cols, filled)
    return framework.result(filled)
