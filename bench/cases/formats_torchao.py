"""Weights to torchao's plain int4, with numbers for zero points, and from it to numbers."""

from __future__ import annotations

from typing import Any

import numpy as np
from tersor import _core, formats
from tersor.reference import formats_float as written_out

from bench.goals import floor
from bench.operands import dtype_named, output, weights
from bench.operation import LARGE, SIZES, Arrays, Call, Operation, Shape
from bench.peers import as_torch

NAME, RUN = "torchao-int4", 128


def to_encode(shape: Shape, dtype: str) -> Arrays:
    rows, cols = shape
    numbers = {key: output((rows, cols // RUN), np.float32) for key in ("scale", "offset")}
    return Arrays({"w": weights(shape, dtype)}, {"packed": output((rows, cols // 2), np.uint8), **numbers})


def expected_parts(a: Arrays) -> tuple[Any, ...]:
    return tuple(part.reshape(len(a.w), -1) for part in written_out.encode_steps(a.w, RUN, False) if part is not None)


def tersor_encode(a: Arrays) -> Call:
    """What formats.encode does, into arrays that are there."""
    return Call(_core.encode_float, a.w, "int4", RUN, 1.0, a.packed, a.scale, a.offset)


def numpy_encode(a: Arrays) -> Call:
    def encode() -> None:
        runs = a.w.reshape(-1, RUN)
        low = runs.min(axis=1, keepdims=True)
        scale = np.maximum(runs.max(axis=1, keepdims=True) - low, np.float32(1e-6)) / np.float32(15)
        np.add(low, scale * np.float32(8), out=a.offset.reshape(-1, 1))
        a.scale.reshape(-1, 1)[...] = scale
        codes = (np.rint((runs - low) / scale).astype(np.uint8) ^ 8).ravel()
        np.bitwise_or(codes[1::2] << 4, codes[::2], out=a.packed.ravel())

    return Call(encode)


def torch_encode(a: Arrays) -> Call:
    """The steps of mslk's quantize and pack functions, on tensors."""
    import torch

    def encode() -> None:
        runs = as_torch(a.w).reshape(-1, RUN)
        low, high = torch.aminmax(runs, dim=1, keepdim=True)
        scale = (high - low).clamp(min=1e-6) / 15
        torch.add(low, scale * 8, out=as_torch(a.offset).view(-1, 1))
        as_torch(a.scale).view(-1, 1).copy_(scale)
        codes = ((runs - low).div(scale).round().clamp_(0, 15) - 8).to(torch.int8).view(a.w.shape)
        packed = (codes[:, 1::2] << 4) | (codes[:, ::2] & 15)
        as_torch(a.packed).copy_(packed.view(torch.uint8))

    return Call(encode)


def to_decode(shape: Shape, dtype: str) -> Arrays:
    return Arrays(dict(formats.encode(NAME, weights(shape, "float32"))), {"out": output(shape, dtype_named(dtype))})


def expected_numbers(a: Arrays) -> tuple[Any, ...]:
    packed = a.inputs["_weight_qdata"].view(np.uint8).ravel()
    scale, offset = (a.inputs[f"_weight_{key}"].T.ravel() for key in ("scale", "zero_point"))
    return (written_out.decode_steps(packed, scale, offset, RUN, a.out.shape, a.out.dtype),)


def numpy_decode(a: Arrays) -> Call:
    packed = a.inputs["_weight_qdata"]
    scale, offset = (np.ascontiguousarray(a.inputs[f"_weight_{key}"].T)[:, :, None] for key in ("scale", "zero_point"))
    numbers = a.out if a.out.dtype == np.float32 else np.empty(a.out.shape, np.float32)

    def decode() -> None:
        numbers[:, ::2], numbers[:, 1::2] = packed << 4 >> 4, packed >> 4
        groups = numbers.reshape(len(numbers), -1, RUN)
        np.multiply(groups, scale, out=groups)
        np.add(groups, offset, out=groups)
        if numbers is not a.out:
            a.out[...] = numbers

    return Call(decode)


OPERATIONS = [
    Operation(
        family="formats",
        name="encode",
        variant=NAME,
        arrays=to_encode,
        expected=expected_parts,
        tersor=tersor_encode,
        numpy=numpy_encode,
        peers={"torch": torch_encode},
        goals={LARGE: floor(1.5)},
        sizes={LARGE: SIZES[LARGE]},
        dtype="float32",
    ),
    *(
        Operation(
            family="formats",
            name="decode",
            variant=f"{NAME} to {dtype}",
            arrays=to_decode,
            expected=expected_numbers,
            tersor=lambda a: Call(formats.decode, NAME, a.inputs, out=a.out),
            numpy=numpy_decode,
            goals={LARGE: floor(goal)},
            sizes={LARGE: SIZES[LARGE]},
            whole=True,
            dtype=dtype,
        )
        for dtype, goal in (("float32", 1.3), ("bfloat16", 1.5))
    ),
]
