"""Histograms, entropy, mutual information and divergence, in nats, and the pruning of units that tell least of a target."""

from __future__ import annotations

from typing import Any

import numpy as np

from tersor import _core
from tersor._arguments import bin_count, bounds, packed_shape, pair, reduced_shape
from tersor._outputs import framework_of


def _rule(bins: Any, range: Any, kind: Any) -> Any:
    """A number of bins, whose edges the data decide, or a float64 array of edges."""
    if np.ndim(bins) == 0:
        count = bin_count(bins)
        if range is None:
            return count
        if kind != "uniform":
            raise ValueError("range goes with kind='uniform' alone; quantiles are of all the data")
        edges = np.empty(count + 1, np.float64)
        _core.uniform_edges(*bounds(range), edges)
        return edges
    if range is not None:
        raise ValueError("range goes with a number of bins; edges have theirs")
    edges = np.asarray(bins)
    if edges.dtype.kind not in "fiu" or edges.dtype.itemsize > 8:
        raise TypeError(f"bins must be an integer or an array of real numbers, not of {edges.dtype}")
    return np.ascontiguousarray(edges, np.float64)


def _edges(x: Any, name: str, rule: Any, kind: Any, like: Any) -> Any:
    edges = framework_of(like, name).empty(like, (rule + 1 if isinstance(rule, int) else rule.size,), "float64")
    _core.bin_edges(x, name, rule, kind, edges)
    return edges


def histogram(
    x: Any, bins: Any, *, range: tuple[float, float] | None = None, kind: str = "uniform", out: Any = None
) -> tuple[Any, Any]:
    """Count the elements of x in bins, exactly as ``numpy.histogram`` does for the same edges.

    Parameters
    ----------
    x : array of any shape, float32, float16, bfloat16 or float64
        NumPy, torch, or anything that speaks DLPack; any strides.
    bins : int, or array of edges
        How many, up to 2**20; or the edges themselves, which may not decrease and may be infinite.
    range : (float, float), optional
        What the bins divide; that of the data by default. Where both are equal, it is half a unit wider on both sides.
    kind : {"uniform", "quantile"}, default "uniform"
        Bins of one width, or of as many elements each: the edges are then the quantiles ``i / bins`` of x, by linear
        interpolation.
    out : array, optional
        int64, one a bin, where the counts go; what it holds is not added to.

    Returns
    -------
    counts : array
        ``out``, or int64, one a bin.
    edges : array
        float64, one more. New arrays are of x's kind, or of out's, on its device.

    Raises
    ------
    ValueError
        bins or range is out of range; the edges decrease; x holds NaN or an infinity, and neither range nor edges are
        given; out does not fit, is read-only, or overlaps x.
    TypeError
        An argument is no array, or of a dtype or kind that tersor does not read.

    Notes
    -----
    A number is in the bin i where ``edges[i] <= x < edges[i + 1]``, the last edge being in the last bin too; they are
    compared as real numbers, whatever x's dtype. What lies outside, and NaN, is not counted. Where edges coincide, the
    bins between them are empty. Without a single element the range is (0, 1). The edges of uniform bins are those of
    ``numpy.linspace`` in float64; ``numpy.histogram`` itself takes edges of x's dtype.

    x is read once, with known edges, and once before for its range. Quantiles cost about two reads for each inner edge.
    Each thread has tables of at most 32 KiB, or four bytes a bin if that is more.

    Examples
    --------
    >>> import numpy as np
    >>> import tersor
    >>> counts, edges = tersor.histogram(np.array([0.0, 0.1, 0.5, 1.0], np.float32), 2)
    >>> counts, edges
    (array([2, 2]), array([0. , 0.5, 1. ]))
    >>> tersor.histogram(np.array([1.0, 2.0, 3.0, 50.0]), 2, kind="quantile")[1]
    array([ 1. ,  2.5, 50. ])
    """
    rule = _rule(bins, range, kind)
    like = x if out is None else out
    framework = framework_of(like, "x" if out is None else "out")
    edges = _edges(x, "x", rule, kind, like)
    counts = framework.empty(x, (len(edges) - 1,), "int64") if out is None else out
    _core.histogram(x, edges, counts)
    return framework.result(counts) if out is None else out, framework.result(edges)


def histogram2d(x: Any, y: Any, bins: Any, *, range: Any = None, kind: str = "uniform") -> tuple[Any, Any, Any]:
    """Count pairs of elements of x and y, exactly as ``numpy.histogram2d`` does for the same edges.

    Parameters
    ----------
    x, y : arrays of one shape, float32, float16, bfloat16 or float64
        Any shape and strides; their dtypes may differ.
    bins : int, or (int, int), or a pair of arrays of edges
        For both, or for x and for y. There may be 2**22 bins in all.
    range : pair of (float, float), optional
        What the bins of x and those of y divide; either may be None, for the range of the data.
    kind : {"uniform", "quantile"}, default "uniform"
        As in ``histogram``, of each by itself.

    Returns
    -------
    counts : array
        int64, (bins of x, bins of y).
    x_edges, y_edges : arrays
        float64.

    Raises
    ------
    ValueError
        The shapes differ; bins or range is out of range; the edges decrease; x or y holds NaN or an infinity, and
        neither range nor edges are given for it.
    TypeError
        An argument is no array, or of a dtype or kind that tersor does not read.

    Notes
    -----
    As in ``histogram``; a pair is counted where both of it are. Each thread has a table of four bytes a bin.

    Examples
    --------
    >>> import numpy as np
    >>> import tersor
    >>> x, y = np.array([0.0, 0.2, 0.9, 1.0]), np.array([5.0, 6.0, 5.0, 6.0])
    >>> tersor.histogram2d(x, y, 2)[0]
    array([[1, 1],
           [1, 1]])
    """
    framework = framework_of(x, "x")
    x_bins, y_bins = pair(bins, "bins") if hasattr(bins, "__len__") else (bins, bins)
    x_range, y_range = (None, None) if range is None else pair(range, "range")
    x_edges = _edges(x, "x", _rule(x_bins, x_range, kind), kind, x)
    y_edges = _edges(y, "y", _rule(y_bins, y_range, kind), kind, y)
    counts = framework.empty(x, (len(x_edges) - 1, len(y_edges) - 1), "int64")
    _core.histogram2d(x, y, x_edges, y_edges, counts)
    return framework.result(counts), framework.result(x_edges), framework_of(y, "y").result(y_edges)


def entropy(
    x: Any,
    bins: Any,
    *,
    axis: int | None = None,
    range: tuple[float, float] | None = None,
    kind: str = "uniform",
    out: Any = None,
) -> Any:
    """Find the entropy of a histogram of x, in nats: the sum of p ln(1 / p) over the shares p of its bins.

    Parameters
    ----------
    x : array of any shape, float32, float16, bfloat16 or float64
    bins : int, or array of edges
        As in ``histogram``.
    axis : int, optional
        Along which the samples lie: each row along it has its own histogram, and, but for given edges or range, its own
        edges. All of x is one sample by default.
    range : (float, float), optional
        As in ``histogram``.
    kind : {"uniform", "quantile"}, default "uniform"
        As in ``histogram``.
    out : array, optional
        Where the result along an axis goes: float64, of x's shape without the axis. It may not overlap x.

    Returns
    -------
    float or array
        Along an axis ``out``, or a new float64 array of x's kind.

    Raises
    ------
    ValueError
        As ``histogram``; axis is out of range (``AxisError``); out does not fit, is read-only, overlaps x, or is there
        without an axis.
    TypeError
        An argument is no array, or of a dtype or kind that tersor does not read.

    Notes
    -----
    The shares are of what is counted; 0.0 where nothing is. The logarithms are tersor's own, within 1 ULP, and the sum
    is compensated and of fixed order: the same bits on every CPU. Shannon, "A Mathematical Theory of Communication"
    (1948).

    Examples
    --------
    >>> import numpy as np
    >>> import tersor
    >>> round(tersor.entropy(np.array([0.0, 1.0, 2.0, 3.0], np.float32), 4), 6)
    1.386294
    """
    rule = _rule(bins, range, kind)
    if axis is None:
        if out is not None:
            raise ValueError("out is for entropies along an axis; the entropy of all of x is a number")
        return _core.entropy(x, rule, kind)
    if out is not None:
        _core.entropy_rows(x, rule, kind, axis, out)
        return out
    framework = framework_of(x, "x")
    shape = list(reduced_shape(x.shape, axis))
    del shape[axis]
    filled = framework.empty(x, tuple(shape), "float64")
    _core.entropy_rows(x, rule, kind, axis, filled)
    return framework.result(filled)


def mutual_information(x: Any, y: Any, bins: Any, *, kind: str = "uniform", out: Any = None) -> Any:
    """Find how many nats the samples of x tell of y: the mutual information of their joint histogram.

    Parameters
    ----------
    x : array (samples,) or (samples, ...), float32, float16, bfloat16 or float64
        One variable, or many: one a column.
    y : array (samples,), floating, or int64, int8, uint8 or bool
        Another variable, in bins of its own; or labels, each integer a class.
    bins : int, or array of edges
        For every column of x, and for a y of floats: a number, or the same edges for all.
    kind : {"uniform", "quantile"}, default "uniform"
        As in ``histogram``, of each column by itself.
    out : array, optional
        Where the result goes: float64, of x's shape without its first axis. It may not overlap x or y.

    Returns
    -------
    float or array
        ``out``; or for one variable a float, for many a new float64 array of x's kind.

    Raises
    ------
    ValueError
        y is not one for each sample; bins is out of range; x or y holds NaN or an infinity, and bins is a number; out
        does not fit, is read-only, or overlaps an input.
    TypeError
        An argument is no array, or of a dtype or kind that tersor does not read.

    Notes
    -----
    The sum of p(x, y) ln(p(x, y) / (p(x) p(y))) over the shares of the joint histogram, the plug-in estimate, as of
    ``sklearn.metrics.mutual_info_score``: it grows with the number of bins, by about ``(rows - 1) * (cols - 1) / (2 *
    samples)`` for independent variables. A sample outside given edges is not counted; without any the result is 0.0.
    Logarithms and sums as in ``entropy``. Where the joint counts are the products of their margins the result is
    exactly 0.0, and a sum below 0, which rounding alone could give, becomes 0.0.

    Columns of x are gathered a few at a time. Four bytes a sample are held for y, and for each thread a table of eight
    bytes for each pair of bins.

    Examples
    --------
    >>> import numpy as np
    >>> import tersor
    >>> x = np.array([[0.1, 0.3], [0.2, 0.9], [0.8, 0.2], [0.9, 0.8]], np.float32)
    >>> tersor.mutual_information(x, np.array([0, 0, 1, 1]), 2).round(6)
    array([0.693147, 0.      ])
    """
    rule = _rule(bins, None, kind)
    if out is not None:
        _core.mutual_information(x, y, rule, kind, out)
        return out
    framework = framework_of(x, "x")
    shape = tuple(x.shape)
    filled = framework.empty(x, shape[1:], "float64")
    _core.mutual_information(x, y, rule, kind, filled)
    return float(filled) if len(shape) == 1 else framework.result(filled)


def divergence(p: Any, q: Any) -> float:
    """Find the divergence of q from p, in nats: the sum of p ln(p / q), of Kullback and Leibler.

    Parameters
    ----------
    p, q : arrays of one shape, float32, float16, bfloat16 or float64
        Two distributions: finite, nowhere negative, with a sum of 1. Their dtypes may differ.

    Returns
    -------
    float
        At least 0.0; infinite where p is positive and q is 0.

    Raises
    ------
    ValueError
        The shapes differ; p or q holds a number that is negative or not finite, or its sum is off 1 by more than 1e-6
        (float32, float64), 2**-8 (float16) or 2**-5 (bfloat16).
    TypeError
        An argument is no array, or of a dtype or kind that tersor does not read.

    Notes
    -----
    Where p is 0 its term is 0. The distributions are taken as they are, not divided by their sums. Arithmetic in
    float64, logarithms and sums as in ``entropy``. With q(x) = p(x | w) this is the information that an input x loses
    where a weight w is known. Kullback and Leibler, "On Information and Sufficiency" (1951).

    Examples
    --------
    >>> import numpy as np
    >>> import tersor
    >>> round(tersor.divergence(np.array([0.5, 0.5]), np.array([0.25, 0.75])), 6)
    0.143841
    """
    return _core.divergence(p, q)


def distribution_entropy(p: Any) -> float:
    """Find the entropy of a distribution, in nats: the sum of p ln(1 / p).

    Parameters
    ----------
    p : array of any shape, float32, float16, bfloat16 or float64
        Finite, nowhere negative, with a sum of 1.

    Returns
    -------
    float

    Raises
    ------
    ValueError
        p holds a number that is negative or not finite, or its sum is off 1, as in ``divergence``.
    TypeError
        p is no array, or of a dtype or kind that tersor does not read.

    Examples
    --------
    >>> import numpy as np
    >>> import tersor
    >>> round(tersor.distribution_entropy(np.array([0.5, 0.25, 0.25, 0.0])), 6)
    1.039721
    """
    return _core.distribution_entropy(p)


def mask_information(
    w: Any,
    activations: Any,
    sparsity: float,
    target: Any = None,
    *,
    bins: Any = 16,
    kind: str = "uniform",
    axis: int = 0,
    packed: bool = False,
    out: Any = None,
) -> Any:
    """Tell which weights ``prune_information`` keeps: those of the units that tell most of the target.

    Parameters
    ----------
    w : array, float32, float16, bfloat16 or float64
        Weights, of which each index along ``axis`` is a unit.
    activations : array (samples, units), float32, float16, bfloat16 or float64
    sparsity : float
        In [0, 1]: ``round_half_even(sparsity * units)`` units go.
    target : array (samples,), floating, or int64, int8, uint8 or bool; optional
        What the units shall tell of: labels, or another activation. Without it they are ranked by their own entropy.
    bins : int, or array of edges, default 16
        As in ``mutual_information``.
    kind : {"uniform", "quantile"}, default "uniform"
        As in ``mutual_information``.
    axis : int, default 0
        Of w, along which the units lie: 0 for the outputs of a torch layer.
    packed : bool, default False
        Give the mask as bits: each row of the last axis in ``ceil(cols / 8)`` bytes, least significant bit first,
        padded with 0.
    out : array, optional
        Where the result goes: bool with w's shape, or if ``packed`` uint8 with the packed shape. It may not overlap w.

    Returns
    -------
    array
        ``out``, or a new bool or uint8 array of w's kind, on its device: True where the weight stays.

    Raises
    ------
    ValueError
        sparsity or bins is out of range; the shapes do not fit; activations or target hold NaN or an infinity, and bins
        is a number; out does not fit, is read-only, or overlaps an input; axis is out of range (``AxisError``).
    TypeError
        An argument is no array, or of a dtype or kind that tersor does not read.

    Notes
    -----
    Units are ranked by ``mutual_information(activations, target, bins, kind=kind)``, or without a target by
    ``entropy(activations, bins, axis=0, kind=kind)``. Where they tie, those of the lowest index go first. Everything is
    checked before anything is written.

    Examples
    --------
    >>> import numpy as np
    >>> import tersor
    >>> w = np.ones((2, 3), np.float32)
    >>> activations = np.array([[0.1, 0.3], [0.2, 0.9], [0.8, 0.2], [0.9, 0.8]], np.float32)
    >>> tersor.mask_information(w, activations, 0.5, np.array([0, 0, 1, 1]), bins=2)
    array([[ True,  True,  True],
           [False, False, False]])
    """
    rule = _rule(bins, None, kind)
    if out is not None:
        _core.mask_information(w, activations, sparsity, target, rule, kind, axis, packed, out)
        return out
    framework = framework_of(w, "w")
    filled = framework.empty(w, packed_shape(w.shape, 8), "uint8") if packed else framework.empty_like(w, "bool")
    _core.mask_information(w, activations, sparsity, target, rule, kind, axis, packed, filled)
    return framework.result(filled)


def prune_information(
    w: Any,
    activations: Any,
    sparsity: float,
    target: Any = None,
    *,
    bins: Any = 16,
    kind: str = "uniform",
    axis: int = 0,
    out: Any = None,
) -> Any:
    """Set the weights of the units that tell least of the target to zero: exactly the given share.

    Parameters
    ----------
    w : array, float32, float16, bfloat16 or float64
        Weights, of which each index along ``axis`` is a unit.
    activations : array (samples, units), float32, float16, bfloat16 or float64
    sparsity : float
        In [0, 1]: ``round_half_even(sparsity * units)`` units go.
    target : array (samples,), floating, or int64, int8, uint8 or bool; optional
        What the units shall tell of: labels, or another activation. Without it they are ranked by their own entropy.
    bins : int, or array of edges, default 16
        As in ``mutual_information``.
    kind : {"uniform", "quantile"}, default "uniform"
        As in ``mutual_information``.
    axis : int, default 0
        Of w, along which the units lie: 0 for the outputs of a torch layer.
    out : array like w, optional
        Where the result goes. ``out=w`` works in place; any other overlap is refused.

    Returns
    -------
    array
        ``out``, or a new array of w's kind, shape, dtype and device.

    Raises
    ------
    ValueError
        As ``mask_information``.
    TypeError
        An argument is no array, or of a dtype or kind that tersor does not read.

    Notes
    -----
    ``apply_mask(w, mask_information(...))`` in one pass over w, without the mask: what is kept is kept bit for bit, the
    rest is +0.0. A call interrupted by Ctrl-C leaves out partly written.

    Examples
    --------
    >>> import numpy as np
    >>> import tersor
    >>> w = np.ones((2, 3), np.float32)
    >>> activations = np.array([[0.1, 0.3], [0.2, 0.9], [0.8, 0.2], [0.9, 0.8]], np.float32)
    >>> tersor.prune_information(w, activations, 0.5, np.array([0, 0, 1, 1]), bins=2)
    array([[1., 1., 1.],
           [0., 0., 0.]], dtype=float32)
    """
    rule = _rule(bins, None, kind)
    if out is not None:
        _core.prune_information(w, activations, sparsity, target, rule, kind, axis, out)
        return out
    framework = framework_of(w, "w")
    filled = framework.empty_like(w)
    _core.prune_information(w, activations, sparsity, target, rule, kind, axis, filled)
    return framework.result(filled)
