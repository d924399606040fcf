"""softmax, what is made of it, and the gradients for the table in operations.py: the arguments of Operation, by name."""

from __future__ import annotations

from typing import Any

import tersor
from inputs import gradient_and_logs, logits_and_gradient_of_rows, rows_of_logits, weights_and_gradient
from layouts import FLOATS
from lowest_level import at_lowest_level

TEMPERATURE = 0.7


def logsumexp(x: Any, temperature: float, out: Any = None) -> Any:
    return tersor.logsumexp(x, temperature, keepdims=True, out=out)


def logsumexp_backward(x: Any, grad: Any, temperature: float, out: Any = None) -> Any:
    return tersor.logsumexp_backward(grad, x, temperature, out=out)


SOFTMAX_OPERATIONS: list[dict[str, Any]] = [
    {
        "name": name,
        "family": "softmax",
        "inputs": inputs,
        "in_place": name != "logsumexp",
        "in_place_of_any": name in ("softmax_backward", "log_softmax_backward"),
        "dtypes": dtypes,  # tests of accuracy have the others
        "least_ndim": 1,
        "call": lambda *arrays, out, call=call, **_: call(*arrays, TEMPERATURE, out=out),
        "expect": lambda *arrays, call=call, **_: at_lowest_level(lambda *them: call(*them, TEMPERATURE), *arrays),
    }
    for name, dtypes, inputs, call in (
        ("softmax", tuple(FLOATS), rows_of_logits, tersor.softmax),
        ("log_softmax", tuple(FLOATS), rows_of_logits, tersor.log_softmax),
        ("logsumexp", ("float32", "float64"), rows_of_logits, logsumexp),
        ("softmax_backward", ("float32", "bfloat16"), weights_and_gradient, tersor.softmax_backward),
        ("log_softmax_backward", ("float16", "float64"), gradient_and_logs, tersor.log_softmax_backward),
        ("logsumexp_backward", ("float32", "bfloat16"), logits_and_gradient_of_rows, logsumexp_backward),
    )
]
