"""structured: whole units go, and arrays become smaller: rows, columns, channels, attention heads."""

from __future__ import annotations

import math
import operator
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tersor import _core
from tersor._arguments import resized_shape, unit_count
from tersor._outputs import framework_of


def score_units(
    w: Any, criterion: str = "l1", *, axis: int = 0, group_size: int = 1, gradient: Any = None, out: Any = None
) -> Any:
    """Score the units of w: one number for each, the higher the more the unit matters.

    Parameters
    ----------
    w : array of at least one dimension, float32, float16, bfloat16 or float64
        Any strides.
    criterion : {"l1", "l2", "max", "taylor"}, default "l1"
        What is taken over all entries of a unit: the sum of ``|w|``; the square root of the sum of ``w**2``; the largest
        ``|w|``; or the square of the sum of ``w * gradient``.
    axis : int, default 0
        The axis that units lie along. Rows of a linear layer (out, in) and output channels of a convolution
        (out, in, height, width) have 0, input columns and input channels 1.
    group_size : int, default 1
        How many neighbours along the axis are one unit: the size of a head for attention heads. It must divide the axis.
    gradient : array like w, optional
        The gradient of the loss in w, for ``"taylor"`` alone, which needs it.
    out : array, optional
        Where the result goes: float64, one entry a unit. It may not overlap w or the gradient.

    Returns
    -------
    array
        ``out``, or a new float64 array of w's kind, of shape ``(w.shape[axis] // group_size,)``.

    Raises
    ------
    ValueError
        criterion is none of the four; group_size does not divide the axis; gradient is missing, or given where it is not
        used; a shape does not fit; out is read-only or overlaps an input.
    TypeError
        An argument is no array, or of a dtype or kind that tersor does not read.

    Notes
    -----
    w is read once and ``w * gradient`` is never stored. Terms and sums are float64, in an order that depends on the shape
    alone (``tersor.reference`` has it). Where a unit has L neighbouring entries in each of R stretches, R the product of the
    axes before ``axis``, it leaves ``J = ceil(R / 128) * ceil(L / 2048)`` partial sums, the memory that a call takes, and
    the relative error of l1 and l2 is at most ``(168 + J) * 2**-53``: 127 additions of stretches, 31 on a lane, 6 of
    lanes and J, and up to 3 roundings of squares and roots. max is exact. A unit that holds NaN scores NaN, one without
    entries 0; squares of float64 entries beyond 1e154 overflow to infinity.

    l1 as in Li et al., "Pruning Filters for Efficient ConvNets" (2017); taylor as in Molchanov et al., "Importance
    Estimation for Neural Network Pruning" (2019), equation 8 summed over a unit.

    Examples
    --------
    >>> import numpy as np
    >>> import tersor
    >>> w = np.array([[1.0, -2.0], [0.5, 0.0], [-3.0, 4.0]], np.float32)
    >>> tersor.score_units(w)
    array([3. , 0.5, 7. ])
    >>> tersor.score_units(w, "max", axis=1)
    array([3., 4.])
    """
    if out is None:
        framework = framework_of(w, "w")
        filled = framework.empty(w, (unit_count(w.shape, axis, group_size),), "float64")
        _core.score_units(w, criterion, axis, group_size, gradient, filled)
        return framework.result(filled)
    _core.score_units(w, criterion, axis, group_size, gradient, out)
    return out


def score_units_by_loss(
    units: int,
    losses: Callable[[int], Any] | Sequence[Callable[[int], Any]],
    *,
    progress: Callable[[int, int], Any] | None = None,
) -> NDArray[np.float64]:
    """Score each unit by the loss without it: ``scores[i] = sum(loss(i) for loss in losses)``.

    Parameters
    ----------
    units : int
        How many there are.
    losses : callable, or list or tuple of callables
        Each is called with the index of the one unit that is removed, and returns that term of the loss, a finite
        number: the caller removes it as suits the model, such as by ``remove_units`` with
        ``numpy.delete(numpy.arange(units), i)``, or by setting it to zero.
    progress : callable, optional
        Called after each unit with the number of units done and ``units``.

    Returns
    -------
    numpy.ndarray
        float64, one score a unit; the terms are added in order.

    Raises
    ------
    ValueError
        A loss is NaN or infinite; units is negative; losses is empty.
    TypeError
        A loss is no number or cannot be called; units is no integer.

    Notes
    -----
    The losses are called ``units`` times each, unit after unit, on the calling thread; what they raise passes through.
    Removing one unit at a time and taking the loss is the oracle that cheaper criteria approximate: Molchanov et al.,
    "Pruning Convolutional Neural Networks for Resource Efficient Inference" (2017), section 2.1.

    Examples
    --------
    >>> import numpy as np
    >>> import tersor
    >>> w, target = np.array([3.0, 0.5, -1.0]), 2.0
    >>> tersor.score_units_by_loss(3, lambda i: (np.delete(w, i).sum() - target) ** 2)
    array([6.25, 0.  , 2.25])
    """
    terms = tuple(losses) if isinstance(losses, (list, tuple)) else (losses,)
    count = operator.index(units)
    if count < 0:
        raise ValueError(f"units must be at least 0, got {count}")
    if not terms:
        raise ValueError("losses is empty; pass at least one callable")
    for place, term in enumerate(terms):
        if not callable(term):
            raise TypeError(f"losses must be a callable or a list of callables; entry {place} is {type(term).__name__}")
    scores = np.empty(count)
    for unit in range(count):
        scores[unit] = sum(_loss(term, place, unit) for place, term in enumerate(terms))
        if progress is not None:
            progress(unit + 1, count)
    return scores


def _loss(term: Callable[[int], Any], place: int, unit: int) -> float:
    given = term(unit)
    try:
        loss = float(given)
    except (TypeError, ValueError) as error:
        raise TypeError(f"losses: term {place} gave {given!r} for unit {unit}; it must return a number") from error
    if not math.isfinite(loss):
        raise ValueError(f"losses: term {place} gave {loss} for unit {unit}; it must return a finite number")
    return loss


def select_units(scores: Any, sparsity: float, *, multiple_of: int = 1) -> Any:
    """Choose the units that stay when the given share of them, those of the lowest scores, goes.

    Parameters
    ----------
    scores : array of one dimension, float32, float16, bfloat16 or float64
        One score a unit, as ``score_units`` and ``score_units_by_loss`` give.
    sparsity : float
        In [0, 1]: ``round_half_even(sparsity * n)`` of n units go, the product taken in float64.
    multiple_of : int, default 1
        The number of units that stay is rounded up to a multiple of this, as kernels on some hardware like it; where n is
        less than that, all stay.

    Returns
    -------
    array
        The indexes of the units that stay, int64, ascending, of the scores' kind. ``remove_units`` takes them, and so
        does indexing.

    Raises
    ------
    ValueError
        sparsity is out of range, or leaves no unit: a layer needs one at least; scores has not one dimension; multiple_of
        is less than 1.
    TypeError
        An argument is no array, or of a dtype or kind that tersor does not read.

    Notes
    -----
    Of scores that tie, -0.0 and +0.0 among them, those of the lowest index go first. NaN counts as the highest score, so
    that a unit which could not be scored stays unless all others go too.

    Examples
    --------
    >>> import numpy as np
    >>> import tersor
    >>> scores = np.array([3.0, 0.5, 7.0, 0.5, 2.0])
    >>> tersor.select_units(scores, 0.4)
    array([0, 2, 4])
    >>> tersor.select_units(scores, 0.4, multiple_of=2)
    array([0, 2, 3, 4])
    """
    framework = framework_of(scores, "scores")
    mask = framework.empty(scores, tuple(scores.shape), "bool")
    _core.select_units(scores, sparsity, multiple_of, mask)
    return framework.places(mask)


def _kept_mask(keep: Any, units: int) -> NDArray[np.bool_]:
    """Which of the units are in ``keep``."""
    indexes = np.asarray(keep)
    if indexes.dtype.kind not in "iu":
        raise TypeError(f"keep must hold integers, not {indexes.dtype}; of a mask take numpy.flatnonzero")
    if indexes.ndim != 1 or not indexes.size:
        raise ValueError(f"keep has shape {indexes.shape}; it must be a list of at least one index")
    if not (indexes[0] >= 0 and indexes[-1] < units and (indexes[1:] > indexes[:-1]).all()):
        raise ValueError(f"keep must ascend within [0, {units}), the units of the first array; sort it, each index once")
    mask = np.zeros(units, np.bool_)
    mask[indexes] = True
    return mask


def _one_each(value: Any, count: int, name: str) -> list[Any]:
    """An argument of each array: one for all, or a list of as many."""
    if not isinstance(value, (list, tuple)):
        return [value] * count
    if len(value) != count:
        raise ValueError(f"{name} has {len(value)} entries for {count} arrays; give one number, or one for each array")
    return list(value)


def remove_units(w: Any, keep: Any, *, axis: Any = 0, group_size: Any = 1) -> Any:
    """Make arrays without the units that are not kept: smaller ones, in new memory.

    Parameters
    ----------
    w : array, or list or tuple of arrays that have the same units
        Such as a layer's weight and bias, the vectors of the batch norm behind it, and the next layer's weight, whose
        columns go with the first one's rows. Any dtype that tersor reads, any strides.
    keep : integers
        The indexes of the units that stay, ascending, as ``select_units`` gives them.
    axis : int, or a list of one for each array, default 0
        The axis that the units lie along.
    group_size : int, or a list of one for each array, default 1
        How many neighbours along the axis belong to one unit: the size of a head, or the places of a feature map that was
        flattened into the columns of a linear layer.

    Returns
    -------
    array or list of arrays
        New arrays of the kind, dtype and device of w, dense, in C order.

    Raises
    ------
    ValueError
        keep is empty, out of range or not ascending; group_size does not divide the axis; the arrays have not the same
        number of units; axis or group_size has another number of entries than w.
    TypeError
        An argument is no array, or of a dtype or kind that tersor does not read; keep holds no integers.

    Notes
    -----
    What stays is copied bit for bit. Give the arrays that belong together in one call: an axis or a group_size that does
    not fit is found by their numbers of units. With biases and activations that take 0 to 0, the smaller network gives
    what the larger one gave with the units' outputs at 0, but for the order of the additions.

    Examples
    --------
    >>> import numpy as np
    >>> import tersor
    >>> first, bias = np.array([[1, 2], [3, 4], [5, 6]], np.float32), np.array([1, 2, 3], np.float32)
    >>> following = np.array([[10, 20, 30]], np.float32)
    >>> first, bias, following = tersor.remove_units([first, bias, following], [0, 2], axis=[0, 0, 1])
    >>> first
    array([[1., 2.],
           [5., 6.]], dtype=float32)
    >>> following
    array([[10., 30.]], dtype=float32)
    """
    several = isinstance(w, (list, tuple))
    arrays = list(w) if several else [w]
    frameworks = [framework_of(array, f"w[{i}]" if several else "w") for i, array in enumerate(arrays)]
    axes, sizes = _one_each(axis, len(arrays), "axis"), _one_each(group_size, len(arrays), "group_size")
    if not arrays:
        raise ValueError("w is an empty list; pass at least one array")
    mask = _kept_mask(keep, unit_count(arrays[0].shape, axes[0], sizes[0]))
    kept = int(np.count_nonzero(mask))
    outs = []
    for framework, array, along, size in zip(frameworks, arrays, axes, sizes, strict=True):
        shape = resized_shape(array.shape, along, kept * operator.index(size))
        outs.append(framework.empty(array, shape, array.dtype))
    _core.remove_units(arrays if several else w, mask, axes, sizes, outs if several else outs[0])
    results = [framework.result(out) for framework, out in zip(frameworks, outs, strict=True)]
    return results if several else results[0]
