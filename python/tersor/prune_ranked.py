"""prune by rank: an exact share of the entries goes, by magnitude, by score, or by product with gradient or norm."""

from __future__ import annotations

from typing import Any

from tersor import _core
from tersor._kept import masked, pruned


def prune_magnitude(w: Any, sparsity: float, *, scope: str = "tensor", out: Any = None) -> Any:
    """Set exactly the given share of the entries, those of the smallest magnitude, to zero.

    Parameters
    ----------
    w : array, or for ``scope="global"`` a list or tuple of arrays of one dtype
        Any shapes and strides; float32, float16, bfloat16 or float64.
    sparsity : float
        In [0, 1]: ``round_half_even(sparsity * n)`` of n entries go, the product taken in float64.
    scope : {"tensor", "row", "column", "global"}, default "tensor"
        What n counts: the whole array; each row (last axis); each column (the axis before it); or all arrays of a list
        together, so that layers of small weights lose more of them.
    out : array like w, or list of arrays, optional
        Where the result goes. ``out=w`` works in place; any other overlap is refused.

    Returns
    -------
    array or list of arrays
        ``out``, or new arrays of w's kind, shape, dtype and device.

    Raises
    ------
    ValueError
        sparsity is out of range; scope is none of the four or does not fit w; out does not fit, is read-only, or
        overlaps w in part.
    TypeError
        An argument is no array, or of a dtype or kind that tersor does not read.

    Notes
    -----
    Where entries tie, those of the lowest index (C order, arrays of a list in turn) go first. NaN counts as the largest
    magnitude and stays, unless all of the rest goes too. What stays, stays bit for bit; what goes becomes +0.0, also
    where it was -0.0. The threshold is found as by ``kth_magnitude``: w is read a little more than once, then read and
    written; ties at the threshold cost one more read. A call interrupted by Ctrl-C leaves out partly written.

    Magnitude pruning as in Han et al., "Learning both Weights and Connections" (2015); over a whole model as in
    ``torch.nn.utils.prune.global_unstructured``.

    Examples
    --------
    >>> import numpy as np
    >>> import tersor
    >>> w = np.array([[0.5, -0.1], [-2.0, 3.0]], np.float32)
    >>> tersor.prune_magnitude(w, 0.5)
    array([[ 0.,  0.],
           [-2.,  3.]], dtype=float32)
    >>> tersor.prune_magnitude(w, 0.5, scope="row")
    array([[0.5, 0. ],
           [0. , 3. ]], dtype=float32)
    >>> first, second = tersor.prune_magnitude([w, 10 * w], 0.5, scope="global")
    >>> second
    array([[  5.,   0.],
           [-20.,  30.]], dtype=float32)
    """
    return pruned(w, out, lambda packed, filled: _core.prune_magnitude(w, sparsity, scope, packed, filled))


def mask_magnitude(w: Any, sparsity: float, *, scope: str = "tensor", packed: bool = False, out: Any = None) -> Any:
    """Tell which entries ``prune_magnitude`` keeps.

    Parameters
    ----------
    w : array, or for ``scope="global"`` a list or tuple of arrays of one dtype
        Any shapes and strides; float32, float16, bfloat16 or float64.
    sparsity : float
        In [0, 1]: ``round_half_even(sparsity * n)`` of n entries go.
    scope : {"tensor", "row", "column", "global"}, default "tensor"
        What n counts, as in ``prune_magnitude``.
    packed : bool, default False
        Give the mask as bits: each row of the last axis in ``ceil(cols / 8)`` bytes, least significant bit first,
        padded with 0.
    out : array or list of arrays, optional
        Where the result goes: bool with w's shape, or if ``packed`` uint8 with the packed shape. It may not overlap w.

    Returns
    -------
    array or list of arrays
        ``out``, or new bool or uint8 arrays of w's kind, on its device: True where the entry stays.

    Raises
    ------
    ValueError
        sparsity is out of range; scope is none of the four or does not fit w; out does not fit, is read-only, or
        overlaps w; w has no dimension and packed is True.
    TypeError
        An argument is no array, or of a dtype or kind that tersor does not read.

    Notes
    -----
    Ties and NaN as in ``prune_magnitude``: ``apply_mask(w, mask_magnitude(w, s))`` is ``prune_magnitude(w, s)``. Packed
    masks of columns are made as bool first.

    Examples
    --------
    >>> import numpy as np
    >>> import tersor
    >>> w = np.array([[0.5, -0.1, -2.0, 3.0]], np.float32)
    >>> tersor.mask_magnitude(w, 0.5)
    array([[False, False,  True,  True]])
    >>> tersor.mask_magnitude(w, 0.5, packed=True)
    array([[12]], dtype=uint8)
    """
    return masked(
        w,
        packed,
        out,
        lambda packed, filled: _core.prune_magnitude(w, sparsity, scope, packed, filled),
        by_rows=scope != "column",
    )


def prune_scores(w: Any, scores: Any, sparsity: float, *, scope: str = "tensor", out: Any = None) -> Any:
    """Set exactly the given share of the entries, those of the lowest scores, to zero.

    Parameters
    ----------
    w : array, or for ``scope="global"`` a list or tuple of arrays of one dtype
        Any shapes and strides; float32, float16, bfloat16 or float64.
    scores : array of w's shape, or list of arrays
        What entries are ranked by, float32, float16, bfloat16 or float64; the most negative go first.
    sparsity : float
        In [0, 1]: ``round_half_even(sparsity * n)`` of n entries go.
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
        sparsity is out of range; scope is none of the four or does not fit w; scores are of another shape; out does not
        fit, is read-only, or overlaps an input other than in place.
    TypeError
        An argument is no array, or of a dtype or kind that tersor does not read.

    Notes
    -----
    Where scores tie, the entries of the lowest index go first. NaN counts as the highest score; -0.0 comes before +0.0.
    The cost is that of ``prune_magnitude`` on the scores, and one read and write of w. A call interrupted by Ctrl-C
    leaves out partly written.

    Examples
    --------
    >>> import numpy as np
    >>> import tersor
    >>> w, movement = np.array([1.0, 2.0, 3.0, 4.0], np.float32), np.array([0.3, -0.5, 0.1, 0.2])
    >>> tersor.prune_scores(w, movement, 0.5)
    array([1., 0., 0., 4.], dtype=float32)
    """
    return pruned(w, out, lambda packed, filled: _core.prune_scores(w, scores, sparsity, scope, packed, filled))


def mask_scores(scores: Any, sparsity: float, *, scope: str = "tensor", packed: bool = False, out: Any = None) -> Any:
    """Tell which entries ``prune_scores`` keeps.

    Parameters
    ----------
    scores : array, or for ``scope="global"`` a list or tuple of arrays of one dtype
        What entries are ranked by, float32, float16, bfloat16 or float64; the most negative go first.
    sparsity : float
        In [0, 1]: ``round_half_even(sparsity * n)`` of n entries go.
    scope : {"tensor", "row", "column", "global"}, default "tensor"
        What is compared, as in ``prune_magnitude``.
    packed : bool, default False
        Give the mask as bits, as ``mask_magnitude`` does.
    out : array or list of arrays, optional
        Where the result goes: bool with the shape of scores, or if ``packed`` uint8 with the packed shape. It may not
        overlap an input.

    Returns
    -------
    array or list of arrays
        ``out``, or new bool or uint8 arrays of the kind of scores, on its device: True where the entry stays.

    Raises
    ------
    ValueError
        sparsity is out of range; scope is none of the four or does not fit scores; out does not fit, is read-only, or
        overlaps an input other than in place.
    TypeError
        An argument is no array, or of a dtype or kind that tersor does not read.

    Examples
    --------
    >>> import numpy as np
    >>> import tersor
    >>> tersor.mask_scores(np.array([0.3, -0.5, 0.1, 0.2]), 0.5)
    array([ True, False, False,  True])
    """
    return masked(
        scores,
        packed,
        out,
        lambda packed, filled: _core.mask_scores(scores, sparsity, scope, packed, filled),
        by_rows=scope != "column",
        name="scores",
    )


def prune_taylor(w: Any, gradient: Any, sparsity: float, *, scope: str = "tensor", out: Any = None) -> Any:
    """Set exactly the given share of the entries, those of the smallest ``|w * gradient|``, to zero.

    Parameters
    ----------
    w : array, or for ``scope="global"`` a list or tuple of arrays of one dtype
        Any shapes and strides; float32, float16, bfloat16 or float64.
    gradient : array of w's shape, or list of arrays
        That of the loss by w; of w's dtype, or float32 (float64 for float64).
    sparsity : float
        In [0, 1]: ``round_half_even(sparsity * n)`` of n entries go.
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
        sparsity is out of range; scope is none of the four or does not fit w; gradient has another shape; out does not
        fit, is read-only, or overlaps an input other than in place.
    TypeError
        An argument is no array, or of a dtype or kind that tersor does not read.

    Notes
    -----
    The first-order estimate of how much the loss changes when an entry goes: Molchanov et al., "Pruning convolutional
    neural networks for resource efficient inference" (2017). For movement pruning (Sanh et al., 2020), whose scores
    keep their sign over many steps, accumulate ``-w * gradient`` and call ``prune_scores``.

    The products are rounded once, to float32 (float64 for float64), and exist a few thousand at a time only. Ties go by
    the lowest index first; a product that is NaN counts as the largest. A call interrupted by Ctrl-C leaves out partly
    written.

    Examples
    --------
    >>> import numpy as np
    >>> import tersor
    >>> w, gradient = np.array([1.0, 2.0, 3.0, 4.0], np.float32), np.array([0.3, -0.5, 0.1, 0.01], np.float32)
    >>> tersor.prune_taylor(w, gradient, 0.5)
    array([0., 2., 3., 0.], dtype=float32)
    """
    return pruned(w, out, lambda packed, filled: _core.prune_taylor(w, gradient, sparsity, scope, packed, filled))


def mask_taylor(
    w: Any, gradient: Any, sparsity: float, *, scope: str = "tensor", packed: bool = False, out: Any = None
) -> Any:
    """Tell which entries ``prune_taylor`` keeps.

    Parameters
    ----------
    w : array, or for ``scope="global"`` a list or tuple of arrays of one dtype
        Any shapes and strides; float32, float16, bfloat16 or float64.
    gradient : array of w's shape, or list of arrays
        That of the loss by w; of w's dtype, or float32 (float64 for float64).
    sparsity : float
        In [0, 1]: ``round_half_even(sparsity * n)`` of n entries go.
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
        sparsity is out of range; scope is none of the four or does not fit w; gradient has another shape; out does not
        fit, is read-only, or overlaps an input other than in place.
    TypeError
        An argument is no array, or of a dtype or kind that tersor does not read.

    Examples
    --------
    >>> import numpy as np
    >>> import tersor
    >>> w, gradient = np.array([1.0, 2.0, 3.0, 4.0], np.float32), np.array([0.3, -0.5, 0.1, 0.01], np.float32)
    >>> tersor.mask_taylor(w, gradient, 0.5)
    array([False,  True,  True, False])
    """
    return masked(
        w,
        packed,
        out,
        lambda packed, filled: _core.prune_taylor(w, gradient, sparsity, scope, packed, filled),
        by_rows=scope != "column",
    )


def prune_wanda(w: Any, norm: Any, sparsity: float, *, scope: str = "row", out: Any = None) -> Any:
    """Set exactly the given share of the entries, those of the smallest ``|w| * norm``, to zero.

    Parameters
    ----------
    w : array, or for ``scope="global"`` a list or tuple of arrays of one dtype
        Any shapes and strides; float32, float16, bfloat16 or float64.
    norm : array that broadcasts to w, or list of arrays
        That of each input feature, of shape (cols,) for weights (rows, cols): ``numpy.linalg.norm(x, axis=0)`` of the
        inputs x (samples, cols). Of w's dtype, or float32 (float64 for float64).
    sparsity : float
        In [0, 1]: ``round_half_even(sparsity * n)`` of n entries go.
    scope : {"tensor", "row", "column", "global"}, default "row"
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
        sparsity is out of range; scope is none of the four or does not fit w; norm does not broadcast to w; out does
        not fit, is read-only, or overlaps an input other than in place.
    TypeError
        An argument is no array, or of a dtype or kind that tersor does not read.

    Notes
    -----
    Sun et al., "A simple and effective pruning approach for large language models" (2023), which compares within rows.

    The products are rounded once, to float32 (float64 for float64), and exist a row or a few thousand at a time only.
    Ties go by the lowest index first; a product that is NaN counts as the largest. A call interrupted by Ctrl-C leaves
    out partly written.

    Examples
    --------
    >>> import numpy as np
    >>> import tersor
    >>> w = np.array([[1.0, 2.0, 3.0, 4.0]], np.float32)
    >>> tersor.prune_wanda(w, np.array([9.0, 1.0, 1.0, 1.0], np.float32), 0.5)
    array([[1., 0., 0., 4.]], dtype=float32)
    """
    return pruned(w, out, lambda packed, filled: _core.prune_wanda(w, norm, sparsity, scope, packed, filled))


def mask_wanda(w: Any, norm: Any, sparsity: float, *, scope: str = "row", packed: bool = False, out: Any = None) -> Any:
    """Tell which entries ``prune_wanda`` keeps.

    Parameters
    ----------
    w : array, or for ``scope="global"`` a list or tuple of arrays of one dtype
        Any shapes and strides; float32, float16, bfloat16 or float64.
    norm : array that broadcasts to w, or list of arrays
        That of each input feature, as in ``prune_wanda``.
    sparsity : float
        In [0, 1]: ``round_half_even(sparsity * n)`` of n entries go.
    scope : {"tensor", "row", "column", "global"}, default "row"
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
        sparsity is out of range; scope is none of the four or does not fit w; norm does not broadcast to w; out does
        not fit, is read-only, or overlaps an input other than in place.
    TypeError
        An argument is no array, or of a dtype or kind that tersor does not read.

    Examples
    --------
    >>> import numpy as np
    >>> import tersor
    >>> w = np.array([[1.0, 2.0, 3.0, 4.0]], np.float32)
    >>> tersor.mask_wanda(w, np.array([9.0, 1.0, 1.0, 1.0], np.float32), 0.5)
    array([[ True, False, False,  True]])
    """
    return masked(
        w,
        packed,
        out,
        lambda packed, filled: _core.prune_wanda(w, norm, sparsity, scope, packed, filled),
        by_rows=scope != "column",
    )
