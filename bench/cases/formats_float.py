"""Weights to 4-bit codes that stand for numbers, with a scale for each few entries, and from them to numbers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from tersor import _core, formats, reference

from bench import operands
from bench.goals import floor
from bench.operands import dtype_named, output
from bench.operation import LARGE, SIZES, Array, Arrays, Call, Operation, Shape
from bench.peers import as_torch

MATRIX = {LARGE: SIZES[LARGE]}
# The kind of codes of each format, the entries of a run, and the goal of encoding: times the floor.
FORMATS: dict[str, tuple[str, int, float]] = {
    "bitsandbytes-nf4": ("nf4", 64, 3),
    "bitsandbytes-fp4": ("fp4", 64, 3),
    "mxfp4-pack-quantized": ("mxfp4", 32, 2),
    "nvfp4-pack-quantized": ("nvfp4", 16, 2),
}


def weights(shape: Shape, dtype: str) -> Array:
    """The first one is the greatest, so that the rows that are checked have the scale of all."""
    w = operands.weights(shape, dtype)
    w[0, 0] = 8
    return w


def has_global_scale(name: str) -> bool:
    return name.startswith("nvfp4")


def to_encode(name: str) -> Callable[[Shape, str], Arrays]:
    kind, run, _ = FORMATS[name]

    def arrays(shape: Shape, dtype: str) -> Arrays:
        rows, cols = shape
        scale = output((rows, cols // run), np.float32 if kind in ("nf4", "fp4") else np.uint8)
        return Arrays({"w": weights(shape, dtype)}, {"packed": output((rows, cols // 2), np.uint8), "scale": scale})

    return arrays


def expected_codes(name: str) -> Callable[[Arrays], tuple[Any, ...]]:
    kind, run, _ = FORMATS[name]

    def expected(a: Arrays) -> tuple[Any, ...]:
        of_all = float(reference.global_scale(a.w, kind)) if has_global_scale(name) else 1.0
        return tuple(part.reshape(len(a.w), -1) for part in reference.encode_float(a.w, kind, run, of_all))

    return expected


def tersor_encode(name: str) -> Callable[[Arrays], Call]:
    """What formats.encode does, into arrays that are there."""
    kind, run, _ = FORMATS[name]

    def make(a: Arrays) -> Call:
        def encode() -> None:
            of_all = 1.0
            if has_global_scale(name):
                of_all = 2688 / _core.greatest_magnitude(a.w)
            _core.encode_float(a.w, kind, run, of_all, a.packed, a.scale)

        return Call(encode)

    return make


def numpy_encode(name: str) -> Callable[[Arrays], Call]:
    """The codes; the scales stay as magnitudes."""
    kind, run, _ = FORMATS[name]
    values = reference.formats_float.TABLES[kind]
    order = np.argsort(values, kind="stable")
    middles = (values[order][1:] + values[order][:-1]) / np.float32(2)

    def make(a: Arrays) -> Call:
        def encode() -> None:
            runs = a.w.reshape(-1, run).astype(np.float32, copy=False)
            shares = runs / (np.abs(runs).max(axis=1, keepdims=True) / values.max())
            codes = order[np.searchsorted(middles, shares.ravel())].astype(np.uint8)
            np.bitwise_or(codes[::2] << 4, codes[1::2], out=a.packed.ravel())

        return Call(encode)

    return make


def package_encode(kind: str) -> Callable[[Arrays], Call]:
    def make(a: Arrays) -> Call:
        from bitsandbytes.functional import quantize_4bit

        return Call(quantize_4bit, as_torch(a.w), quant_type=kind)

    return make


def to_decode(name: str) -> Callable[[Shape, str], Arrays]:
    def arrays(shape: Shape, dtype: str) -> Arrays:
        tensors = formats.encode(name, weights(shape, "float32"))
        return Arrays(dict(tensors), {"out": output(shape, dtype_named(dtype))})

    return arrays


def parts_of(name: str, a: Arrays) -> tuple[Array, Array, float]:
    packed = a.inputs["weight_packed" if "weight_packed" in a.inputs else "weight"]
    scale = a.inputs["weight.absmax"] if "weight.absmax" in a.inputs else a.inputs["weight_scale"].view(np.uint8)
    of_all = float(a.inputs["weight_global_scale"][0]) if has_global_scale(name) else 1.0
    return packed.ravel(), scale.ravel(), of_all


def expected_numbers(name: str, dtype: str) -> Callable[[Arrays], tuple[Any, ...]]:
    kind, run, _ = FORMATS[name]

    def expected(a: Arrays) -> tuple[Any, ...]:
        packed, scale, of_all = parts_of(name, a)
        return (reference.decode_float(packed, scale, kind, run, a.out.shape, dtype_named(dtype), of_all),)

    return expected


def numpy_decode(name: str) -> Callable[[Arrays], Call]:
    kind, run, _ = FORMATS[name]
    values = reference.formats_float.TABLES[kind]

    def make(a: Arrays) -> Call:
        packed, stored, of_all = parts_of(name, a)
        scale = reference.formats_float.scales_of(stored, kind, np.float32(of_all))
        first, second = (packed >> 4, packed & 15) if kind in ("nf4", "fp4") else (packed & 15, packed >> 4)
        numbers = a.out if a.out.dtype == np.float32 else np.empty(a.out.shape, np.float32)

        def decode() -> None:
            flat = numbers.reshape(-1)
            flat[::2], flat[1::2] = values[first], values[second]
            runs = numbers.reshape(-1, run)
            np.multiply(runs, scale[:, None], out=runs)
            if numbers is not a.out:
                a.out[...] = numbers

        return Call(decode)

    return make


def package_decode(name: str) -> Callable[[Arrays], Call]:
    kind, run, _ = FORMATS[name]

    def make(a: Arrays) -> Call:
        from bitsandbytes.functional import QuantState, dequantize_4bit

        packed, absmax, _ = parts_of(name, a)
        out = as_torch(a.out)
        state = QuantState(absmax=as_torch(absmax), shape=out.shape, dtype=out.dtype, blocksize=run, quant_type=kind)
        return Call(dequantize_4bit, as_torch(packed.reshape(-1, 1)), state, out=out)

    return make


OPERATIONS = [
    *(
        Operation(
            family="formats",
            name="encode",
            variant=name,
            arrays=to_encode(name),
            expected=expected_codes(name),
            tersor=tersor_encode(name),
            numpy=numpy_encode(name),
            peers={"bitsandbytes": package_encode(kind)} if kind in ("nf4", "fp4") else {},
            unchecked=frozenset({"bitsandbytes", "numpy"}),
            goals={LARGE: floor(goal)} if dtype == "float32" else {},
            sizes=MATRIX,
            dtype=dtype,
            read_before=("w",) if has_global_scale(name) else (),
        )
        for name, (kind, _, goal) in FORMATS.items()
        for dtype in (("float32", "bfloat16") if has_global_scale(name) else ("float32",))
    ),
    *(
        Operation(
            family="formats",
            name="decode",
            variant=f"{name} to {dtype}",
            arrays=to_decode(name),
            expected=expected_numbers(name, dtype),
            tersor=lambda a, name=name: Call(formats.decode, name, a.inputs, out=a.out),
            numpy=numpy_decode(name),
            peers={"bitsandbytes": package_decode(name)} if kind in ("nf4", "fp4") else {},
            goals={LARGE: floor(goal)},
            sizes=MATRIX,
            whole=True,
            dtype=dtype,
        )
        for name, (kind, _, _) in FORMATS.items()
        for dtype, goal in (("float32", 1.3), ("bfloat16", 1.5))
    ),
]
