"""The exact element of a rank, and quantiles."""

from __future__ import annotations

import numpy as np
import tersor
from tersor import reference

from bench.operands import as_bits, magnitude_bits, weights
from bench.operation import LARGE, MEDIUM, SIZES, Arrays, Call, Operation, Shape
from bench.peers import as_torch


def alone(shape: Shape, dtype: str) -> Arrays:
    return Arrays({"w": weights(shape, dtype)})


def middle(a: Arrays) -> int:
    return a.w.size // 2


# --- NumPy and torch -------------------------------------------------------------------------------------------------


def numpy_kth_magnitude(a: Arrays) -> Call:
    def kth() -> float:
        # Of bfloat16 NumPy's own partition takes thirty times as long.
        magnitude = np.bitwise_and(as_bits(a.w), magnitude_bits(a.w.dtype)).reshape(-1)
        return float(np.partition(magnitude, middle(a) - 1)[middle(a) - 1 : middle(a)].view(a.w.dtype)[0])

    return Call(kth)


def torch_kth_magnitude(a: Arrays) -> Call:
    import torch

    w = as_torch(a.w).reshape(-1)
    return Call(lambda: float(torch.kthvalue(w.abs(), middle(a))[0]))


def numpy_kth_value(a: Arrays) -> Call:
    def kth() -> float:
        return float(np.partition(a.w.reshape(-1), middle(a) - 1)[middle(a) - 1])

    return Call(kth)


def torch_kth_value(a: Arrays) -> Call:
    import torch

    w = as_torch(a.w).reshape(-1)
    return Call(lambda: float(torch.kthvalue(w, middle(a))[0]))


def torch_quantile(a: Arrays) -> Call:
    import torch

    w = as_torch(a.w).reshape(-1)
    return Call(lambda: float(torch.quantile(w, SHARE)))


# --- the table -------------------------------------------------------------------------------------------------------

LARGER = {size: SIZES[size] for size in (MEDIUM, LARGE)}
SHARE = 0.9
OPERATIONS = [
    *(
        Operation(
            family="select",
            name="kth_magnitude",
            variant="",
            dtype=dtype,
            arrays=alone,
            sizes=LARGER,
            expected=lambda a: (reference.kth_magnitude(a.w, middle(a)),),
            tersor=lambda a: Call(tersor.kth_magnitude, a.w, middle(a)),
            numpy=numpy_kth_magnitude,
            peers={"torch kthvalue": torch_kth_magnitude} if dtype == "float32" else {},
        )
        for dtype in ("float32", "bfloat16")
    ),
    Operation(
        family="select",
        name="kth_value",
        variant="",
        arrays=alone,
        sizes=LARGER,
        expected=lambda a: (reference.kth_value(a.w, middle(a)),),
        tersor=lambda a: Call(tersor.kth_value, a.w, middle(a)),
        numpy=numpy_kth_value,
        peers={"torch kthvalue": torch_kth_value},
    ),
    Operation(
        family="select",
        name="quantile",
        variant="0.9",
        arrays=alone,
        sizes=LARGER,
        expected=lambda a: (reference.quantile(a.w, SHARE),),
        tersor=lambda a: Call(tersor.quantile, a.w, SHARE),
        numpy=lambda a: Call(np.quantile, a.w, SHARE),
        # It refuses more than 2**24 elements.
        peers={"torch quantile": torch_quantile},
        # On float32 the others interpolate in float32.
        unchecked=frozenset({"numpy", "torch quantile"}),
    ),
    # Between the ranks that it and kth_magnitude take there is one element.
    Operation(
        family="select",
        name="magnitude_threshold",
        variant="50 %",
        arrays=alone,
        sizes=LARGER,
        expected=lambda a: (reference.magnitude_threshold(a.w, 0.5),),
        tersor=lambda a: Call(tersor.magnitude_threshold, a.w, 0.5),
        numpy=numpy_kth_magnitude,
        peers={"torch kthvalue": torch_kth_magnitude},
        # The element before.
        unchecked=frozenset({"numpy", "torch kthvalue"}),
    ),
]
