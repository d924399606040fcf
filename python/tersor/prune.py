"""prune: thresholds, masks, counts of zeros, and how sparsity grows."""

from __future__ import annotations

from typing import Any, TypeVar

from tersor import _core
from tersor._arguments import share
from tersor._kept import masked
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
    return masked(w, packed, None, lambda packed, filled: _core.mask_threshold(w, eps, packed, filled))


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


def prune_mean(w: ArrayT, factor: float, *, out: ArrayT | None = None) -> ArrayT:
    """Set the entries below a multiple of the mean magnitude to zero.

    Parameters
    ----------
    w : array of any shape, float32, float16, bfloat16 or float64
    factor : float
        At least 0. Of normally distributed weights 0.85 removes about half, 1.26 about 0.69.
    out : array like w, optional
        Where the result goes. ``out=w`` works in place; any other overlap with w is refused.

    Returns
    -------
    array
        ``out``, or a new array of w's kind, shape, dtype and device.

    Raises
    ------
    ValueError
        factor is negative or NaN; the mean magnitude is not finite; out does not fit, is read-only, or overlaps w in part.
    TypeError
        An argument is no array, or of a dtype or kind that tersor does not read.

    Notes
    -----
    A heuristic that costs one read and no selection; what share goes depends on the distribution, ``prune_magnitude``
    removes an exact one. The mean is summed in float64 in a fixed order, the same for every thread count and layout; its
    product with the factor is rounded to w's dtype. The threshold of a multiple of the mean as in the dynamic network
    surgery of Guo, Yao and Chen (2016).

    Examples
    --------
    >>> import numpy as np
    >>> import tersor
    >>> tersor.prune_mean(np.array([0.5, -0.1, -2.0, 1.0], np.float32), 1.0)
    array([ 0.,  0., -2.,  1.], dtype=float32)
    """
    return prune_threshold(w, _core.mean_threshold(w, factor), out=out)


def mask_mean(w: Any, factor: float, *, packed: bool = False, out: Any = None) -> Any:
    """Tell which entries ``prune_mean`` keeps.

    Parameters
    ----------
    w : array of any shape, float32, float16, bfloat16 or float64
    factor : float
        At least 0.
    packed : bool, default False
        Give the mask as bits, as ``mask_threshold`` does.
    out : array, optional
        Where the result goes: bool with w's shape, or if ``packed`` uint8 with the packed shape. It may not overlap w.

    Returns
    -------
    array
        ``out``, or a new bool or uint8 array of w's kind, on its device.

    Raises
    ------
    ValueError
        factor is negative or NaN; the mean magnitude is not finite; out does not fit, is read-only, or overlaps w.
    TypeError
        An argument is no array, or of a dtype or kind that tersor does not read.

    Examples
    --------
    >>> import numpy as np
    >>> import tersor
    >>> tersor.mask_mean(np.array([0.5, -0.1, -2.0, 1.0], np.float32), 1.0)
    array([False, False,  True,  True])
    """
    return mask_threshold(w, _core.mean_threshold(w, factor), packed=packed, out=out)


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


def cubic_sparsity(step: int, *, begin: int, end: int, final: float, initial: float = 0.0) -> float:
    """Tell how sparse a gradually pruned model is to be at a step: fast at first, then ever slower.

    Parameters
    ----------
    step : int or float
        Of the training.
    begin, end : int or float
        The steps between which the sparsity grows; begin < end.
    final : float
        The sparsity from ``end`` on, in [0, 1].
    initial : float, default 0.0
        That up to ``begin``, in [0, 1].

    Returns
    -------
    float
        ``final + (initial - final) * (1 - (step - begin) / (end - begin)) ** 3``, the fraction held to [0, 1].

    Raises
    ------
    ValueError
        A sparsity is out of range; end is not after begin.
    TypeError
        A sparsity is no number.

    Notes
    -----
    In float64. Zhu and Gupta, "To prune, or not to prune" (2017), equation 1; prune every hundred steps or so to what it
    gives.

    Examples
    --------
    >>> import tersor
    >>> [round(tersor.cubic_sparsity(step, begin=0, end=400, final=0.8), 4) for step in (0, 100, 200, 400, 900)]
    [0.0, 0.4625, 0.7, 0.8, 0.8]
    """
    final, initial = share(final, "final"), share(initial, "initial")
    if not begin < end:
        raise ValueError(f"end must be after begin, got {begin} to {end}")
    left = 1 - min(max((step - begin) / (end - begin), 0.0), 1.0)
    return final + (initial - final) * left * left * left
