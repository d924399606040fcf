"""What a refusal is, and arrays to be refused: for test_errors.py and the tables of rows beside it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import ml_dtypes
import numpy as np

F32, F16, F64, BF16 = np.float32, np.float16, np.float64, ml_dtypes.bfloat16


def floats(*shape: int, dtype: Any = F32) -> Any:
    return np.ones(shape, dtype)


def codes(*shape: int) -> Any:
    return np.ones(shape, np.int8)


def octets(*shape: int) -> Any:
    return np.ones(shape, np.uint8)


def mask(*shape: int) -> Any:
    return np.ones(shape, bool)


def read_only(array: Any) -> Any:
    array.setflags(write=False)
    return array


@dataclass(frozen=True)
class Row:
    what: str
    error: type[Exception]
    argument: str
    remedy: str  # what the message says to do, or what it says the argument must be
    call: Callable[[], Any]


def overlap_of(call: Callable[[Any, Any], Any], make: Callable[[int], Any]) -> Callable[[], Any]:
    def run() -> Any:
        memory = make(17)
        return call(memory[:-1], memory[1:])

    return run
