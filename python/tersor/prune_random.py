"""prune by chance: an exact share of the entries goes, the same for the same seed everywhere."""

from __future__ import annotations

from typing import Any

from tersor import _core
from tersor._kept import masked, pruned


def prune_random(w: Any, sparsity: float, *, seed: int, scope: str = "tensor", out: Any = None) -> Any:
    """Set exactly the given share of the entries, chosen by chance, to zero.

    Parameters
    ----------
    w : array, or for ``scope="global"`` a list or tuple of arrays of one dtype
        Any shapes and strides; float32, float16, bfloat16 or float64.
    sparsity : float
        In [0, 1]: ``round_half_even(sparsity * n)`` of n entries go.
    seed : int
        In [0, 2**64). The same seed chooses the same entries on every machine.
    scope : {"tensor", "row", "column", "global"}, default "tensor"
        What is compared, as in ``prune_magnitude``.
    out : array like w, or list of arrays, optional
        Where the result goes. ``out=w`` works in place; any other overlap is refused.

    Returns
    -------
    array or list of arrays
        ``out``, or new arrays of w's kind, shape, dtype and device.

    Raises
    ------
    ValueError
        sparsity is out of range; scope is none of the four or does not fit w; seed is out of range; out does not fit,
        is read-only, or overlaps an input other than in place.
    TypeError
        An argument is no array, or of a dtype or kind that tersor does not read.

    Notes
    -----
    Entries are ranked by random numbers that depend on the seed and on their place alone: the entry of index i (C
    order, arrays of a list in turn; along rows or columns for those scopes) has the upper 30 bits of word ``i % 4`` of
    Philox4x32-10 at the counter ``i // 4``, with the seed as its key. Those of the lowest go, and where they tie the
    lowest index. Salmon et al., "Parallel random numbers: as easy as 1, 2, 3" (2011). A call interrupted by Ctrl-C
    leaves out partly written.

    Examples
    --------
    >>> import numpy as np
    >>> import tersor
    >>> tersor.prune_random(np.arange(1, 9, dtype=np.float32), 0.5, seed=1)
    array([1., 2., 0., 4., 0., 6., 0., 0.], dtype=float32)
    """
    return pruned(w, out, lambda packed, filled: _core.prune_random(w, sparsity, seed, scope, packed, filled))


def mask_random(w: Any, sparsity: float, *, seed: int, scope: str = "tensor", packed: bool = False, out: Any = None) -> Any:
    """Tell which entries ``prune_random`` keeps.

    Parameters
    ----------
    w : array, or for ``scope="global"`` a list or tuple of arrays of one dtype
        Of which only the shapes matter: any shapes and strides; float32, float16, bfloat16 or float64.
    sparsity : float
        In [0, 1]: ``round_half_even(sparsity * n)`` of n entries go.
    seed : int
        In [0, 2**64).
    scope : {"tensor", "row", "column", "global"}, default "tensor"
        What is compared, as in ``prune_magnitude``.
    packed : bool, default False
        Give the mask as bits, as ``mask_magnitude`` does.
    out : array or list of arrays, optional
        Where the result goes: bool with w's shape, or if ``packed`` uint8 with the packed shape. It may not overlap an
        input.

    Returns
    -------
    array or list of arrays
        ``out``, or new bool or uint8 arrays of w's kind, on its device: True where the entry stays.

    Raises
    ------
    ValueError
        sparsity is out of range; scope is none of the four or does not fit w; seed is out of range; out does not fit,
        is read-only, or overlaps an input other than in place.
    TypeError
        An argument is no array, or of a dtype or kind that tersor does not read.

    Examples
    --------
    >>> import numpy as np
    >>> import tersor
    >>> tersor.mask_random(np.ones(8, np.float32), 0.5, seed=1, packed=True)
    array([43], dtype=uint8)
    """
    return masked(
        w,
        packed,
        out,
        lambda packed, filled: _core.prune_random(w, sparsity, seed, scope, packed, filled),
        by_rows=scope != "column",
    )
