"""The errors of codes, in one read that gives a few numbers."""

from __future__ import annotations

from typing import Any

import numpy as np
import tersor
from tersor import reference

from bench.goals import floor
from bench.operands import weights
from bench.operation import LARGE, Arrays, Call, Operation, Shape, Tolerance
from bench.peers import as_torch, compiled

GROUP = 128


def numbers_and_codes(shape: Shape, dtype: str) -> Arrays:
    w = weights(shape, dtype)
    t = tersor.quantize(w)
    return Arrays({"w": w, "q": t.q, "scale": t.scale})


def numbers_and_nibbles(shape: Shape, dtype: str) -> Arrays:
    w = weights(shape, dtype)
    t = tersor.quantize(w, 4, granularity="group", group_size=GROUP, packed=True)
    return Arrays({"w": w, "q": t.q, "scale": t.scale})


def quantized(a: Arrays) -> tersor.Quantized:
    if a.q.shape == a.w.shape:
        return tersor.Quantized(a.q, a.scale, None, 8, a.w.shape, -1)
    return tersor.Quantized(a.q, a.scale, None, 4, a.w.shape, -1, GROUP, packed=True)


def expected_error(a: Arrays) -> tuple[Any, ...]:
    """By the codes that the operands hold, all of them."""
    t = quantized(a)
    q = reference.unpack_bits(t.q, 4, t.shape[-1]) if t.packed else t.q
    where = {"granularity": "group", "group_size": GROUP} if t.packed else {}
    return reference.quantization_error(a.w, q, a.scale, bits=t.bits, **where)  # type: ignore[arg-type]


def tersor_error(a: Arrays) -> Call:
    t = quantized(a)

    def error() -> tuple[float, ...]:
        found = tersor.quantization_error(a.w, t)
        return found.mse, found.max, found.sqnr, found.cosine

    return Call(error)


def numpy_error(a: Arrays) -> Call:
    t = quantized(a)

    def error() -> tuple[Any, ...]:
        numbers = tersor.dequantize(t)
        difference = a.w - numbers
        w, y, e = a.w.ravel(), numbers.ravel(), difference.ravel()
        noise, signal = np.dot(e, e), np.dot(w, w)
        cosine = np.dot(w, y) / np.sqrt(float(signal) * float(np.dot(y, y)))
        return noise / e.size, np.abs(e).max(), 10 * np.log10(signal / noise), cosine

    return Call(error)


def error_formula(w: Any, q: Any, scale: Any) -> Any:
    """What torch users write."""
    import torch

    numbers = q * scale
    e = w - numbers
    noise, signal = (e * e).sum(), (w * w).sum()
    return (
        noise / e.numel(),
        e.abs().max(),
        10 * torch.log10(signal / noise),
        (w * numbers).sum() / (signal.sqrt() * (numbers * numbers).sum().sqrt()),
    )


def torch_error(a: Arrays, compile: bool = False) -> Call:
    w, q, scale = as_torch(a.w), as_torch(a.q), as_torch(a.scale)
    return Call(compiled(error_formula) if compile else error_formula, w, q, scale)


# Sums of up to 2**26 terms in another order; NumPy adds pairs of blocks, tersor lanes of runs.
SUMS = Tolerance(relative=1e-9)

OPERATIONS = [
    Operation(
        family="quantize",
        name="quantization_error",
        variant="int8 rows",
        arrays=numbers_and_codes,
        expected=expected_error,
        tersor=tersor_error,
        numpy=numpy_error,
        peers={"torch": torch_error, "torch compile": lambda a: torch_error(a, compile=True)},
        unchecked=frozenset({"numpy", "torch", "torch compile"}),  # they add up in float32
        tolerance=SUMS,
        goals={LARGE: floor(1.2)},
    ),
    Operation(
        family="quantize",
        name="quantization_error",
        variant="int4 g128 packed",
        arrays=numbers_and_nibbles,
        expected=expected_error,
        tersor=tersor_error,
        numpy=numpy_error,
        unchecked=frozenset({"numpy"}),
        tolerance=SUMS,
        goals={LARGE: floor(1.2)},
    ),
]
