"""What ``quantize`` gives and ``dequantize`` takes."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from tersor._arguments import normal_axis


@dataclass(frozen=True, eq=False, repr=False)
class Quantized:
    """An array as codes of a few bits, with a scale and perhaps a zero point for each group of entries.

    An entry is about ``(code - zero_point) * scale``. The arrays are of the caller's kind (NumPy, torch or another), on
    one device. A ``Quantized`` of arrays that exist, from a file for instance, does not look into them; what reads it checks
    that they fit.

    Parameters
    ----------
    q : int8 or uint8 array
        The codes: int8 where they are signed, else uint8, one an entry; or, packed, uint8 with ``bits`` bits a code, the
        first in the lowest, each row of the last axis in whole bytes (``pack_bits``). Packed signed codes are in two's
        complement.
    scale : array of a floating dtype
        Of the shape of the array, but along ``axis`` with one entry a group; with ``axis=None`` of length 1 everywhere.
    zero_point : array of the codes' dtype and the scale's shape, optional
        None for symmetric codes: 0 for signed ones, ``2**(bits - 1)`` for unsigned ones.
    bits : int in [2, 8]
    shape : tuple of int
        Of the array.
    axis : int or None
        Along which groups run; None where all entries are one.
    group_size : int or None
        Entries of a group, the last one of an axis may have fewer; None where the whole axis is one.
    signed : bool
    packed : bool, default False

    Examples
    --------
    >>> import numpy as np
    >>> import tersor
    >>> t = tersor.quantize(np.float32([[1, -2, 3], [0, 0.5, 1]]), bits=4)
    >>> t
    Quantized(shape=(2, 3), bits=4, axis=1, group_size=None, signed, symmetric, nbytes=14)
    >>> t.q
    array([[ 2, -5,  7],
           [ 0,  3,  7]], dtype=int8)
    """

    q: Any
    scale: Any
    zero_point: Any = None
    bits: int = 8
    shape: tuple[int, ...] = ()
    axis: int | None = None
    group_size: int | None = None
    signed: bool = True
    packed: bool = False

    def __post_init__(self) -> None:
        object.__setattr__(self, "shape", tuple(int(length) for length in self.shape))
        if self.axis is not None:
            object.__setattr__(self, "axis", normal_axis(self.axis, len(self.shape)))

    @property
    def symmetric(self) -> bool:
        """Whether there are no zero points."""
        return self.zero_point is None

    @property
    def size(self) -> int:
        """Entries of the array."""
        return math.prod(self.shape)

    @property
    def nbytes(self) -> int:
        """Bytes of the arrays together."""
        return sum(int(part.nbytes) for part in (self.q, self.scale, self.zero_point) if part is not None)

    def __repr__(self) -> str:
        kinds = ["signed" if self.signed else "unsigned", "symmetric" if self.symmetric else "asymmetric"]
        if self.packed:
            kinds.append("packed")
        return (
            f"Quantized(shape={self.shape}, bits={self.bits}, axis={self.axis}, group_size={self.group_size}, "
            f"{', '.join(kinds)}, nbytes={self.nbytes})"
        )
