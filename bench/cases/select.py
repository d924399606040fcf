"""The exact element of a rank."""

from __future__ import annotations

import numpy as np
import tersor
from tersor import reference

from bench.operands import weights
from bench.operation import LARGE, MEDIUM, SIZES, Arrays, Call, Operation, Shape
from bench.peers import as_torch


def alone(shape: Shape, dtype: str) -> Arrays:
    return Arrays({"w": weights(shape, dtype)})


def middle(a: Arrays) -> int:
    return a.w.size // 2


# --- NumPy and torch -------------------------------------------------------------------------------------------------


def numpy_kth(a: Arrays) -> Call:
    def kth() -> float:
        return float(np.partition(np.abs(a.w.reshape(-1)), middle(a) - 1)[middle(a) - 1])

    return Call(kth)


def torch_kth(a: Arrays) -> Call:
    import torch

    w = as_torch(a.w).reshape(-1)
    return Call(lambda: float(torch.kthvalue(w.abs(), middle(a))[0]))


# --- the table -------------------------------------------------------------------------------------------------------

LARGER = {size: SIZES[size] for size in (MEDIUM, LARGE)}
OPERATIONS = [
    Operation(
        family="select",
        name="kth_magnitude",
        variant="",
        dtype=dtype,
        arrays=alone,
        sizes=LARGER,
        expected=lambda a: (reference.kth_magnitude(a.w, middle(a)),),
        tersor=lambda a: Call(tersor.kth_magnitude, a.w, middle(a)),
        numpy=numpy_kth,
        peers={"torch kthvalue": torch_kth} if dtype == "float32" else {},
    )
    for dtype in ("float32", "bfloat16")
]
