"""Calibrator: ranges of activations that come in batches, and the scales and zero points that they make."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

import tersor
from tersor import _core
from tersor._arguments import MOST_BINS, integer, normal_axis
from tersor._calibration import BinnedCounts, entropy_range, mse_range, percentile_range

_METHODS = ("minmax", "moving_average", "percentile", "entropy", "mse")
_OF_RANGES = ("minmax", "moving_average")
# The last axis is read as it lies, and is worth it where what remains to be joined is small.
_LONG_ENOUGH = 64

State = dict[str, Any]


class Calibrator:
    """Find the scale and zero point of activations that are seen one batch at a time.

    Parameters
    ----------
    method : {"minmax", "moving_average", "percentile", "entropy", "mse"}, default "minmax"
        What makes the range: the least and the greatest number; their moving averages over batches; a share of the numbers;
        the range in which codes keep the most information (Migacz, "8-bit inference with TensorRT", 2017), or have the least
        mean square error.
    bits : int in [2, 8], default 8
    symmetric : bool, default True
        Whether zero lies in the middle; else there is a zero point.
    axis : int, optional
        Of the batches: each index along it is a channel with a range of its own. By default all numbers have one.
    bins : int in [2, 2**20], default 2048
        At most, of the histograms that "percentile", "entropy" and "mse" keep.
    percentile : float in (0, 100], default 99.99
        Of the numbers that lie within the range: of their magnitudes where symmetric, else as many are beyond either side.
    momentum : float in [0, 1), default 0.99
        What a moving average keeps of itself with each batch.

    Raises
    ------
    ValueError
        An argument is out of range or unknown.
    TypeError
        bits or bins is no integer.

    Notes
    -----
    NaN and infinities are passed over. A histogram has bins ``[k * 2**e, (k + 1) * 2**e)`` from the least number to the
    greatest, with the least e for which there are no more than ``bins``. When the range grows beyond them, e does, and bins
    join in pairs. So the state depends on the numbers alone, not on their batches, the order of these, or which process saw
    them: ``merge`` gives what one calibrator would have that saw everything. A moving average depends on the order, and
    does not merge. "minmax" reads a batch once, histograms read it twice.

    "percentile" gives the outer edge of the bin that the percentile lies in: at most one bin further out, and no further
    than the numbers go. "entropy" tries every number of bins around zero for the greatest likeness, by Kullback and Leibler,
    of the numbers with what ``2**(bits - 1)`` levels make of them, as ``onnxruntime.quantization`` 1.32 does; bins join in
    pairs until at most ``bins`` lie to either side, and where nothing can be compared the range stays whole. "mse" tries 128
    shares of the whole range on the middles of bins. ``quantize`` has "entropy" for weights.

    Examples
    --------
    >>> import numpy as np
    >>> import tersor
    >>> calibrator = tersor.Calibrator(symmetric=False)
    >>> calibrator.observe(np.float32([[0.5, 1.0], [-0.5, 1.5]]))
    >>> calibrator.observe(np.float32([[2.0, 3.5]]))
    >>> scale, zero_point = calibrator.scale_and_zero_point()
    >>> scale, zero_point
    (array([[0.01568628]], dtype=float32), array([[32]], dtype=uint8))
    >>> tersor.quantize(np.float32([[3.5, 0.0]]), granularity="tensor", scale=scale, zero_point=zero_point).q
    array([[255,  32]], dtype=uint8)
    """

    def __init__(
        self,
        method: str = "minmax",
        *,
        bits: int = 8,
        symmetric: bool = True,
        axis: int | None = None,
        bins: int = 2048,
        percentile: float = 99.99,
        momentum: float = 0.99,
    ) -> None:
        if method not in _METHODS:
            raise ValueError(f"method must be one of {', '.join(map(repr, _METHODS))}, got {method!r}")
        self.method, self.symmetric, self.axis = method, bool(symmetric), axis
        self.bits, self.bins = integer(bits, "bits"), integer(bins, "bins")
        self.percentile, self.momentum = float(percentile), float(momentum)
        if not 2 <= self.bits <= 8:
            raise ValueError(f"bits must lie in [2, 8], got {bits}")
        if not 2 <= self.bins <= MOST_BINS:
            raise ValueError(f"bins must lie in [2, {MOST_BINS}], got {bins}")
        if not 0 < self.percentile <= 100:
            raise ValueError(f"percentile must lie in (0, 100], got {percentile}")
        if not 0 <= self.momentum < 1:
            raise ValueError(f"momentum must lie in [0, 1), got {momentum}")
        self._ndim = 0
        self._low = self._high = np.empty(0)
        self._histograms: list[BinnedCounts | None] = []

    # --- what is seen ------------------------------------------------------------------------------------------------

    def observe(self, batch: Any) -> None:
        """Take a batch into account.

        Parameters
        ----------
        batch : array, float32, float16, bfloat16 or float64
            NumPy or torch, of any shape and strides; with ``axis``, of as many channels as those before.

        Raises
        ------
        ValueError
            The batch has another number of dimensions or channels than those before.
        TypeError
            It is no array, or of a dtype or kind that tersor does not read.
        """
        batch = batch.detach() if hasattr(batch, "detach") else batch
        shape = tuple(batch.shape) if hasattr(batch, "shape") else _core.array_shape(batch, "batch")
        axis = None if self.axis is None else normal_axis(self.axis, len(shape))
        self._check_shape(len(shape), 1 if axis is None else shape[axis])
        low, high = _ranges(batch, shape, axis)
        if self.method not in _OF_RANGES:
            self._count(batch, axis, low, high)
        self._include(len(shape), low, high)

    def _check_shape(self, ndim: int, channels: int) -> None:
        if self._low.size and self._low.size != channels:
            raise ValueError(f"batch has {channels} channels; those before had {self._low.size}")
        if self._ndim and self.axis is not None and ndim != self._ndim:
            raise ValueError(f"batch has {ndim} dimensions; those before had {self._ndim}")

    def _include(self, ndim: int, low: NDArray[np.float64], high: NDArray[np.float64]) -> None:
        self._ndim = ndim
        if not self._low.size:
            self._low, self._high = low, high
        elif self.method == "moving_average":
            self._low, self._high = self._moved(self._low, low), self._moved(self._high, high)
        else:
            self._low, self._high = np.minimum(self._low, low), np.maximum(self._high, high)

    def _moved(self, average: NDArray[np.float64], bound: NDArray[np.float64]) -> NDArray[np.float64]:
        """Towards the bound of a batch; one without a number leaves it where it is, and the first one sets it."""
        with np.errstate(invalid="ignore"):
            moved = average + (1 - self.momentum) * (bound - average)
        return np.where(np.isfinite(bound), np.where(np.isfinite(average), moved, bound), average)

    def _count(self, batch: Any, axis: int | None, low: NDArray[np.float64], high: NDArray[np.float64]) -> None:
        if not self._histograms:
            self._histograms = [None] * low.size
        for channel, before in enumerate(self._histograms):
            if low[channel] > high[channel]:
                continue
            found = BinnedCounts.empty(float(low[channel]), float(high[channel]), self.bins)
            part = batch if axis is None else batch[(slice(None),) * axis + (channel,)]
            _core.histogram(part, found.edges, found.counts)
            self._histograms[channel] = found if before is None else before.joined(found, self.bins)

    # --- what comes of it --------------------------------------------------------------------------------------------

    def range(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Give the bounds of the range of each channel, float64.

        Returns
        -------
        low, high : arrays

        Raises
        ------
        ValueError
            No finite number was seen, or none of a channel.
        """
        if not self._low.size or (self._low > self._high).any():
            raise ValueError("there is no range yet: observe a batch with a finite number in each channel first")
        if self.method in _OF_RANGES:
            return self._low.copy(), self._high.copy()
        bounds = [self._bounds(counts) for counts in self._histograms if counts is not None]
        low, high = np.array(bounds, np.float64).T
        return low, high

    def _bounds(self, counts: BinnedCounts) -> tuple[float, float]:
        if self.method == "percentile":
            return percentile_range(counts, self.percentile, self.symmetric)
        if self.method == "entropy":
            return entropy_range(counts, 2 ** (self.bits - 1), self.bins)
        return mse_range(counts, self.bits, self.symmetric)

    def scale_and_zero_point(
        self, convention: str = "tersor", *, signed: bool | None = None, scale_dtype: Any = None
    ) -> tuple[Any, Any]:
        """Give what ``quantize`` takes as ``scale`` and ``zero_point``.

        Parameters
        ----------
        convention : {"tersor", "compressed-tensors", "onnx", "torch", "gptq", "awq"}, default "tersor"
            Whose formulas make them of the range, as in ``quantize``.
        signed : bool, optional
            Whether codes are signed, as in ``quantize``.
        scale_dtype : name or NumPy dtype, optional
            Of the scale; float32 by default.

        Returns
        -------
        scale, zero_point : NumPy arrays
            With as many dimensions as the batches had, and length 1 but for the channels. Where symmetric, zero_point is
            None.

        Raises
        ------
        ValueError
            No finite number was seen; the convention is unknown.

        Notes
        -----
        Ranges are rounded to float32, or stay float64 where the scale is. Without ``axis`` the scale goes with
        ``granularity="tensor"``. Channels of batches of two dimensions go with "row" (axis 0) and "column" (axis 1).
        """
        low, high = self.range()
        wide = scale_dtype is not None and np.dtype(scale_dtype) == np.float64
        ends = np.stack([low, high], axis=1).astype(np.float64 if wide else np.float32)
        dtype = "float32" if scale_dtype is None else scale_dtype
        made = tersor.quantize(
            ends, self.bits, symmetric=self.symmetric, signed=signed, convention=convention, scale_dtype=dtype
        )
        shape = [1] * self._ndim
        if self.axis is not None:
            shape[self.axis] = low.size
        return made.scale.reshape(shape), None if made.zero_point is None else made.zero_point.reshape(shape)

    # --- state ---------------------------------------------------------------------------------------------------------

    def state_dict(self) -> dict[str, NDArray[Any]]:
        """Give what was seen, as NumPy arrays that ``numpy.savez`` and safetensors store.

        Returns
        -------
        dict
            ``ndim`` of the batches; ``low`` and ``high`` of each channel, float64; and where there are histograms,
            ``exponent`` and ``counts``, int64 with one row a channel, from the bin of ``low`` on.
        """
        state: dict[str, NDArray[Any]] = {"ndim": np.array(self._ndim), "low": self._low.copy(), "high": self._high.copy()}
        if self.method not in _OF_RANGES:
            counts = np.zeros((len(self._histograms), self.bins), np.int64)
            exponents = np.zeros(len(self._histograms), np.int64)
            for channel, found in enumerate(self._histograms):
                if found is not None:
                    counts[channel, : found.counts.size], exponents[channel] = found.counts, found.exponent
            state |= {"exponent": exponents, "counts": counts}
        return state

    def load_state_dict(self, state: State) -> None:
        """Take over what another calibrator of the same parameters has seen, in place of the own.

        Parameters
        ----------
        state : dict
            From ``state_dict``, or what numpy.load or safetensors made of it.

        Raises
        ------
        ValueError
            An array is missing, or does not fit the others or the parameters.
        """
        names = ("ndim", "low", "high", *(() if self.method in _OF_RANGES else ("exponent", "counts")))
        missing = [name for name in names if name not in state]
        if missing:
            raise ValueError(f"state has no {', '.join(missing)}; it must come from a calibrator of the same method")
        low, high = (np.array(state[name], np.float64) for name in ("low", "high"))
        if low.ndim != 1 or low.shape != high.shape:
            raise ValueError(
                f"low and high of state must have one dimension and one length, not {low.shape} and {high.shape}"
            )
        histograms = [] if self.method in _OF_RANGES else self._loaded_histograms(low, high, state)
        self._ndim, self._low, self._high, self._histograms = int(state["ndim"]), low, high, histograms

    def _loaded_histograms(
        self, low: NDArray[np.float64], high: NDArray[np.float64], state: State
    ) -> list[BinnedCounts | None]:
        exponents, counts = (np.array(state[name], np.int64) for name in ("exponent", "counts"))
        if counts.shape != (low.size, self.bins) or exponents.shape != low.shape:
            raise ValueError(f"counts of state has shape {counts.shape}; it must be {(low.size, self.bins)}")
        found: list[BinnedCounts | None] = []
        for channel in range(low.size):
            if low[channel] > high[channel]:
                found.append(None)
                continue
            empty = BinnedCounts.empty(float(low[channel]), float(high[channel]), self.bins)
            if empty.exponent != exponents[channel]:
                raise ValueError(f"exponent of state is {exponents[channel]} where low and high make it {empty.exponent}")
            found.append(BinnedCounts(empty.low, empty.high, empty.exponent, counts[channel, : empty.counts.size].copy()))
        return found

    def merge(self, other: Calibrator) -> None:
        """Take into account what another calibrator has seen, as if this one had.

        Parameters
        ----------
        other : Calibrator
            Of the same method, axis and bins.

        Raises
        ------
        ValueError
            The calibrators differ; or they keep moving averages, which depend on the order of batches.
        TypeError
            other is no Calibrator.
        """
        if not isinstance(other, Calibrator):
            raise TypeError(f"other must be a Calibrator, not {type(other).__name__}")
        if self.method == "moving_average":
            raise ValueError("a moving average depends on the order of batches, so that other cannot be merged into it")
        for name in ("method", "axis", *(() if self.method == "minmax" else ("bins",))):
            if getattr(self, name) != getattr(other, name):
                raise ValueError(f"other has {name}={getattr(other, name)!r}, this calibrator {getattr(self, name)!r}")
        if not other._low.size:
            return
        self._check_shape(other._ndim, other._low.size)
        if not self._histograms:
            self._histograms = [None] * len(other._histograms)
        self._histograms = [
            theirs if mine is None else mine if theirs is None else mine.joined(theirs, self.bins)
            for mine, theirs in zip(self._histograms, other._histograms, strict=True)
        ]
        self._include(other._ndim, other._low, other._high)

    def __repr__(self) -> str:
        return (
            f"Calibrator({self.method!r}, bits={self.bits}, symmetric={self.symmetric}, axis={self.axis}, "
            f"channels={self._low.size})"
        )


def _ranges(batch: Any, shape: tuple[int, ...], axis: int | None) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The least and the greatest finite number of each channel; infinity and minus infinity where there is none."""
    if axis is None:
        low, high = np.empty((1,) * len(shape)), np.empty((1,) * len(shape))
        _core.measure_ranges(batch, None, 1, low, high)
        return low.reshape(1), high.reshape(1)
    if len(shape) == 1:
        batch, shape = batch[:, None], (*shape, 1)
    along = _axis_to_read(shape, axis)
    found = (*shape[:along], 1 if shape[along] else 0, *shape[along + 1 :])
    low, high = np.empty(found), np.empty(found)
    _core.measure_ranges(batch, along, max(shape[along], 1), low, high)
    others = tuple(i for i in range(len(shape)) if i != axis)
    return low.min(axis=others, initial=math.inf), high.max(axis=others, initial=-math.inf)


def _axis_to_read(shape: tuple[int, ...], channels: int) -> int:
    """The one that ranges are found along before the rest is joined."""
    last = len(shape) - 1
    if channels != last and shape[last] >= _LONG_ENOUGH:
        return last
    return max((i for i in range(len(shape)) if i != channels), key=lambda i: shape[i])
