"""Refusals of softmax, log_softmax, logsumexp and the gradients."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import tersor
from refusals import F32, F64, Row, codes, floats

BACKWARD = {"softmax_backward": "y", "log_softmax_backward": "y", "logsumexp_backward": "x"}


def gradient_for(name: str) -> Any:
    return floats(3) if name == "logsumexp_backward" else floats(3, 16)


ARGUMENTS_OF_SOFTMAX: list[tuple[str, str, Callable[[Any], Any]]] = [
    ("softmax", "x", lambda a: tersor.softmax(a)),
    ("softmax", "out", lambda a: tersor.softmax(floats(3, 16), out=a)),
    ("log_softmax", "x", lambda a: tersor.log_softmax(a)),
    ("log_softmax", "out", lambda a: tersor.log_softmax(floats(3, 16), out=a)),
    ("logsumexp", "x", lambda a: tersor.logsumexp(a)),
    ("logsumexp", "out", lambda a: tersor.logsumexp(floats(3, 16), out=a)),
    *(
        (name, argument, call)
        for name, other in BACKWARD.items()
        for argument, call in (
            ("grad", lambda a, name=name: getattr(tersor, name)(a, floats(3, 16))),
            (other, lambda a, name=name: getattr(tersor, name)(gradient_for(name), a)),
            ("out", lambda a, name=name: getattr(tersor, name)(gradient_for(name), floats(3, 16), out=a)),
        )
    ),
]


def refusals_of_rows(name: str) -> list[Row]:
    """What functions of x refuse."""
    function = getattr(tersor, name)
    return [
        Row(f"int8 for {name}", TypeError, "x", r"must be float32", lambda: function(codes(4))),
        Row(f"float64 out for {name}", TypeError, "out", r"must be float32, as x is",
            lambda: function(floats(4, 4), out=floats(4, 4, dtype=F64))),
        Row(f"{name} of a number", np.exceptions.AxisError, "axis", r"out of bounds", lambda: function(floats())),
        Row(f"{name} along too large an axis", np.exceptions.AxisError, "axis", r"out of bounds",
            lambda: function(floats(3, 16), axis=2)),
        Row(f"{name} along too small an axis", np.exceptions.AxisError, "axis", r"out of bounds",
            lambda: function(floats(3, 16), axis=-3)),
        Row(f"{name} along half an axis", TypeError, "axis", r"must be an integer", lambda: function(floats(4), axis=0.0)),
        Row(f"{name} at a negative temperature", ValueError, "temperature", r">= 0", lambda: function(floats(4), -1.0)),
        Row(f"{name} at NaN", ValueError, "temperature", r">= 0", lambda: function(floats(4), float("nan"))),
        *(
            Row(f"{name} at {value} in a row", ValueError, "temperature", r">= 0",
                lambda value=value: function(floats(2, 4), np.array([[1.0], [value]])))
            for value in (-1.0, np.nan)
        ),
        Row(f"{name} at temperatures that do not broadcast", ValueError, "temperature", r"broadcast",
            lambda: function(floats(3, 16), floats(4, 1, dtype=F64))),
        *(
            Row(f"{name} at temperatures of shape {shape}", ValueError, "temperature", r"length 1 along axis",
                lambda shape=shape: function(floats(3, 16), floats(*shape, dtype=F64)))
            for shape in ((3, 16), (16,))
        ),
        Row(f"{name} at a word", TypeError, "temperature", r"number|array", lambda: function(floats(4), "warm")),
        Row(f"{name} at None", TypeError, "temperature", r"number|array", lambda: function(floats(4), None)),
        Row(f"{name} at 1j", TypeError, "temperature", r"number|array|float", lambda: function(floats(4), 1j)),
    ]  # fmt: skip


def refusals_of_gradients(name: str, other: str) -> list[Row]:
    function, grad, of_other = getattr(tersor, name), gradient_for(name), floats(3, 16)
    return [
        Row(f"{name} of int8", TypeError, other, r"must be float32", lambda: function(grad, codes(3, 16))),
        Row(f"{name} of two dtypes", TypeError, "grad", r"must be float32", lambda: function(grad.astype(F64), of_other)),
        Row(f"{name} of two shapes", ValueError, "grad", r"must have", lambda: function(floats(3, 15), of_other)),
        Row(f"{name} into another shape", ValueError, "out", r"must have",
            lambda: function(grad, of_other, out=floats(16, 3))),
        Row(f"{name} into another dtype", TypeError, "out", r"must be float32",
            lambda: function(grad, of_other, out=floats(3, 16, dtype=F64))),
        Row(f"{name} at a negative temperature", ValueError, "temperature", r">= 0", lambda: function(grad, of_other, -1.0)),
        Row(f"{name} along a missing axis", np.exceptions.AxisError, "axis", r"out of bounds",
            lambda: function(grad, of_other, axis=2)),
    ]  # fmt: skip


REFUSALS_OF_SOFTMAX = [
    *refusals_of_rows("softmax"),
    *refusals_of_rows("log_softmax"),
    *refusals_of_rows("logsumexp"),
    *(row for name, other in BACKWARD.items() for row in refusals_of_gradients(name, other)),
    Row("logsumexp into another shape", ValueError, "out", r"without axis 1 or with length 1",
        lambda: tersor.logsumexp(floats(3, 16), out=np.empty(4, F32))),
    Row("logsumexp into its argument", ValueError, "out", r"overlap",
        lambda: (lambda x: tersor.logsumexp(x, out=x[:, 0]))(floats(3, 16))),
    Row("the gradient of other rows", ValueError, "grad", r"without axis 1 or with length 1",
        lambda: tersor.logsumexp_backward(floats(4), floats(3, 16))),
]  # fmt: skip
