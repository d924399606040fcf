"""The exact element of a given rank, without a sort: order statistics of one array, or of many taken as one."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from tersor import _core
from tersor._arguments import share


def kth_magnitude(w: Any, k: int) -> float:
    """Find the kth smallest ``|w|``, exactly.

    Parameters
    ----------
    w : array, or a list or tuple of arrays of one dtype
        Any shapes; float32, float16, bfloat16 or float64. Several arrays count as one, without being joined.
    k : int
        In [1, number of elements], counted from 1 as ``torch.kthvalue`` counts.

    Returns
    -------
    float
        The magnitude, which a Python float holds exactly. NaN counts as the largest.

    Raises
    ------
    ValueError
        k is out of range, or w has no element.
    TypeError
        An argument is no array, or of a dtype or kind that tersor does not read.

    Notes
    -----
    Floyd and Rivest's sampling (Expected time bounds for selection, 1975): a sample brackets the rank, one read counts
    what lies outside and collects the few elements inside, and the counts prove the bracket right; where they do not,
    another is taken. A little more than one read of w, memory of the order of ``size ** (2/3)`` elements, and the same
    answer for any number of threads.

    Examples
    --------
    >>> import numpy as np
    >>> import tersor
    >>> tersor.kth_magnitude(np.array([3.0, -1.0, 2.0], np.float32), 2)
    2.0
    """
    return _core.kth_magnitude(w, k)


def kth_value(w: Any, k: int) -> float:
    """Find the kth smallest value of w, exactly.

    Parameters
    ----------
    w : array, or a list or tuple of arrays of one dtype
        Any shapes; float32, float16, bfloat16 or float64. Several arrays count as one, without being joined.
    k : int
        In [1, number of elements], counted from 1 as ``torch.kthvalue`` counts.

    Returns
    -------
    float
        NaN counts as larger than infinity, as in ``numpy.sort``; -0.0 comes before +0.0.

    Raises
    ------
    ValueError
        k is out of range, or w has no element.
    TypeError
        An argument is no array, or of a dtype or kind that tersor does not read.

    Notes
    -----
    As ``kth_magnitude``.

    Examples
    --------
    >>> import numpy as np
    >>> import tersor
    >>> tersor.kth_value(np.array([3.0, -1.0, 2.0], np.float32), 1)
    -1.0
    """
    return _core.kth_value(w, k)


def _quantile(w: Any, size: int, q: float) -> float:
    place = q * (size - 1)
    below = math.floor(place)
    low, high = _core.kth_and_next(w, below + 1)
    fraction = place - below
    if low == high or fraction == 0:
        return low
    # Of the two ways to interpolate, the one that counts from the nearer end, as numpy.quantile does.
    return low + (high - low) * fraction if fraction < 0.5 else high - (high - low) * (1 - fraction)


def quantile(w: Any, q: Any) -> Any:
    """Find quantiles of w by linear interpolation between neighbours.

    Parameters
    ----------
    w : array, or a list or tuple of arrays of one dtype
        Any shapes, of any number of elements; float32, float16, bfloat16 or float64. Several arrays count as one.
    q : float, or array of floats
        In [0, 1].

    Returns
    -------
    float or numpy.ndarray
        float64, of q's shape. What ``numpy.quantile(w.astype(float64), q)`` gives (its method "linear", Hyndman and
        Fan's 7), NaN where w holds one.

    Raises
    ------
    ValueError
        q is out of range or NaN, or w has no element.
    TypeError
        An argument is no array, or of a dtype or kind that tersor does not read.

    Notes
    -----
    Each entry of q costs two or three reads of w. ``torch.quantile`` refuses more than 2**24 elements.

    Examples
    --------
    >>> import numpy as np
    >>> import tersor
    >>> tersor.quantile(np.array([3.0, -1.0, 2.0, 0.0], np.float32), 0.5)
    1.0
    """
    size = _core.element_count(w)
    if np.ndim(q) == 0:
        return _quantile(w, size, share(q, "q"))
    shares = np.asarray(q)
    found = [_quantile(w, size, share(one, "q")) for one in shares.ravel()]
    return np.array(found, np.float64).reshape(shares.shape)


def magnitude_threshold(w: Any, sparsity: float) -> float:
    """Find the least magnitude that stays when the given share of entries, the smallest, goes.

    ``prune_threshold(w, magnitude_threshold(w, s))`` removes that share, or less where entries tie at the threshold: it
    keeps all of them. ``prune_magnitude`` removes exactly the share.

    Parameters
    ----------
    w : array, or a list or tuple of arrays of one dtype
        Any shapes; float32, float16, bfloat16 or float64. Several arrays count as one: one threshold for a model.
    sparsity : float
        In [0, 1]: ``round_half_even(sparsity * size)`` entries go.

    Returns
    -------
    float
        The magnitude of rank ``k + 1`` where k entries go; infinity where all go.

    Raises
    ------
    ValueError
        sparsity is out of range, or w has no element.
    TypeError
        An argument is no array, or of a dtype or kind that tersor does not read.

    Examples
    --------
    >>> import numpy as np
    >>> import tersor
    >>> tersor.magnitude_threshold(np.array([3.0, -1.0, 2.0, 0.5], np.float32), 0.5)
    2.0
    """
    return _core.magnitude_threshold(w, sparsity)
