"""Ranges of activations, in one read of each batch."""

from __future__ import annotations

from typing import Any

import numpy as np
import tersor

from bench.goals import floor
from bench.operands import weights
from bench.operation import LARGE, Arrays, Call, Operation, Shape
from bench.peers import as_torch


def activations(shape: Shape, dtype: str) -> Arrays:
    return Arrays({"x": weights(shape, dtype)})


def bounds(a: Arrays, axis: int | None) -> tuple[Any, ...]:
    """Of all numbers, or of the columns of channels."""
    others = None if axis is None else 0
    return np.atleast_1d(a.x.min(axis=others)), np.atleast_1d(a.x.max(axis=others))


def tersor_range(a: Arrays, axis: int | None) -> Call:
    def observe() -> tuple[Any, ...]:
        calibrator = tersor.Calibrator(axis=axis)
        calibrator.observe(a.x)
        return calibrator.range()

    return Call(observe)


def torch_range(a: Arrays, axis: int | None) -> Call:
    import torch

    return Call(torch.aminmax, as_torch(a.x), dim=None if axis is None else 0)


SIZES = {"1024": (32, 32), "1M": (1024, 1024), "4096x11008": (4096, 11008)}

OPERATIONS = [
    *(
        Operation(
            family="quantize",
            name="observe",
            variant=f"minmax {dtype}{'' if axis is None else ' channels'}",
            dtype=dtype,
            sizes=SIZES,
            arrays=activations,
            expected=lambda a, axis=axis: bounds(a, axis),
            tersor=lambda a, axis=axis: tersor_range(a, axis),
            numpy=lambda a, axis=axis: Call(bounds, a, axis),
            peers={"torch": lambda a, axis=axis: torch_range(a, axis)},
            unchecked=frozenset({"torch"}),  # of another shape
            goals={LARGE: floor(1.2)},
        )
        for dtype, axis in (("float32", None), ("float32", 1), ("bfloat16", None))
    ),
]
