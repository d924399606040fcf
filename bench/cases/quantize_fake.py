"""Quantized and back in one pass, and the gradients of that."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import tersor
from tersor import reference

from bench.goals import floor
from bench.operands import output, weights, with_last
from bench.operation import LARGE, Arrays, Call, Operation, Shape, Tolerance
from bench.peers import as_torch, compiled

GROUP = 128
Options = dict[str, Any]
BY_ROWS: Options = {"bits": 8, "granularity": "row"}
BY_GROUPS: Options = {"bits": 4, "granularity": "group", "group_size": GROUP, "symmetric": False}


def numbers(shape: Shape, dtype: str) -> Arrays:
    w = weights(shape, dtype)
    return Arrays({"w": w}, {"out": output(shape, w.dtype)})


def numbers_and_scales(shape: Shape, dtype: str) -> Arrays:
    w = weights(shape, dtype)
    scale = tersor.quantize(w, 8).scale
    return Arrays({"w": w, "scale": scale}, {"out": output(shape, w.dtype)})


def gradients(shape: Shape, dtype: str) -> Arrays:
    w, grad = weights(shape, dtype), weights(shape, dtype, seed=1)
    scale = tersor.quantize(w, 8).scale * np.float32(0.5)
    return Arrays(
        {"grad": grad, "w": w, "scale": scale},
        {"grad_w": output(shape, w.dtype), "grad_scale": output(with_last(shape, 1), np.float32)},
    )


# --- what is timed -------------------------------------------------------------------------------------------------


def tersor_fake(options: Options) -> Callable[[Arrays], Call]:
    return lambda a: Call(tersor.fake_quantize, a.w, **options, out=a.out)


def numpy_fake(options: Options) -> Callable[[Arrays], Call]:
    """With as few passes as NumPy allows."""
    width = GROUP if options["granularity"] == "group" else None
    most = 2 ** options["bits"] - 1

    def make(a: Arrays) -> Call:
        w, out = (part.reshape(-1, width or part.shape[-1]) for part in (a.w, a.out))

        def fake() -> None:
            low, high = w.min(axis=-1, keepdims=True), w.max(axis=-1, keepdims=True)
            if width is None:
                scale = np.maximum(high, -low) / np.float32(most // 2)
                np.divide(w, scale, out=out)
                np.rint(out, out=out)
                np.multiply(out, scale, out=out)
                return
            low, high = np.minimum(low, 0), np.maximum(high, 0)
            scale = high / np.float32(most) - low / np.float32(most)
            zero = np.rint(-low / scale)
            np.divide(w, scale, out=out)
            np.rint(out, out=out)
            np.clip(out, -zero, most - zero, out=out)
            np.multiply(out, scale, out=out)

        return Call(fake)

    return make


def row_formula(w: Any, out: Any) -> None:
    """What torch users write."""
    import torch

    absmax = w.abs().amax(-1, keepdim=True)
    step = torch.where(absmax == 0, 1.0, absmax / 127)
    out.copy_((w / step).round().clamp(-127, 127) * step)


def group_formula(w: Any, out: Any) -> None:
    """What torch users write."""
    import torch

    low, high = w.amin(-1, keepdim=True).clamp(max=0), w.amax(-1, keepdim=True).clamp(min=0)
    step = high / 15 - low / 15
    step = torch.where(step == 0, 1.0, step)
    zero = (-low / step).round().clamp(0, 15)
    out.copy_((((w / step).round() + zero).clamp(0, 15) - zero) * step)


def torch_fake(options: Options, compile: bool = False) -> Callable[[Arrays], Call]:
    by_groups = options["granularity"] == "group"
    formula = group_formula if by_groups else row_formula

    def make(a: Arrays) -> Call:
        parts = [as_torch(part.reshape(-1, GROUP if by_groups else part.shape[-1])) for part in (a.w, a.out)]
        return Call(compiled(formula) if compile else formula, *parts)

    return make


def torch_operator(a: Arrays) -> Call:
    import torch

    w, scale, out = as_torch(a.w), as_torch(a.scale.ravel()), as_torch(a.out)
    zero = torch.zeros_like(scale, dtype=torch.int32)
    rows = w.reshape(-1, w.shape[-1])

    def fake() -> None:
        out.copy_(torch.fake_quantize_per_channel_affine(rows, scale, zero, 0, -127, 127).reshape(out.shape))

    return Call(fake)


def numpy_scaled(a: Arrays) -> Call:
    def fake() -> None:
        np.divide(a.w, a.scale, out=a.out)
        np.rint(a.out, out=a.out)
        np.clip(a.out, -127, 127, out=a.out)
        np.multiply(a.out, a.scale, out=a.out)

    return Call(fake)


def numpy_backward(a: Arrays) -> Call:
    def backward() -> None:
        quotient = a.w / a.scale
        nearest = np.rint(quotient)
        passes = np.abs(nearest) <= 127
        np.multiply(a.grad, passes, out=a.grad_w)
        slope = np.clip(nearest, -127, 127) - quotient * passes
        np.copyto(a.grad_scale, np.sum(a.grad * slope, axis=-1, keepdims=True, dtype=np.float64), casting="same_kind")

    return Call(backward)


def torch_backward(a: Arrays) -> Call:
    """Its gradients of what counts as clamped differ from LSQ's."""
    import torch

    w, scale = as_torch(a.w).requires_grad_(), as_torch(a.scale.ravel()).requires_grad_()
    zero = torch.zeros_like(scale)
    out = torch._fake_quantize_learnable_per_channel_affine(w, scale, zero, 0, -127, 127, 1.0)
    return Call(torch.autograd.grad, out, (w, scale), as_torch(a.grad), retain_graph=True)


# --- the table -----------------------------------------------------------------------------------------------------

OPERATIONS = [
    *(
        Operation(
            family="quantize",
            name="fake_quantize",
            variant=variant,
            dtype=dtype,
            arrays=numbers,
            expected=lambda a, options=options: (reference.fake_quantize(a.w, **options),),
            tersor=tersor_fake(options),
            numpy=numpy_fake(options),
            peers={"torch": torch_fake(options), "torch compile": torch_fake(options, compile=True)},
            # They round other steps where the formula is another.
            unchecked=frozenset({"numpy", "torch", "torch compile"}),
            goals={LARGE: floor(1.3 if dtype == "float32" else 2)},
        )
        for variant, options, dtype in (
            ("int8 rows", BY_ROWS, "float32"),
            ("int4 g128 asymmetric", BY_GROUPS, "float32"),
            ("int4 g128 asymmetric", BY_GROUPS, "bfloat16"),
        )
    ),
    Operation(
        family="quantize",
        name="fake_quantize",
        variant="int8 given scales",
        arrays=numbers_and_scales,
        expected=lambda a: (reference.fake_quantize(a.w, scale=a.scale),),
        tersor=lambda a: Call(tersor.fake_quantize, a.w, scale=a.scale, out=a.out),
        numpy=numpy_scaled,
        peers={"torch": torch_operator},
        unchecked=frozenset({"torch"}),  # multiplies by 1 / scale
        goals={LARGE: floor(1.3)},
    ),
    Operation(
        family="quantize",
        name="fake_quantize_backward",
        variant="int8 rows",
        arrays=gradients,
        expected=lambda a: reference.fake_quantize_backward(a.grad, a.w, a.scale)[:2],
        tersor=lambda a: Call(tersor.fake_quantize_backward, a.grad, a.w, a.scale, out=(a.grad_w, a.grad_scale)),
        numpy=numpy_backward,
        peers={"torch": torch_backward},
        unchecked=frozenset({"numpy", "torch"}),  # their products are float32
        # Sums of another order: 2**-24 of the result, and 2**-53 of the terms' magnitudes.
        tolerance=Tolerance(relative=2.0**-23, absolute=1e-9),
        goals={LARGE: floor(1.5)},
    ),
]
