"""Two 4-bit integers a byte."""

from __future__ import annotations

from typing import Any

import numpy as np
import tersor
from tersor import reference

from bench.goals import NUMPY_CALL, floor
from bench.operands import aligned, empty, integers, output, with_last
from bench.operation import LARGE, SMALL, Array, Arrays, Call, Operation, Shape
from bench.peers import as_torch, compiled


def to_pack(shape: Shape, dtype: str) -> Arrays:
    return Arrays({"q": integers(shape, -8, 7)}, {"out": output(with_last(shape, -(-shape[-1] // 2)), np.uint8)})


def to_unpack(shape: Shape, dtype: str) -> Arrays:
    packed = aligned(reference.pack_int4(integers(shape, -8, 7)))
    return Arrays({"packed": packed}, {"out": output(shape, np.int8)})


def columns(packed: Array) -> int:
    """How many the nibbles stand for: all sizes here are even."""
    return 2 * int(packed.shape[-1])


def numpy_pack(a: Arrays) -> Call:
    low, high = a.q[..., 0::2].view(np.uint8), a.q[..., 1::2].view(np.uint8)
    shifted = empty(a.out.shape, np.uint8)

    def pack() -> None:
        np.bitwise_and(low, 0x0F, out=a.out)
        np.left_shift(high, 4, out=shifted)
        np.bitwise_or(a.out, shifted, out=a.out)

    return Call(pack)


def numpy_unpack(a: Arrays) -> Call:
    low, high = a.out[..., 0::2], a.out[..., 1::2]
    packed = a.packed.view(np.int8)

    def unpack() -> None:
        # Shifting left and back carries the sign.
        np.left_shift(packed, 4, out=low)
        np.right_shift(low, 4, out=low)
        np.right_shift(packed, 4, out=high)

    return Call(unpack)


def pack_formula(q: Any, out: Any) -> None:
    """What torch users write."""
    import torch

    nibbles = q.view(torch.uint8)
    out.copy_((nibbles[..., 0::2] & 0x0F) | (nibbles[..., 1::2] << 4))


def torch_pack(a: Arrays) -> Call:
    return Call(pack_formula, as_torch(a.q), as_torch(a.out))


def compiled_pack(a: Arrays) -> Call:
    return Call(compiled(pack_formula), as_torch(a.q), as_torch(a.out))


OPERATIONS = [
    Operation(
        family="pack",
        name="pack_int4",
        variant="",
        dtype="int8",
        arrays=to_pack,
        expected=lambda a: (reference.pack_int4(a.q),),
        tersor=lambda a: Call(tersor.pack_int4, a.q, out=a.out),
        numpy=numpy_pack,
        peers={"torch": torch_pack, "torch compile": compiled_pack},
        goals={SMALL: NUMPY_CALL, LARGE: floor(1.2)},
    ),
    Operation(
        family="pack",
        name="unpack_int4",
        variant="",
        dtype="int8",
        arrays=to_unpack,
        expected=lambda a: (reference.unpack_int4(a.packed, columns(a.packed)),),
        tersor=lambda a: Call(tersor.unpack_int4, a.packed, columns(a.packed), out=a.out),
        numpy=numpy_unpack,
        goals={SMALL: NUMPY_CALL},
    ),
]
