"""pack: two codes a byte."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def pack_int4(q: NDArray[np.int8]) -> NDArray[np.uint8]:
    """Two's complement nibbles, the even column in the low one; an odd row ends with a high nibble of 0."""
    if q.size and (q.min() < -8 or q.max() > 7):
        raise ValueError("q holds values outside [-8, 7]")
    nibbles = q.astype(np.uint8) & 0x0F
    if q.shape[-1] % 2:
        nibbles = np.concatenate([nibbles, np.zeros_like(nibbles[..., :1])], axis=-1)
    return (nibbles[..., 0::2] | (nibbles[..., 1::2] << 4)).astype(np.uint8)


def unpack_int4(p: NDArray[np.uint8], cols: int) -> NDArray[np.int8]:
    """The first ``cols`` nibbles of each row, sign-extended."""
    nibbles = np.stack([p & 0x0F, p >> 4], axis=-1).reshape(*p.shape[:-1], 2 * p.shape[-1])[..., :cols]
    return ((nibbles ^ 8).astype(np.int16) - 8).astype(np.int8)
