"""4-bit codes with a scale for each 128 columns, two a byte, and back."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import tersor
from tersor import reference

from bench.goals import floor
from bench.operands import dtype_named, output, weights, with_last
from bench.operation import LARGE, Arrays, Call, Operation, Shape
from bench.peers import as_torch, compiled

BITS, GROUP = 4, 128


def groups(shape: Shape) -> Shape:
    return with_last(shape, -(-shape[-1] // GROUP))


def quantized(a: Arrays) -> tersor.Quantized:
    """Symmetric codes as tersor has them."""
    return tersor.Quantized(a.q, a.scale, None, BITS, with_last(a.q.shape, 2 * a.q.shape[-1]), -1, GROUP, packed=True)


def to_quantize(symmetric: bool) -> Callable[[Shape, str], Arrays]:
    def arrays(shape: Shape, dtype: str) -> Arrays:
        outputs = {"q": output(with_last(shape, shape[-1] // 2), np.uint8), "scale": output(groups(shape), np.float32)}
        if not symmetric:
            outputs["zero_point"] = output(groups(shape), np.uint8)
        return Arrays({"w": weights(shape, dtype)}, outputs)

    return arrays


def to_dequantize(shape: Shape, dtype: str) -> Arrays:
    w = weights(shape, "float32")
    t = tersor.quantize(w, BITS, granularity="group", group_size=GROUP, packed=True)
    return Arrays({"q": t.q, "scale": t.scale}, {"out": output(shape, dtype_named(dtype))})


def expected_codes(symmetric: bool) -> Callable[[Arrays], tuple[Any, ...]]:
    def expected(a: Arrays) -> tuple[Any, ...]:
        q, *rest = reference.quantize(a.w, BITS, granularity="group", group_size=GROUP, symmetric=symmetric)
        return reference.pack_bits(q, BITS), *(part for part in rest if part is not None)

    return expected


def expected_numbers(dtype: str) -> Callable[[Arrays], tuple[Any, ...]]:
    def expected(a: Arrays) -> tuple[Any, ...]:
        t = quantized(a)
        q = reference.unpack_bits(t.q, BITS, t.shape[-1])
        return (reference.dequantize(q, t.scale, None, dtype_named(dtype), granularity="group", group_size=GROUP),)

    return expected


# --- what is timed -------------------------------------------------------------------------------------------------


def tersor_quantize(a: Arrays) -> Call:
    options = {"granularity": "group", "group_size": GROUP, "symmetric": len(a.outputs) == 2, "packed": True}
    return Call(tersor.quantize, a.w, BITS, **options, out=tuple(a.outputs.values()))


def numpy_quantize(a: Arrays) -> Call:
    w = a.w.reshape(-1, GROUP)
    quotient = np.empty_like(w)
    symmetric, scale = len(a.outputs) == 2, a.scale.reshape(-1, 1)
    packed = a.q.reshape(-1, GROUP // 2)

    def quantize() -> None:
        low, high = w.min(axis=-1, keepdims=True), w.max(axis=-1, keepdims=True)
        if symmetric:
            np.divide(np.maximum(high, -low), np.float32(7), out=scale)
            np.divide(w, scale, out=quotient)
            np.rint(quotient, out=quotient)
            codes = quotient.astype(np.int8).view(np.uint8) & 0x0F
        else:
            zero = a.zero_point.reshape(-1, 1)
            low, high = np.minimum(low, 0), np.maximum(high, 0)
            np.subtract(high / np.float32(15), low / np.float32(15), out=scale)
            np.copyto(zero, np.rint(-low / scale), casting="unsafe")
            np.divide(w, scale, out=quotient)
            np.rint(quotient, out=quotient)
            np.add(quotient, zero, out=quotient)
            np.clip(quotient, 0, 15, out=quotient)
            codes = quotient.astype(np.uint8)
        np.bitwise_or(codes[:, 0::2], codes[:, 1::2] << 4, out=packed)

    return Call(quantize)


def symmetric_formula(w: Any, q: Any, scale: Any) -> None:
    """What torch users write."""
    import torch

    absmax = w.abs().amax(-1, keepdim=True)
    step = torch.where(absmax == 0, 1.0, absmax / 7)
    codes = (w / step).round().clamp(-7, 7).to(torch.int8).view(torch.uint8) & 0x0F
    scale.copy_(step)
    q.copy_(codes[..., 0::2] | codes[..., 1::2] << 4)


def asymmetric_formula(w: Any, q: Any, scale: Any, zero_point: Any) -> None:
    """What torch users write."""
    import torch

    low, high = w.amin(-1, keepdim=True).clamp(max=0), w.amax(-1, keepdim=True).clamp(min=0)
    step = high / 15 - low / 15
    step = torch.where(step == 0, 1.0, step)
    zero = (-low / step).round().clamp(0, 15)
    codes = ((w / step).round() + zero).clamp(0, 15).to(torch.uint8)
    scale.copy_(step)
    zero_point.copy_(zero.to(torch.uint8))
    q.copy_(codes[..., 0::2] | codes[..., 1::2] << 4)


def torch_quantize(a: Arrays, compile: bool = False) -> Call:
    formula = symmetric_formula if len(a.outputs) == 2 else asymmetric_formula
    parts = [as_torch(array.reshape(-1, length)) for array, length in ((a.w, GROUP), (a.q, GROUP // 2), (a.scale, 1))]
    if len(a.outputs) == 3:
        parts.append(as_torch(a.zero_point.reshape(-1, 1)))
    return Call(compiled(formula) if compile else formula, *parts)


def package_quantize(a: Arrays) -> Call:
    """By its own rule: absmax / 7.5, codes to -8, into int32."""
    import torch
    from compressed_tensors.compressors.quantized_compressors.pack_quantized import pack_to_int32
    from compressed_tensors.quantization import QuantizationArgs
    from compressed_tensors.quantization.lifecycle.forward import quantize
    from compressed_tensors.quantization.utils.helpers import calculate_qparams

    args = QuantizationArgs(num_bits=BITS, symmetric=len(a.outputs) == 2, strategy="group", group_size=GROUP)
    w = as_torch(a.w)
    parts = w.reshape(*w.shape[:-1], -1, GROUP)

    def compress() -> Any:
        scale, zero_point = calculate_qparams(parts.amin(-1), parts.amax(-1), args)
        return pack_to_int32(quantize(w, scale, zero_point, args, dtype=torch.int8), BITS)

    return Call(compress)


def numpy_dequantize(a: Arrays) -> Call:
    packed, out = a.q.reshape(-1, GROUP // 2), a.out.reshape(-1, GROUP)
    scale = a.scale.reshape(-1, 1)
    codes = np.empty(out.shape, np.int8)
    numbers = out if out.dtype == np.float32 else np.empty(out.shape, np.float32)

    def dequantize() -> None:
        signed = packed.view(np.int8)
        np.left_shift(signed, 4, out=codes[:, 0::2])
        np.right_shift(codes[:, 0::2], 4, out=codes[:, 0::2])
        np.right_shift(signed, 4, out=codes[:, 1::2])
        np.multiply(codes, scale, out=numbers)
        if numbers is not out:
            out[...] = numbers

    return Call(dequantize)


def dequantize_formula(q: Any, scale: Any, out: Any) -> None:
    """What torch users write."""
    import torch

    codes = torch.stack([(q & 0x0F), q >> 4], -1).view(torch.int8)
    out.copy_((((codes ^ 8) - 8) * scale[..., None]).reshape(out.shape))


def torch_dequantize(a: Arrays, compile: bool = False) -> Call:
    q, scale, out = (as_torch(array) for array in (a.q.reshape(-1, GROUP // 2), a.scale.reshape(-1, 1), a.out))
    return Call(compiled(dequantize_formula) if compile else dequantize_formula, q, scale, out.reshape(-1, GROUP))


def tersor_least_error(a: Arrays) -> Call:
    options = {"granularity": "group", "group_size": GROUP, "packed": True, "scale_method": "mse"}
    return Call(tersor.quantize, a.w, BITS, **options, out=(a.q, a.scale))


def expected_least_error(a: Arrays) -> tuple[Any, ...]:
    q, scale, _ = reference.quantize(a.w, BITS, granularity="group", group_size=GROUP, scale_method="mse")
    return reference.pack_bits(q, BITS), scale


def numpy_least_error(a: Arrays) -> Call:
    """The 80 ranges of the default, on whole arrays."""
    w = a.w.reshape(-1, GROUP)
    quotient, best = np.empty_like(w), np.empty((len(w), 1), np.float32)

    def search() -> None:
        whole = np.maximum(w.max(axis=-1, keepdims=True), -w.min(axis=-1, keepdims=True)) / np.float32(7)
        least = np.full(len(w), np.inf, np.float32)
        for i in range(80):
            scale = whole * np.float32(1 - i / 100)
            np.divide(w, scale, out=quotient)
            np.rint(quotient, out=quotient)
            np.clip(quotient, -7, 7, out=quotient)
            np.multiply(quotient, scale, out=quotient)
            np.subtract(quotient, w, out=quotient)
            error = np.einsum("ij,ij->i", quotient, quotient)
            better = error < least
            np.copyto(least, error, where=better)
            np.copyto(best, scale, where=better[:, None])

    return Call(search)


# --- the table -----------------------------------------------------------------------------------------------------

OPERATIONS = [
    *(
        Operation(
            family="quantize",
            name="quantize",
            variant=f"int4 g128 {'symmetric' if symmetric else 'asymmetric'}",
            arrays=to_quantize(symmetric),
            expected=expected_codes(symmetric),
            tersor=tersor_quantize,
            numpy=numpy_quantize,
            peers={
                "torch": torch_quantize,
                "torch compile": lambda a: torch_quantize(a, compile=True),
                "compressed-tensors": package_quantize,
            },
            unchecked=frozenset({"compressed-tensors"}),
            goals={LARGE: floor(1.4)},
        )
        for symmetric in (True, False)
    ),
    Operation(
        family="quantize",
        name="quantize",
        variant="int4 g128 least error of 80 ranges",
        arrays=to_quantize(True),
        expected=expected_least_error,
        tersor=tersor_least_error,
        numpy=numpy_least_error,
        unchecked=frozenset({"numpy"}),  # finds the scales alone
    ),
    *(
        Operation(
            family="quantize",
            name="dequantize",
            variant="int4 g128",
            dtype=dtype,
            arrays=to_dequantize,
            expected=expected_numbers(dtype),
            tersor=lambda a: Call(tersor.dequantize, quantized(a), out=a.out),
            numpy=numpy_dequantize,
            peers={"torch": torch_dequantize, "torch compile": lambda a: torch_dequantize(a, compile=True)},
            goals={LARGE: floor(1.2 if dtype == "float32" else 1.5)},
        )
        for dtype in ("float32", "bfloat16")
    ),
]
