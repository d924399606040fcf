"""log_softmax and logsumexp along rows, and the gradients of softmax's kin."""

from __future__ import annotations

from typing import Any

import numpy as np
import tersor
from tersor import reference

from bench.cases.softmax import TEMPERATURE, operands
from bench.goals import floor
from bench.operands import empty, logits, output, with_last
from bench.operation import Array, Arrays, Call, Operation, Shape, Tolerance
from bench.peers import as_torch, compiled

ROWS = "2048x32000"
SIZES: dict[str, Shape] = {ROWS: (2048, 32000), "65536x64": (65536, 64)}
# Of sums over 32,000 columns in float32, as NumPy and torch add them up.
TOLERANCES = {"float32": Tolerance(relative=2e-5, absolute=2e-5), "bfloat16": Tolerance(relative=2**-7, absolute=2**-7)}


# --- logarithms --------------------------------------------------------------------------------------------------------


def sums_of_rows(shape: Shape, dtype: str) -> Arrays:
    x = logits(shape, dtype)
    return Arrays({"x": x}, {"out": output(with_last(shape, 1), x.dtype)})


def wide(x: Array) -> Array:
    """NumPy is an order of magnitude slower in bfloat16 than with the casts."""
    return x.astype(np.float32) if x.dtype != np.float32 else x


def numpy_log_softmax(a: Arrays) -> Call:
    work = empty(a.x.shape, np.float32)

    def log_softmax() -> None:
        z = np.multiply(wide(a.x), np.float32(1 / TEMPERATURE))
        z -= z.max(axis=-1, keepdims=True)
        np.exp(z, out=work)
        np.subtract(z, np.log(work.sum(axis=-1, keepdims=True)), out=a.out, casting="unsafe")

    return Call(log_softmax)


def numpy_logsumexp(a: Arrays) -> Call:
    def logsumexp() -> None:
        z = np.multiply(wide(a.x), np.float32(1 / TEMPERATURE))
        top = z.max(axis=-1, keepdims=True)
        z -= top
        np.exp(z, out=z)
        a.out[...] = top + np.log(z.sum(axis=-1, keepdims=True))

    return Call(logsumexp)


def torch_log_softmax(x: Any, out: Any) -> None:
    out.copy_((x / TEMPERATURE).log_softmax(-1))


def torch_logsumexp(x: Any, out: Any) -> None:
    out.copy_((x / TEMPERATURE).logsumexp(-1, keepdim=True))


# --- gradients ---------------------------------------------------------------------------------------------------------


def with_gradient(shape: Shape, dtype: str) -> Arrays:
    y = tersor.softmax(logits(shape, dtype), TEMPERATURE)
    return Arrays({"grad": logits(shape, dtype), "y": y}, {"out": output(shape, y.dtype)})


def numpy_backward(a: Arrays) -> Call:
    def softmax_backward() -> None:
        g, y = wide(a.grad), wide(a.y)
        weighted = g * y
        gradient = y * (g - weighted.sum(axis=-1, keepdims=True))
        np.multiply(gradient, np.float32(1 / TEMPERATURE), out=a.out, casting="unsafe")

    return Call(softmax_backward)


def torch_backward(grad: Any, y: Any, out: Any) -> None:
    weighted = grad * y
    out.copy_((weighted - y * weighted.sum(-1, keepdim=True)) / TEMPERATURE)


# --- the table -----------------------------------------------------------------------------------------------------------


def peers(formula: Any, *names: str) -> dict[str, Any]:
    def tensors(a: Arrays) -> list[Any]:
        return [as_torch(getattr(a, name)) for name in names]

    return {
        "torch": lambda a: Call(formula, *tensors(a)),
        "torch compile": lambda a: Call(compiled(formula), *tensors(a)),
    }


OPERATIONS = [
    operation
    for dtype in ("float32", "bfloat16")
    for operation in (
        Operation(
            family="softmax",
            name="log_softmax",
            variant="",
            dtype=dtype,
            arrays=operands,
            expected=lambda a: (reference.log_softmax(a.x, TEMPERATURE),),
            tersor=lambda a: Call(tersor.log_softmax, a.x, TEMPERATURE, out=a.out),
            numpy=numpy_log_softmax,
            peers=peers(torch_log_softmax, "x", "out"),
            tolerance=TOLERANCES[dtype],
            sizes=SIZES,
            goals={ROWS: floor(1.4 if dtype == "float32" else 2.2)},
        ),
        Operation(
            family="softmax",
            name="logsumexp",
            variant="",
            dtype=dtype,
            arrays=sums_of_rows,
            expected=lambda a: (reference.logsumexp(a.x, TEMPERATURE, keepdims=True),),
            tersor=lambda a: Call(tersor.logsumexp, a.x, TEMPERATURE, out=a.out),
            numpy=numpy_logsumexp,
            peers=peers(torch_logsumexp, "x", "out"),
            tolerance=TOLERANCES[dtype],
            sizes=SIZES,
        ),
        Operation(
            family="softmax",
            name="softmax_backward",
            variant="",
            dtype=dtype,
            arrays=with_gradient,
            expected=lambda a: (reference.softmax_backward(a.grad, a.y, TEMPERATURE),),
            tersor=lambda a: Call(tersor.softmax_backward, a.grad, a.y, TEMPERATURE, out=a.out),
            numpy=numpy_backward,
            peers=peers(torch_backward, "grad", "y", "out"),
            tolerance=TOLERANCES[dtype],
            sizes=SIZES,
            goals={ROWS: floor(1.4)},
        ),
    )
]
