"""softmax(x / T) along rows."""

from __future__ import annotations

from typing import Any

import numpy as np
import tersor
from tersor import reference

from bench.goals import NUMPY_CALL, Goal, floor, peer
from bench.onnx_model import Node
from bench.operands import empty, logits, output, with_last
from bench.operation import SIZES, SMALL, Arrays, Call, Operation, Shape, Tolerance
from bench.peers import as_torch, compiled, onnxruntime_call

TEMPERATURE = 2.0
WIDE = "4096x32000"  # a vocabulary
# Rows of attention, of a small head, and of one step of decoding.
SHAPES = {WIDE: (4096, 32000), "8192x1024": (8192, 1024), "65536x64": (65536, 64), "8x151936": (8, 151936)}


def operands(shape: Shape, dtype: str) -> Arrays:
    x = logits(shape, dtype)
    return Arrays({"x": x}, {"out": output(shape, x.dtype)})


def numpy_softmax(a: Arrays) -> Call:
    narrow = a.x.dtype != np.float32
    work = empty(a.x.shape, np.float32) if narrow else a.out
    row = empty(with_last(a.x.shape, 1), np.float32)

    def softmax() -> None:
        # NumPy is an order of magnitude slower in bfloat16 than with the casts.
        x = a.x.astype(np.float32) if narrow else a.x
        np.max(x, axis=-1, keepdims=True, out=row)
        np.subtract(x, row, out=work)
        np.multiply(work, np.float32(1 / TEMPERATURE), out=work)
        np.exp(work, out=work)
        np.sum(work, axis=-1, keepdims=True, out=row)
        np.divide(work, row, out=work)
        if narrow:
            a.out[...] = work

    return Call(softmax)


def torch_softmax(a: Arrays) -> Call:
    import torch

    x, out = as_torch(a.x), as_torch(a.out)

    def softmax() -> None:
        torch.div(x, TEMPERATURE, out=out)
        torch.softmax(out, -1, out=out)

    return Call(softmax)


def formula(x: Any, out: Any) -> None:
    """What torch users write."""
    out.copy_((x / TEMPERATURE).softmax(-1))


def compiled_softmax(a: Arrays) -> Call:
    return Call(compiled(formula), as_torch(a.x), as_torch(a.out))


def onnxruntime_softmax(a: Arrays) -> Call:
    temperature = np.full(1, TEMPERATURE, np.float32)
    nodes = [Node("Div", ["x", "temperature"], "scaled"), Node("Softmax", ["scaled"], "out", {"axis": -1})]
    return onnxruntime_call(nodes, {"x": a.x, "temperature": temperature}, a.out)


def table_row(dtype: str, tolerance: Tolerance, sizes: dict[str, Shape], goals: dict[str, Goal]) -> Operation:
    peers = {"torch out=": torch_softmax, "torch compile": compiled_softmax}
    if dtype == "float32":
        peers["onnxruntime"] = onnxruntime_softmax
    return Operation(
        family="softmax",
        name="softmax",
        variant="",
        dtype=dtype,
        arrays=operands,
        expected=lambda a: (reference.softmax(a.x, TEMPERATURE),),
        tersor=lambda a: Call(tersor.softmax, a.x, TEMPERATURE, out=a.out),
        numpy=numpy_softmax,
        peers=peers,
        tolerance=tolerance,
        sizes=sizes,
        goals=goals,
    )


OPERATIONS = [
    table_row(
        "float32",
        Tolerance(relative=2e-5),
        {SMALL: SIZES[SMALL], **SHAPES},
        {
            SMALL: NUMPY_CALL,
            WIDE: floor(1.4),
            "8192x1024": floor(1.5),
            "65536x64": peer(2.0),
            "8x151936": peer(2.0),
        },
    ),
    # One step of bfloat16 is 2**-8 of the value.
    table_row("bfloat16", Tolerance(relative=2**-7), {WIDE: SHAPES[WIDE]}, {WIDE: floor(2.2)}),
]
