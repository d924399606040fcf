"""bitmask: masks as bits."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def pack_mask(mask: NDArray[np.bool_]) -> NDArray[np.uint8]:
    """Bits of each row of the last axis, least significant first, padded with 0 to whole bytes."""
    return np.packbits(mask, axis=-1, bitorder="little")


def unpack_mask(bits: NDArray[np.uint8], cols: int) -> NDArray[np.bool_]:
    """The first ``cols`` bits of each row. Padding bits are ignored."""
    return np.unpackbits(bits, axis=-1, count=cols, bitorder="little").view(np.bool_)


def invert_mask(bits: NDArray[np.uint8], cols: int) -> NDArray[np.uint8]:
    """The other entries; padding stays 0."""
    return pack_mask(~unpack_mask(bits, cols))


def count_mask(bits: NDArray[np.uint8], cols: int) -> int:
    """How many bits are set, padding left out."""
    return int(unpack_mask(bits, cols).sum())
