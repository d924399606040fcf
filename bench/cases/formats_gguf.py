"""Numbers to blocks of ggml and back: kernels of ``formats.encode`` and ``formats.decode``, on memory that was written."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from tersor import _core, reference
from tersor.reference.formats_gguf import BLOCKS

from bench.goals import Goal, floor, peer
from bench.operands import dtype_named, output, weights
from bench.operation import LARGE, MEDIUM, SIZES, Arrays, Call, MakeCall, Operation, Shape

MATRIX = {LARGE: SIZES[LARGE]}
ENCODE_GOALS = {"q4_0": floor(1.5), "q8_0": floor(1.3)}


def data_shape(kind: str, shape: Shape) -> Shape:
    return shape[0], shape[1] // BLOCKS[kind].cols * BLOCKS[kind].nbytes


def package_type(kind: str) -> Any:
    from gguf.constants import GGMLQuantizationType

    return getattr(GGMLQuantizationType, kind.upper())


# --- encode --------------------------------------------------------------------------------------------------------------


def to_encode(kind: str) -> Callable[[Shape, str], Arrays]:
    def arrays(shape: Shape, dtype: str) -> Arrays:
        return Arrays({"w": weights(shape, dtype)}, {"data": output(data_shape(kind, shape), np.uint8)})

    return arrays


def expected_blocks(kind: str) -> Callable[[Arrays], tuple[Any, ...]]:
    return lambda a: (reference.encode_gguf(a.w, kind),)


def tersor_encode(kind: str) -> Callable[[Arrays], Call]:
    return lambda a: Call(_core.encode_gguf, a.w, kind, a.data)


def numpy_encode(kind: str) -> Callable[[Arrays], Call]:
    return lambda a: Call(lambda: np.copyto(a.data, reference.encode_gguf(a.w, kind)))


def package_encode(kind: str) -> Callable[[Arrays], Call]:
    def make(a: Arrays) -> Call:
        from gguf.quants import quantize

        return Call(lambda: np.copyto(a.data, quantize(a.w, package_type(kind))))

    return make


# --- decode --------------------------------------------------------------------------------------------------------------


def to_decode(kind: str) -> Callable[[Shape, str], Arrays]:
    def arrays(shape: Shape, dtype: str) -> Arrays:
        data = output(data_shape(kind, shape), np.uint8)
        _core.encode_gguf(weights(shape, "float32"), kind, data)
        return Arrays({"data": data}, {"out": output(shape, dtype_named(dtype))})

    return arrays


def expected_numbers(kind: str, dtype: str) -> Callable[[Arrays], tuple[Any, ...]]:
    return lambda a: (reference.decode_gguf(a.data, kind, dtype_named(dtype)),)


def tersor_decode(kind: str) -> Callable[[Arrays], Call]:
    return lambda a: Call(_core.decode_gguf, a.data, kind, a.out)


def package_decode(kind: str) -> Callable[[Arrays], Call]:
    def make(a: Arrays) -> Call:
        from gguf.quants import dequantize

        return Call(lambda: np.copyto(a.out, dequantize(a.data, package_type(kind)).astype(a.out.dtype, copy=False)))

    return make


# --- the table -----------------------------------------------------------------------------------------------------------

SMALL_BLOCKS = [kind for kind, blocks in BLOCKS.items() if blocks.cols == 32]
SUPER_BLOCKS = [kind for kind in BLOCKS if kind not in SMALL_BLOCKS]


def encoding(kind: str, numpy: MakeCall, sizes: Mapping[str, Shape], goals: Mapping[str, Goal]) -> Operation:
    return Operation(
        family="formats",
        name="encode",
        variant=f"gguf-{kind}",
        arrays=to_encode(kind),
        expected=expected_blocks(kind),
        tersor=tersor_encode(kind),
        numpy=numpy,
        sizes=sizes,
        goals=goals,
    )


# The package gguf is NumPy, a few rows at a time.
OPERATIONS = [
    *(encoding(kind, package_encode(kind), MATRIX, {LARGE: ENCODE_GOALS.get(kind, floor(1.5))}) for kind in SMALL_BLOCKS),
    # Bound by the search for scales, which the package does not have. The specification takes seconds for more numbers.
    *(encoding(kind, numpy_encode(kind), {MEDIUM: SIZES[MEDIUM]}, {MEDIUM: peer(20)}) for kind in SUPER_BLOCKS),
    *(
        Operation(
            family="formats",
            name="decode",
            variant=f"gguf-{kind} to {dtype}",
            arrays=to_decode(kind),
            expected=expected_numbers(kind, dtype),
            tersor=tersor_decode(kind),
            numpy=package_decode(kind),
            goals={LARGE: floor(goal)},
            sizes=MATRIX,
            dtype=dtype,
        )
        for dtype, goal, kinds in (("float32", 1.3, tuple(BLOCKS)), ("bfloat16", 1.5, ("q4_0", "q8_0", "q4_k", "q6_k")))
        for kind in kinds
    ),
]
