"""prune: thresholds, masks and counts of zeros."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from tersor import _core
from tersor._arguments import packed_shape
from tersor._outputs import framework_of

ArrayT = TypeVar("ArrayT")


def prune_threshold(w: ArrayT, eps: float, *, out: ArrayT | None = None) -> ArrayT:
    """Set the entries of small magnitude to zero: ``w`` where ``|w| >= eps``, else +0.0.

    Parameters
    ----------
    w : array of any shape, float32, float16, bfloat16 or float64
        NumPy, torch, or anything that speaks DLPack; any strides.
    eps : float
        The least magnitude kept, rounded to w's dtype first, as a comparison in NumPy or torch does.
    out : array like w, optional
        Where the result goes. ``out=w`` works in place; any other overlap with w is refused.

    Returns
    -------
    array
        ``out``, or a new array of w's kind, shape, dtype and device.

    Raises
    ------
    ValueError
        eps is negative or NaN; out has another shape, is read-only, or overlaps w in part.
    TypeError
        An argument is no array, or of a dtype or kind that tersor does not read.

    Notes
    -----
    NaN stays, bit for bit. -0.0 becomes +0.0, for ``eps = 0`` too. A call interrupted by Ctrl-C leaves out partly
    written. Magnitude pruning as in Han et al., "Learning both Weights and Connections" (2015).

    Examples
    --------
    >>> import numpy as np
    >>> import tersor
    >>> tersor.prune_threshold(np.array([0.5, -0.1, -2.0], np.float32), 0.25)
    array([ 0.5,  0. , -2. ], dtype=float32)
    """
    if out is None:
        framework = framework_of(w, "w")
        filled = framework.empty_like(w)
        _core.prune_threshold(w, eps, filled)
        return framework.result(filled)  # type: ignore[no-any-return]
    _core.prune_threshold(w, eps, out)
    return out


def mask_threshold(w: Any, eps: float, *, packed: bool = False, out: Any = None) -> Any:
    """Tell which entries ``prune_threshold`` keeps: True where ``|w| >= eps`` and where w is NaN.

    Parameters
    ----------
    w : array of any shape, float32, float16, bfloat16 or float64
    eps : float
        The least magnitude kept, rounded to w's dtype first.
    packed : bool, default False
        Give the mask as bits: each row of the last axis in ``ceil(cols / 8)`` bytes, least significant bit first,
        padded with 0.
    out : array, optional
        Where the result goes: bool with w's shape, or if ``packed`` uint8 with the packed shape. It may not overlap w.

    Returns
    -------
    array
        ``out``, or a new bool or uint8 array of w's kind, on its device.

    Raises
    ------
    ValueError
        eps is negative or NaN; out does not fit, is read-only, or overlaps w; w has no dimension and packed is True.
    TypeError
        An argument is no array, or of a dtype or kind that tersor does not read.

    Notes
    -----
    A call interrupted by Ctrl-C leaves out partly written.

    Examples
    --------
    >>> import numpy as np
    >>> import tersor
    >>> w = np.array([[0.5, -0.1, -2.0]], np.float32)
    >>> tersor.mask_threshold(w, 0.25)
    array([[ True, False,  True]])
    >>> tersor.mask_threshold(w, 0.25, packed=True)
    array([[5]], dtype=uint8)
    """
    if out is not None:
        _core.mask_threshold(w, eps, packed, out)
        return out
    framework = framework_of(w, "w")
    filled = (_empty_bits if packed else _empty_mask)(framework, w)
    _core.mask_threshold(w, eps, packed, filled)
    return framework.result(filled)


def apply_mask(w: ArrayT, mask: Any, *, out: ArrayT | None = None) -> ArrayT:
    """Keep the entries where the mask is True, set the others to zero.

    Parameters
    ----------
    w : array of any shape, float32, float16, bfloat16 or float64
    mask : array
        bool with w's shape, or the bits that ``pack_mask`` gives for it. Padding bits are ignored.
    out : array like w, optional
        Where the result goes. ``out=w`` works in place; any other overlap is refused.

    Returns
    -------
    array
        ``out``, or a new array of w's kind, shape, dtype and device.

    Raises
    ------
    ValueError
        The shapes do not fit; out is read-only, or overlaps w in part or the mask.
    TypeError
        An argument is no array, or of a dtype or kind that tersor does not read.

    Notes
    -----
    What is kept is kept bit for bit, NaN and -0.0 too; the rest is +0.0, also where w is NaN or infinite. A call
    interrupted by Ctrl-C leaves out partly written.

    Examples
    --------
    >>> import numpy as np
    >>> import tersor
    >>> tersor.apply_mask(np.array([1.0, 2.0, 3.0], np.float32), np.array([True, False, True]))
    array([1., 0., 3.], dtype=float32)
    """
    if out is None:
        framework = framework_of(w, "w")
        filled = framework.empty_like(w)
        _core.apply_mask(w, mask, filled)
        return framework.result(filled)  # type: ignore[no-any-return]
    _core.apply_mask(w, mask, out)
    return out


def _empty_mask(framework: Any, w: Any) -> Any:
    return framework.empty_like(w, "bool")


def _empty_bits(framework: Any, w: Any) -> Any:
    return framework.empty(w, packed_shape(w.shape, 8), "uint8")


def _filled(w: Any, make: Callable[[Any, Any], Any], fill: Callable[[Any], None]) -> Any:
    """A new output for w, or for each array of a list, after ``fill`` has written it."""
    if not isinstance(w, (list, tuple)):
        framework = framework_of(w, "w")
        out = make(framework, w)
        fill(out)
        return framework.result(out)
    frameworks = [framework_of(array, f"w[{i}]") for i, array in enumerate(w)]
    outs = [make(framework, array) for framework, array in zip(frameworks, w, strict=True)]
    fill(outs)
    return [framework.result(out) for framework, out in zip(frameworks, outs, strict=True)]


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
        sparsity is out of range; scope is none of the four or does not fit w; out does not fit, is read-only, or overlaps
        w in part.
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
    if out is not None:
        _core.prune_magnitude(w, sparsity, scope, out)
        return out
    return _filled(
        w,
        lambda framework, array: framework.empty_like(array),
        lambda filled: _core.prune_magnitude(w, sparsity, scope, filled),
    )


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
    if packed and scope == "column":
        mask = mask_magnitude(w, sparsity, scope=scope)
        if out is None:
            return _filled(w, _empty_bits, lambda filled: _core.pack_mask(mask, filled))
        _core.pack_mask(mask, out)
        return out
    if out is not None:
        _core.mask_magnitude(w, sparsity, scope, packed, out)
        return out
    make = _empty_bits if packed else _empty_mask
    return _filled(w, make, lambda filled: _core.mask_magnitude(w, sparsity, scope, packed, filled))


def count_nonzero(w: Any) -> int:
    """Count the entries that differ from zero. NaN does, -0.0 does not.

    Parameters
    ----------
    w : array of any shape and of any dtype that tersor reads
        For packed masks see ``unpack_mask``: a uint8 array is counted by its bytes.

    Returns
    -------
    int

    Raises
    ------
    TypeError
        w is no array, or of a dtype or kind that tersor does not read.

    Examples
    --------
    >>> import numpy as np
    >>> import tersor
    >>> tersor.count_nonzero(np.array([0.0, -0.0, 3.0, np.nan], np.float32))
    2
    """
    return _core.count_nonzero(w)


def sparsity(w: Any) -> float:
    """Tell the share of entries that are zero, in [0, 1].

    Parameters
    ----------
    w : array of any shape and of any dtype that tersor reads

    Returns
    -------
    float
        Zeros / total; 0.0 for an empty array.

    Raises
    ------
    TypeError
        w is no array, or of a dtype or kind that tersor does not read.

    Examples
    --------
    >>> import numpy as np
    >>> import tersor
    >>> tersor.sparsity(np.array([0.0, 1.0, 0.0, 0.0], np.float32))
    0.75
    """
    return _core.sparsity(w)
