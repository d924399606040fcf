"""Refusals of matmul_bitmask."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import tersor
from refusals import F16, F32, F64, Row, codes, floats, mask, octets


def weight(rows: int, cols: int, dtype: Any = F32, **parts: Any) -> Any:
    """All ones, with other parts where these are given."""
    bits = np.packbits(mask(rows, cols), axis=-1, bitorder="little")
    offsets = np.arange(rows, dtype=np.int64) * cols
    ones = {"values": floats(rows * cols, dtype=dtype), "bits": bits, "row_offsets": offsets, "shape": (rows, cols)}
    return tersor.BitmaskTensor(**{**ones, **parts})


ARGUMENTS_OF_MATMUL: list[tuple[str, str, Callable[[Any], Any]]] = [
    ("matmul_bitmask", "x", lambda a: tersor.matmul_bitmask(a, weight(3, 16))),
    ("matmul_bitmask", "t.values", lambda a: tersor.matmul_bitmask(floats(2, 16), weight(3, 16, values=a))),
    ("matmul_bitmask", "t.bits", lambda a: tersor.matmul_bitmask(floats(2, 16), weight(3, 16, bits=a))),
    ("matmul_bitmask", "out", lambda a: tersor.matmul_bitmask(floats(2, 16), weight(3, 16), out=a)),
]

# fmt: off
REFUSALS_OF_MATMUL = [
    Row("int8 rows to multiply", TypeError, "x", r"must be float32",
        lambda: tersor.matmul_bitmask(codes(16), weight(3, 16))),
    Row("int8 values to multiply", TypeError, "t.values", r"must be float32",
        lambda: tersor.matmul_bitmask(floats(16), weight(3, 16, values=codes(48)))),
    Row("float16 rows for a float32 weight", TypeError, "x", r"must be float32, as t\.values is",
        lambda: tersor.matmul_bitmask(floats(16, dtype=F16), weight(3, 16))),
    Row("bool bits of a weight", TypeError, "t.bits", r"must be uint8",
        lambda: tersor.matmul_bitmask(floats(16), weight(3, 16, bits=mask(3, 2)))),
    Row("int32 row offsets", TypeError, "t.row_offsets", r"must be int64",
        lambda: tersor.matmul_bitmask(floats(16), weight(3, 16, row_offsets=np.zeros(3, np.int32)))),
    Row("a product of another dtype", TypeError, "out", r"must be float32, as x is",
        lambda: tersor.matmul_bitmask(floats(16), weight(3, 16), out=floats(3, dtype=F64))),
    Row("a dense weight", TypeError, "t", r"must be a BitmaskTensor.*compress",
        lambda: tersor.matmul_bitmask(floats(16), floats(3, 16))),
    Row("rows of fewer columns than the weight", ValueError, "x", r"the columns of t, 16",
        lambda: tersor.matmul_bitmask(floats(2, 15), weight(3, 16))),
    Row("a number to multiply", ValueError, "x", r"at least one dimension",
        lambda: tersor.matmul_bitmask(floats(), weight(3, 16))),
    Row("a product of another shape", ValueError, "out", r"must have shape \(2, 3\)",
        lambda: tersor.matmul_bitmask(floats(2, 16), weight(3, 16), out=floats(3, 2))),
    Row("a weight of three dimensions", ValueError, "t", r"two dimensions of a matrix",
        lambda: tersor.matmul_bitmask(floats(16), weight(3, 16, shape=(3, 1, 16)))),
    Row("a weight of negative length", ValueError, "t.shape", r"no negative",
        lambda: tersor.matmul_bitmask(floats(16), weight(3, 16, shape=(-3, 16)), out=floats(3))),
    Row("bits of another shape", ValueError, "t.bits", r"3 rows of 16 columns it must have shape \(3, 2\)",
        lambda: tersor.matmul_bitmask(floats(16), weight(3, 16, bits=octets(3, 3)))),
    Row("row offsets with the end", ValueError, "t.row_offsets", r"it must have shape \(3,\)",
        lambda: tersor.matmul_bitmask(floats(16), weight(3, 16, row_offsets=np.arange(4) * 16))),
    Row("values in two dimensions", ValueError, "t.values", r"must have one dimension",
        lambda: tersor.matmul_bitmask(floats(16), weight(3, 16, values=floats(3, 16)))),
    Row("row offsets that decrease", ValueError, "t.row_offsets", r"never decrease.*compress the weight again",
        lambda: tersor.matmul_bitmask(floats(16), weight(3, 16, row_offsets=np.array([0, 32, 16])))),
    Row("row offsets beyond the values", ValueError, "t.row_offsets", r"within the 48 entries of t\.values",
        lambda: tersor.matmul_bitmask(floats(16), weight(3, 16, row_offsets=np.array([0, 16, 49])))),
    Row("values without rows", ValueError, "t.row_offsets", r"within the 1 entries",
        lambda: tersor.matmul_bitmask(floats(16), weight(0, 16, values=floats(1)))),
    Row("fewer bits than values", ValueError, "t.bits", r"number of values in row 0; compress the weight again",
        lambda: tersor.matmul_bitmask(floats(16), weight(3, 16, bits=octets(3, 2)))),
    Row("values that are not adjacent", ValueError, "t.values", r"ascontiguousarray.*\.contiguous\(\)",
        lambda: tersor.matmul_bitmask(floats(16), weight(3, 16, values=floats(96)[::2]))),
    Row("a product on its rows", ValueError, "out", r"separate memory",
        lambda: (lambda x: tersor.matmul_bitmask(x, weight(16, 16), out=x))(floats(2, 16))),
    Row("a product on the weight", ValueError, "out", r"overlaps t\.values.*separate memory",
        lambda: (lambda t: tersor.matmul_bitmask(floats(16), t, out=t.values[:3]))(weight(3, 16))),
]
# fmt: on
