"""Masks to bits and back; logic on bits."""

from __future__ import annotations

import numpy as np
import tersor
from tersor import reference

from bench.goals import NUMPY_CALL, floor
from bench.operands import aligned, mask, output, with_last
from bench.operation import LARGE, SMALL, Array, Arrays, Call, Operation, Shape


def to_pack(shape: Shape, dtype: str) -> Arrays:
    return Arrays({"mask": mask(shape)}, {"out": output(with_last(shape, -(-shape[-1] // 8)), np.uint8)})


def to_unpack(shape: Shape, dtype: str) -> Arrays:
    return Arrays({"bits": aligned(reference.pack_mask(mask(shape)))}, {"out": output(shape, np.bool_)})


def numpy_pack(a: Arrays) -> Call:
    # np.packbits has no out=; what the copy adds is an eighth of the reading.
    def pack() -> None:
        a.out[...] = np.packbits(a.mask, axis=-1, bitorder="little")

    return Call(pack)


def columns(bits: Array) -> int:
    """How many the bits stand for: all sizes here are multiples of 8."""
    return 8 * int(bits.shape[-1])


def numpy_unpack(a: Arrays) -> Call:
    # Without out= either, and copying 8 bytes for each one read would double the work: the result stays in its own array.
    return Call(np.unpackbits, a.bits, axis=-1, count=columns(a.bits), bitorder="little")


# --- logic on packed masks ---------------------------------------------------------------------------------------------


def two_masks(shape: Shape, dtype: str) -> Arrays:
    bits = aligned(reference.pack_mask(mask(shape)))
    return Arrays({"a": bits, "b": aligned(bits[::-1])}, {"out": output(with_last(shape, -(-shape[-1] // 8)), np.uint8)})


def one_mask(shape: Shape, dtype: str) -> Arrays:
    return Arrays({"bits": aligned(reference.pack_mask(mask(shape)))})


def numpy_count(a: Arrays) -> Call:
    return Call(lambda: int(np.bitwise_count(a.bits).sum(dtype=np.int64)))


# --- the table -------------------------------------------------------------------------------------------------------


OPERATIONS = [
    Operation(
        family="bitmask",
        name="pack_mask",
        variant="",
        dtype="bool",
        arrays=to_pack,
        expected=lambda a: (reference.pack_mask(a.mask),),
        tersor=lambda a: Call(tersor.pack_mask, a.mask, out=a.out),
        numpy=numpy_pack,
        goals={SMALL: NUMPY_CALL, LARGE: floor(1.1)},
    ),
    Operation(
        family="bitmask",
        name="unpack_mask",
        variant="",
        dtype="bool",
        arrays=to_unpack,
        expected=lambda a: (reference.unpack_mask(a.bits, columns(a.bits)),),
        tersor=lambda a: Call(tersor.unpack_mask, a.bits, columns(a.bits), out=a.out),
        numpy=numpy_unpack,
        unchecked=frozenset({"numpy"}),  # its result is not in out
        goals={SMALL: NUMPY_CALL, LARGE: floor(1.2)},
    ),
    Operation(
        family="bitmask",
        name="and_masks",
        variant="",
        dtype="bool",
        arrays=two_masks,
        expected=lambda a: (a.a & a.b,),
        tersor=lambda a: Call(tersor.and_masks, a.a, a.b, out=a.out),
        numpy=lambda a: Call(np.bitwise_and, a.a, a.b, out=a.out),
    ),
    Operation(
        family="bitmask",
        name="count_mask",
        variant="",
        dtype="bool",
        arrays=one_mask,
        expected=lambda a: (reference.count_mask(a.bits, 8 * a.bits.shape[-1]),),
        tersor=lambda a: Call(tersor.count_mask, a.bits, 8 * a.bits.shape[-1]),
        numpy=numpy_count,
        whole=True,
    ),
]
