"""Fixed point, and int8 with a scale a row."""

from __future__ import annotations

import functools
from typing import Any

import numpy as np
import tersor
from tersor import reference

from bench.goals import NUMPY_CALL, floor
from bench.onnx_model import Node
from bench.operands import empty, integers, output, weights, with_last
from bench.operation import LARGE, SMALL, Array, Arrays, Call, Operation, Shape
from bench.peers import as_torch, compiled, fbgemm, onnxruntime_call

STEPS = 256  # of round_fixed at its default of 8 bits

# --- operands ------------------------------------------------------------------------------------------------------


def to_round(shape: Shape, dtype: str) -> Arrays:
    w = weights(shape, dtype)
    return Arrays({"w": w}, {"out": output(shape, w.dtype)})


def to_quantize(shape: Shape, dtype: str) -> Arrays:
    return Arrays(
        {"w": weights(shape, dtype)},
        {"q": output(shape, np.int8), "scale": output(with_last(shape, 1), np.float32)},
    )


def to_dequantize(shape: Shape, dtype: str) -> Arrays:
    scale = empty(with_last(shape, 1), np.float32)
    scale[...] = np.linspace(0.5, 1.5, scale.size, dtype=np.float32).reshape(scale.shape) / 127
    return Arrays({"q": integers(shape, -127, 127), "scale": scale}, {"out": output(shape, np.float32)})


# --- NumPy ---------------------------------------------------------------------------------------------------------


def numpy_round(a: Arrays) -> Call:
    def round_fixed() -> None:
        np.multiply(a.w, np.float32(STEPS), out=a.out)
        np.rint(a.out, out=a.out)
        np.multiply(a.out, np.float32(1 / STEPS), out=a.out)

    return Call(round_fixed)


def numpy_quantize(a: Arrays) -> Call:
    quotient = empty(a.w.shape, a.w.dtype)

    def quantize() -> None:
        # The larger of two reductions: |w| would have to be written and read again.
        np.maximum(a.w.max(axis=-1, keepdims=True), -a.w.min(axis=-1, keepdims=True), out=a.scale)
        np.divide(a.scale, np.float32(127), out=a.scale)
        a.scale[a.scale == 0] = 1
        np.divide(a.w, a.scale, out=quotient)
        # |w / scale| cannot exceed 127 by half, so that no clip is needed.
        np.rint(quotient, out=quotient)
        np.copyto(a.q, quotient, casting="unsafe")

    return Call(quantize)


# --- torch ---------------------------------------------------------------------------------------------------------


def torch_round(a: Arrays) -> Call:
    import torch

    w, out = as_torch(a.w), as_torch(a.out)

    def round_fixed() -> None:
        torch.mul(w, STEPS, out=out)
        torch.round(out, out=out)
        torch.mul(out, 1 / STEPS, out=out)

    return Call(round_fixed)


def quantize_formula(w: Any, q: Any, scale: Any) -> None:
    """What torch users write."""
    import torch

    absmax = w.abs().amax(-1, keepdim=True)
    row_scale = torch.where(absmax == 0, 1.0, absmax / 127)
    scale.copy_(row_scale)
    q.copy_((w / row_scale).round().clamp(-127, 127))


def torch_quantize(a: Arrays) -> Call:
    return Call(quantize_formula, as_torch(a.w), as_torch(a.q), as_torch(a.scale))


def compiled_quantize(a: Arrays) -> Call:
    return Call(compiled(quantize_formula), as_torch(a.w), as_torch(a.q), as_torch(a.scale))


def torch_dequantize(a: Arrays) -> Call:
    import torch

    return Call(torch.mul, as_torch(a.q), as_torch(a.scale), out=as_torch(a.out))


def dequantize_formula(q: Any, scale: Any, out: Any) -> None:
    """What torch users write."""
    out.copy_(q * scale)


def compiled_dequantize(a: Arrays) -> Call:
    return Call(compiled(dequantize_formula), as_torch(a.q), as_torch(a.scale), as_torch(a.out))


# --- fbgemm, onnxruntime, numba ------------------------------------------------------------------------------------


def fbgemm_quantize(a: Arrays) -> Call:
    """Unsigned codes with scale and offset, the row's two floats behind them."""
    w = np.atleast_2d(a.w)
    fused = empty(with_last(w.shape, w.shape[-1] + 8), np.uint8)
    return Call(fbgemm().FloatToFused8BitRowwiseQuantizedOut, as_torch(fused), as_torch(w))


def fbgemm_dequantize(a: Arrays) -> Call:
    """From the format above."""
    out = as_torch(np.atleast_2d(a.out))
    fused = fbgemm().FloatToFused8BitRowwiseQuantized(out)
    return Call(fbgemm().Fused8BitRowwiseQuantizedToFloatOut, out, fused)


def onnxruntime_dequantize(a: Arrays) -> Call:
    node = Node("DequantizeLinear", ["q", "scale"], "out", {"axis": 0})
    return onnxruntime_call([node], {"q": a.q, "scale": a.scale.reshape(-1)}, a.out)


@functools.cache
def numba_round_kernel() -> Any:
    from numba import njit, prange

    @njit(parallel=True)
    def round_fixed(w: Array, steps: Any, step: Any, out: Array) -> None:
        for i in prange(w.size):
            out[i] = np.rint(w[i] * steps) * step

    return round_fixed


def numba_round(a: Arrays) -> Call:
    steps, step = np.float32(STEPS), np.float32(1 / STEPS)
    return Call(numba_round_kernel(), a.w.reshape(-1), steps, step, a.out.reshape(-1))


# --- the table -----------------------------------------------------------------------------------------------------

OPERATIONS = [
    Operation(
        family="quantize",
        name="round_fixed",
        variant="out=",
        arrays=to_round,
        expected=lambda a: (reference.round_fixed(a.w),),
        tersor=lambda a: Call(tersor.round_fixed, a.w, out=a.out),
        numpy=numpy_round,
        peers={"torch": torch_round, "numba": numba_round},
        goals={SMALL: NUMPY_CALL, LARGE: floor(1.1)},
    ),
    Operation(
        family="quantize",
        name="quantize_int8",
        variant="",
        arrays=to_quantize,
        expected=lambda a: reference.quantize_int8(a.w),
        tersor=lambda a: Call(tersor.quantize_int8, a.w, out=(a.q, a.scale)),
        numpy=numpy_quantize,
        peers={"torch": torch_quantize, "torch compile": compiled_quantize, "fbgemm": fbgemm_quantize},
        unchecked=frozenset({"fbgemm"}),
        goals={SMALL: NUMPY_CALL, LARGE: floor(1.3)},
    ),
    Operation(
        family="quantize",
        name="dequantize_int8",
        variant="",
        arrays=to_dequantize,
        expected=lambda a: (reference.dequantize_int8(a.q, a.scale),),
        tersor=lambda a: Call(tersor.dequantize_int8, a.q, a.scale, out=a.out),
        numpy=lambda a: Call(np.multiply, a.q, a.scale, out=a.out),
        peers={
            "torch": torch_dequantize,
            "torch compile": compiled_dequantize,
            "onnxruntime": onnxruntime_dequantize,
            "fbgemm": fbgemm_dequantize,
        },
        unchecked=frozenset({"fbgemm"}),
        goals={SMALL: NUMPY_CALL, LARGE: floor(1.1)},
    ),
]
