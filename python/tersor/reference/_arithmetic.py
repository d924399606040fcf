"""The arithmetic of every operation."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

Array = NDArray[Any]


def arithmetic_dtype(dtype: DTypeLike) -> np.dtype[Any]:
    """float64 for float64, float32 for every narrower float."""
    return np.dtype(np.float64 if np.dtype(dtype) == np.float64 else np.float32)
