"""What softmax must give, in plain NumPy."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from demo.arrays import Array, to_numpy
from demo.checks import require

ULPS = 2


def expected_softmax(scores: NDArray[Any], temperature: float) -> NDArray[np.float64]:
    """``exp(x / T)`` over its sum along each row, in float64."""
    distances = scores.astype(np.float64) - scores.max(axis=-1, keepdims=True)
    exponentials = (distances == 0).astype(np.float64) if temperature == 0 else np.exp(distances / temperature)
    quotients: NDArray[np.float64] = exponentials / exponentials.sum(axis=-1, keepdims=True)
    return quotients


def check_softmax(where: str, probabilities: Array, scores: Array, temperature: float) -> None:
    """The library promises float32 within two units in the last place, and the caller's kind of array."""
    require(type(probabilities) is type(scores), f"{where}: softmax gave a {type(probabilities).__name__}")
    expected = expected_softmax(to_numpy(scores), temperature)
    error = np.abs(to_numpy(probabilities) - expected)
    require(
        bool((error <= ULPS * np.spacing(expected.astype(np.float32))).all()),
        f"{where}: softmax at T = {temperature:g} is more than {ULPS} ULP from plain NumPy",
    )
