"""fake_quantize and its gradients for the table in operations.py: the arguments of Operation, by name."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import tersor
from inputs import Shape, Source, rows_of_weights, small_floats
from layouts import Array, canonical_nan, spec
from lowest_level import at_lowest_level

Row = dict[str, Any]

# Name, whether an entry depends on all others, dtypes (test_quantize_fake.py has the others), options.
FAKE: list[tuple[str, bool, tuple[str, ...], Row]] = [
    (
        "4 bits by groups",
        False,
        ("float32", "bfloat16"),
        {"bits": 4, "granularity": "group", "group_size": 40, "symmetric": False},
    ),
    ("3 bits by the first axis", True, ("float32",), {"bits": 3, "axis": 0, "convention": "gptq"}),
    ("6 bits as one", True, ("float64",), {"bits": 6, "granularity": "tensor", "rounding": "stochastic"}),
]
BACKWARD: list[tuple[str, Row]] = [
    ("by groups", {"bits": 3, "granularity": "group", "group_size": 40}),
    ("by the first axis", {"bits": 3, "granularity": "row", "axis": 0, "convention": "torch"}),
]


def gradient_weight_and_scale(options: Row) -> Callable[..., tuple[Array, ...]]:
    """Scales for half of the range, so that codes are clamped."""

    def inputs(source: Source, shape: Shape, dtype: np.dtype[Any]) -> tuple[Array, ...]:
        (w,), (grad,) = small_floats(source, shape, dtype), small_floats(source, shape, dtype)
        scale = spec.quantize(w, **options)[1]
        return grad, w, (scale * scale.dtype.type(0.5)).astype(scale.dtype)

    return inputs


def backward_at_lowest_level(grad: Array, w: Array, scale: Array, options: Row) -> tuple[Array, ...]:
    result: tuple[Array, ...] = at_lowest_level(
        lambda *arrays: tersor.fake_quantize_backward(*arrays, **options), grad, w, scale
    )
    return result[:2]


FAKE_OPERATIONS: list[Row] = [
    *(
        {
            "name": f"fake_quantize {name}",
            "family": "quantize",
            "inputs": rows_of_weights,
            "in_place": True,
            "dtypes": dtypes,
            "least_ndim": 1,
            "whole": whole,
            "call": lambda w, out, options=options, **_: tersor.fake_quantize(w, **options, out=out),
            "expect": lambda w, options=options, **_: canonical_nan(spec.fake_quantize(w, **options)),
        }
        for name, whole, dtypes, options in FAKE
    ),
    *(
        {
            "name": f"fake_quantize_backward {name}",
            "family": "quantize",
            "inputs": gradient_weight_and_scale(options),
            "dtypes": ("float32",),
            "least_ndim": 1,
            "whole": True,
            "call": lambda grad, w, scale, out, options=options, **_: tersor.fake_quantize_backward(
                grad, w, scale, **options, out=out
            )[:2],
            "expect": lambda grad, w, scale, options=options, **_: backward_at_lowest_level(grad, w, scale, options),
        }
        for name, options in BACKWARD
    ),
]
