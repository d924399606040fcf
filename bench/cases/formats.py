"""4-bit codes with a scale for each 128 columns to the words of checkpoints, and from them to numbers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import tersor
from tersor import formats, reference

from bench.goals import floor
from bench.operands import dtype_named, integers, output
from bench.operation import LARGE, SIZES, Array, Arrays, Call, Operation, Shape
from bench.peers import as_torch

BITS, GROUP = 4, 128
MATRIX = {LARGE: SIZES[LARGE]}
AWQ_ORDER = reference.pack.ORDERS["awq"]
# How pack_bits makes the words of each format, and whether these are stored transposed.
LAYOUTS: dict[str, tuple[dict[str, Any], bool]] = {
    "pack-quantized": ({}, False),
    "gptq_v2": ({}, True),
    "awq": ({"order": "awq", "axis": 0}, True),
}


def word_shape(name: str, shape: Shape) -> Shape:
    rows, cols = shape
    return {"pack-quantized": (rows, cols // 8), "gptq_v2": (cols // 8, rows), "awq": (cols, rows // 8)}[name]


def to_pack(name: str) -> Callable[[Shape, str], Arrays]:
    def arrays(shape: Shape, dtype: str) -> Arrays:
        q = integers(shape, 0, 15).view(np.uint8)
        return Arrays({"q": q}, {"words": output(word_shape(name, shape), np.int32)})

    return arrays


def expected_words(name: str) -> Callable[[Arrays], tuple[Any, ...]]:
    layout, is_turned = LAYOUTS[name]

    def expected(a: Arrays) -> tuple[Any, ...]:
        words = reference.pack_bits(a.q, BITS, "int32", **layout)
        return (np.ascontiguousarray(words.T) if is_turned else words,)

    return expected


def tersor_pack(name: str) -> Callable[[Arrays], Call]:
    layout, is_turned = LAYOUTS[name]
    return lambda a: Call(tersor.pack_bits, a.q, BITS, word="int32", **layout, out=a.words.T if is_turned else a.words)


def slices(name: str, q: Any) -> list[Any]:
    """The codes that go to each nibble of the words."""
    if name == "awq":
        return [q[place::8].T for place in AWQ_ORDER]
    return [q[:, place::8].T if name == "gptq_v2" else q[:, place::8] for place in range(8)]


def numpy_pack(name: str) -> Callable[[Arrays], Call]:
    def make(a: Arrays) -> Call:
        parts = slices(name, a.q)

        def pack() -> None:
            a.words.fill(0)
            for nibble, part in enumerate(parts):
                np.bitwise_or(a.words, part.astype(np.int32) << (BITS * nibble), out=a.words)

        return Call(pack)

    return make


def torch_pack(name: str) -> Callable[[Arrays], Call]:
    def make(a: Arrays) -> Call:
        import torch

        parts, words = slices(name, as_torch(a.q)), as_torch(a.words)

        def pack() -> None:
            words.zero_()
            for nibble, part in enumerate(parts):
                words.bitwise_or_(part.to(torch.int32) << (BITS * nibble))

        return Call(pack)

    return make


def package_pack(a: Arrays) -> Call:
    from compressed_tensors.compressors.quantized_compressors.pack_quantized import pack_to_int32

    signed = as_torch((a.q ^ 8).view(np.int8) << 4 >> 4)
    return Call(pack_to_int32, signed, BITS)


# --- decode --------------------------------------------------------------------------------------------------------------


def to_decode(name: str) -> Callable[[Shape, str], Arrays]:
    def arrays(shape: Shape, dtype: str) -> Arrays:
        w = np.random.default_rng(0).standard_normal(shape, np.float32)
        tensors = formats.encode(name, w.astype(np.float16), group_size=GROUP)
        return Arrays(dict(tensors), {"out": output(shape, dtype_named(dtype))})

    return arrays


def codes_of(name: str, a: Arrays) -> tersor.Quantized:
    return formats.codes(name, a.inputs)


def expected_numbers(name: str, dtype: str) -> Callable[[Arrays], tuple[Any, ...]]:
    def expected(a: Arrays) -> tuple[Any, ...]:
        t = codes_of(name, a)
        return (
            reference.dequantize(t.q, t.scale, None, dtype_named(dtype), granularity="group", group_size=GROUP, bits=BITS),
        )

    return expected


def numpy_decode(name: str) -> Callable[[Arrays], Call]:
    def make(a: Arrays) -> Call:
        words = next(iter(tensor for key, tensor in a.inputs.items() if key in ("weight_packed", "qweight")))
        scale: Array = codes_of(name, a).scale.astype(np.float32)
        codes = np.empty(a.out.shape, np.int8)
        parts = slices(name, codes)
        numbers = a.out if a.out.dtype == np.float32 else np.empty(a.out.shape, np.float32)

        def decode() -> None:
            for nibble, part in enumerate(parts):
                part[...] = ((words >> (BITS * nibble)) & 0x0F) - 8
            groups = numbers.reshape(-1, GROUP)
            np.multiply(codes.reshape(-1, GROUP), scale.reshape(-1, 1), out=groups)
            if numbers is not a.out:
                a.out[...] = numbers

        return Call(decode)

    return make


# --- the table -----------------------------------------------------------------------------------------------------------

OPERATIONS = [
    *(
        Operation(
            family="formats",
            name="pack_bits",
            variant=f"int4 words of {name}",
            arrays=to_pack(name),
            expected=expected_words(name),
            tersor=tersor_pack(name),
            numpy=numpy_pack(name),
            peers={"torch": torch_pack(name)} | ({"compressed-tensors": package_pack} if name == "pack-quantized" else {}),
            unchecked=frozenset({"compressed-tensors"}),
            goals={LARGE: floor(1.5)},
            sizes=MATRIX,
            whole=True,
        )
        for name in LAYOUTS
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
            goals={LARGE: floor(goal)},
            sizes=MATRIX,
            whole=True,
            dtype=dtype,
        )
        for name in LAYOUTS
        for dtype, goal in (("float32", 1.3), ("bfloat16", 1.5))
    ),
]
