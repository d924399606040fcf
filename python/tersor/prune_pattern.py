"""prune by pattern: n of every m consecutive entries, or whole blocks."""

from __future__ import annotations

from typing import Any

from tersor import _core
from tersor._kept import Fill, masked, pruned


def _fill_nm(w: Any, n: int, m: int, axis: int, transposable: bool) -> Fill:
    if not transposable:
        return lambda packed, out: _core.prune_nm(w, n, m, axis, packed, out)
    if (n, m, axis) != (2, 4, -1):
        raise ValueError(f"transposable must be False for {n}:{m} along axis {axis}; it is for 2:4 along the last axis")
    return lambda packed, out: _core.prune_transposable(w, packed, out)


def prune_nm(w: Any, n: int, m: int, *, axis: int = -1, transposable: bool = False, out: Any = None) -> Any:
    """Keep the n largest magnitudes of every m consecutive entries, set the others to zero.

    Parameters
    ----------
    w : array of any shape, float32, float16, bfloat16 or float64
    n, m : int
        ``1 <= n < m <= 32``.
    axis : int, default -1
        The axis along which entries are consecutive.
    transposable : bool, default False
        Keep a pattern that is 2:4 along rows and along columns, the last two axes: w and its transpose both are. For
        2:4 and the last axis only.
    out : array like w, optional
        Where the result goes. ``out=w`` works in place; any other overlap with w is refused.

    Returns
    -------
    array
        ``out``, or a new array of w's kind, shape, dtype and device.

    Raises
    ------
    ValueError
        n and m are out of range; transposable does not fit n, m, axis or w; out does not fit, is read-only, or overlaps
        w in part.
    TypeError
        An argument is no array, or of a dtype or kind that tersor does not read.

    Notes
    -----
    Groups start at the beginning of each row. A shorter one at its end keeps the n largest of what it has. Where
    entries tie, those of the lowest index go first; NaN counts as the largest. What stays, stays bit for bit. A call
    interrupted by Ctrl-C leaves out partly written.

    2:4 is the pattern of NVIDIA's sparse tensor cores: Mishra et al., "Accelerating sparse deep neural networks"
    (2021). Its transposable form is that of Hubara et al. (2021): of the 90 ways to keep two entries in each row and
    column of a 4 x 4 block the one of the largest sum of magnitudes, found by trying them all. Sums are taken in
    float32 (float64 for float64), with magnitudes beyond 2**120 (2**1000) and NaN counted as that; among equal ones the
    way that keeps later columns in earlier rows is taken. What edge blocks lack counts as zeros, so they may keep less
    than two in a row.

    Examples
    --------
    >>> import numpy as np
    >>> import tersor
    >>> tersor.prune_nm(np.array([[1.0, -3.0, 2.0, 0.5, 4.0, 4.0, 4.0, 4.0]], np.float32), 2, 4)
    array([[ 0., -3.,  2.,  0.,  0.,  0.,  4.,  4.]], dtype=float32)
    """
    return pruned(w, out, _fill_nm(w, n, m, axis, transposable))


def mask_nm(
    w: Any, n: int, m: int, *, axis: int = -1, transposable: bool = False, packed: bool = False, out: Any = None
) -> Any:
    """Tell which entries ``prune_nm`` keeps.

    Parameters
    ----------
    w : array of any shape, float32, float16, bfloat16 or float64
    n, m : int
        ``1 <= n < m <= 32``.
    axis : int, default -1
        The axis along which entries are consecutive.
    transposable : bool, default False
        Keep a pattern that is 2:4 along rows and along columns, the last two axes: w and its transpose both are. For
        2:4 and the last axis only.
    packed : bool, default False
        Give the mask as bits: each row of the last axis in ``ceil(cols / 8)`` bytes, least significant bit first,
        padded with 0.
    out : array, optional
        Where the result goes: bool with w's shape, or if ``packed`` uint8 with the packed shape. It may not overlap w.

    Returns
    -------
    array
        ``out``, or a new bool or uint8 array of w's kind, on its device: True where the entry stays.

    Raises
    ------
    ValueError
        n and m are out of range; transposable does not fit n, m, axis or w; out does not fit, is read-only, or overlaps
        w in part.
    TypeError
        An argument is no array, or of a dtype or kind that tersor does not read.

    Notes
    -----
    For another criterion than the magnitude give scores of at least 0 as w, such as ``|w| * norm``, and the mask to
    ``apply_mask``. Packed masks along another axis than the last are made as bool first.

    Examples
    --------
    >>> import numpy as np
    >>> import tersor
    >>> tersor.mask_nm(np.array([[1.0, -3.0, 2.0, 0.5]], np.float32), 2, 4)
    array([[False,  True,  True, False]])
    """
    return masked(w, packed, out, _fill_nm(w, n, m, axis, transposable), by_rows=axis in (-1, getattr(w, "ndim", 0) - 1))


def prune_blocks(w: Any, block: tuple[int, int], sparsity: float, *, norm: str = "l2", out: Any = None) -> Any:
    """Set whole blocks of entries, an exact share of them and those of the smallest norm, to zero.

    Parameters
    ----------
    w : array of shape (..., rows, cols), float32, float16, bfloat16 or float64
    block : (int, int)
        Rows and columns of a block.
    sparsity : float
        In [0, 1]: of all blocks of all matrices ``round_half_even(sparsity * blocks)`` go.
    norm : {"l1", "l2", "max"}, default "l2"
        What blocks are ranked by: the sum of magnitudes, the root of the sum of squares, or the largest magnitude.
    out : array like w, optional
        Where the result goes. ``out=w`` works in place; any other overlap with w is refused.

    Returns
    -------
    array
        ``out``, or a new array of w's kind, shape, dtype and device.

    Raises
    ------
    ValueError
        w has less than two dimensions; block, sparsity or norm is out of range; out does not fit, is read-only, or
        overlaps w in part.
    TypeError
        An argument is no array, or of a dtype or kind that tersor does not read.

    Notes
    -----
    Blocks start at the first row and column of each matrix; those at the edges are as large as there are entries for,
    and have the norm of these. Norms are summed in float64 in a fixed order. Where they tie, the blocks of the lowest
    index (C order) go first; a block that holds NaN counts as the largest. A float64 for each block is needed. A call
    interrupted by Ctrl-C leaves out partly written. Narang, Undersander and Diamos, "Block-sparse recurrent neural
    networks" (2017).

    Examples
    --------
    >>> import numpy as np
    >>> import tersor
    >>> w = np.array([[1, 1, 5, 0], [1, 1, 0, 0]], np.float32)
    >>> tersor.prune_blocks(w, (2, 2), 0.5)
    array([[0., 0., 5., 0.],
           [0., 0., 0., 0.]], dtype=float32)
    """
    return pruned(w, out, lambda packed, filled: _core.prune_blocks(w, block, sparsity, norm, packed, filled))


def mask_blocks(
    w: Any, block: tuple[int, int], sparsity: float, *, norm: str = "l2", packed: bool = False, out: Any = None
) -> Any:
    """Tell which entries ``prune_blocks`` keeps.

    Parameters
    ----------
    w : array of shape (..., rows, cols), float32, float16, bfloat16 or float64
    block : (int, int)
        Rows and columns of a block.
    sparsity : float
        In [0, 1]: of all blocks of all matrices ``round_half_even(sparsity * blocks)`` go.
    norm : {"l1", "l2", "max"}, default "l2"
        What blocks are ranked by: the sum of magnitudes, the root of the sum of squares, or the largest magnitude.
    packed : bool, default False
        Give the mask as bits: each row of the last axis in ``ceil(cols / 8)`` bytes, least significant bit first,
        padded with 0.
    out : array, optional
        Where the result goes: bool with w's shape, or if ``packed`` uint8 with the packed shape. It may not overlap w.

    Returns
    -------
    array
        ``out``, or a new bool or uint8 array of w's kind, on its device: True where the entry stays.

    Raises
    ------
    ValueError
        w has less than two dimensions; block, sparsity or norm is out of range; out does not fit, is read-only, or
        overlaps w in part.
    TypeError
        An argument is no array, or of a dtype or kind that tersor does not read.

    Examples
    --------
    >>> import numpy as np
    >>> import tersor
    >>> w = np.array([[1, 1, 5, 0], [1, 1, 0, 0]], np.float32)
    >>> tersor.mask_blocks(w, (1, 2), 0.5, norm="max")
    array([[False, False,  True,  True],
           [ True,  True, False, False]])
    """
    return masked(w, packed, out, lambda packed, filled: _core.prune_blocks(w, block, sparsity, norm, packed, filled))
