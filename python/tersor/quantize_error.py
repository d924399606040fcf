"""quantization_error: how far what codes stand for is from the numbers that they were made of."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from tersor import _core
from tersor._groups import codes_to_read, stored_groups
from tersor._outputs import framework_of
from tersor._quantized import Quantized


@dataclass(frozen=True)
class QuantizationError:
    """What ``quantization_error`` gives: numbers, or arrays with one for each group.

    Parameters
    ----------
    mse : float or array
        The mean of the squares of the errors.
    max : float or array
        The largest magnitude of an error.
    sqnr : float or array
        The ratio of the mean squares of numbers and errors, in dB: ``10 * log10(mean(w**2) / mse)``.
    cosine : float or array
        Of the angle between the numbers and what became of them, from -1 to 1.
    """

    mse: Any
    max: Any
    sqnr: Any
    cosine: Any


def quantization_error(w: Any, t: Quantized, *, per_group: bool = False) -> QuantizationError:
    """Compare an array with what its codes stand for, which is made nowhere as a whole.

    Parameters
    ----------
    w : array, float32, float16, bfloat16 or float64
    t : Quantized
        Of w's shape; packed or not.
    per_group : bool, default False
        Give the errors of each group, rather than those of the whole array.

    Returns
    -------
    QuantizationError
        Of floats; or per group, of float64 arrays of w's kind and the scale's shape, on its device.

    Raises
    ------
    ValueError
        t is of another shape; its arrays do not fit each other.
    TypeError
        t is no Quantized; an array is of another dtype or kind than tersor reads.

    Notes
    -----
    An error is ``w - dequantize(t, dtype="float32")`` (float64 where the scales are) in float64, like all that follows. Runs
    of up to 4096 entries of a group are added up in 8 lanes, which meet by halves, and runs in their order; columns entry by
    entry, and every 256 of them in their order. So the bits are the same for any number of threads, at every CPU level,
    however the arrays lie.

    Where the error is 0, ``sqnr`` is infinite; where the array is 0 but for its error it is minus infinity, and where both
    are 0, NaN. ``cosine`` is NaN where either side is 0. NaN in w makes everything NaN; an infinity makes ``mse`` and
    ``max`` infinite and the others NaN. Without entries everything is NaN.

    Examples
    --------
    >>> import numpy as np
    >>> import tersor
    >>> w = np.float32([[0.5, 1.0, 2.0, 3.0], [-1.0, 0.0, 0.25, 0.75]])
    >>> error = tersor.quantization_error(w, tersor.quantize(w, bits=4))
    >>> round(error.sqnr, 2), round(error.max, 4), round(error.cosine, 4)
    (25.15, 0.1429, 0.9985)
    >>> tersor.quantization_error(w, tersor.quantize(w, bits=4), per_group=True).mse.round(5)
    array([[0.01148],
           [0.00064]])
    """
    if not isinstance(t, Quantized):
        raise TypeError(f"t must be a Quantized, as quantize gives it, not {type(t).__name__}")
    if tuple(getattr(w, "shape", t.shape)) != t.shape:  # packed codes alone may fit several
        raise ValueError(f"w has shape {tuple(w.shape)}, but t has {t.shape}; they must be the same")
    groups = stored_groups(t)
    q, packed = codes_to_read(t, groups)
    stored = (q, groups.axis, groups.size, t.bits, t.signed, packed, t.scale, t.zero_point)
    if not per_group:
        return QuantizationError(*_core.quantization_error(w, *stored))
    framework = framework_of(w, "w")
    filled = [framework.empty(w, groups.scale_shape, "float64") for _ in range(4)]
    _core.quantization_error_of_groups(w, *stored, *filled)
    return QuantizationError(*(framework.result(array) for array in filled))
