"""matmul: products with compressed weights."""

from __future__ import annotations

from typing import Any

import numpy as np

from tersor.reference._arithmetic import Array
from tersor.reference.compress import decompress_bitmask


def matmul_bitmask(x: Array, t: Any) -> Array:
    """``x @ W.T`` in float64, rounded to x's dtype at the end. t is a BitmaskTensor of two dimensions.

    W has the values of t in the places of its bits, row by row, and +0.0 in all others. These take part: 0 * inf is NaN,
    as in any dense product. The kernels accumulate in float32 (float64 for float64 values), in a fixed order, within
    ``n * u / (1 - n * u)`` of ``|x| @ |W|.T`` before that rounding, ``n = 67 + ceil(cols / 1024)``.
    """
    w = decompress_bitmask(t.values, t.bits, t.shape).astype(np.float64)
    with np.errstate(all="ignore"):
        product: Array = x.astype(np.float64) @ w.T
        return product.astype(x.dtype)
