"""Refusals of compress, and of logic on packed masks."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import tersor
from refusals import F16, F32, F64, Row, codes, floats, mask, octets, overlap_of
from refusals_matmul import weight


def halves(*shape: int) -> Any:
    """Every other entry."""
    w = floats(*shape)
    w[..., ::2] = 0
    return w


def words(*shape: int) -> Any:
    return np.zeros(shape, np.int16)


def places(*numbers: int, dtype: Any = np.int64) -> Any:
    return np.array(numbers, dtype)


ARGUMENTS_OF_COMPRESS: list[tuple[str, str, Callable[[Any], Any]]] = [
    ("compress_bitmask", "w", tersor.compress_bitmask),
    ("decompress_bitmask", "t.values", lambda a: tersor.decompress_bitmask(weight(3, 16, values=a), out=floats(3, 16))),
    ("decompress_bitmask", "t.bits", lambda a: tersor.decompress_bitmask(weight(3, 16, bits=a))),
    ("decompress_bitmask", "out", lambda a: tersor.decompress_bitmask(weight(3, 16), out=a)),
    ("bitmask_from_csr", "values", lambda a: tersor.bitmask_from_csr(a, places(0), places(0, 1), (1, 4))),
    ("compress_bitmask", "out", lambda a: tersor.compress_bitmask(floats(3, 16), out=a)),
    ("compress_24", "w", tersor.compress_24),
    ("compress_24", "values", lambda a: tersor.compress_24(halves(3, 8), out=(a, octets(3, 1)))),
    ("compress_nm", "indices", lambda a: tersor.compress_nm(halves(3, 8), 2, 4, out=(floats(3, 4), a))),
    ("compress_24 cutlass", "w", lambda a: tersor.compress_24(a, layout="cutlass")),
    ("decompress_24", "values", lambda a: tersor.decompress_24(a, octets(3, 2))),
    ("compress_nm", "w", lambda a: tersor.compress_nm(a, 2, 4)),
    ("decompress_nm", "values", lambda a: tersor.decompress_nm(a, octets(3, 2), 2, 4, 16)),
    ("decompress_nm", "indices", lambda a: tersor.decompress_nm(floats(3, 8), a, 2, 4, 16)),
    ("and_masks", "a", lambda a: tersor.and_masks(a, octets(3, 2))),
    ("or_masks", "b", lambda a: tersor.or_masks(octets(3, 2), a)),
    ("xor_masks", "out", lambda a: tersor.xor_masks(octets(3, 2), octets(3, 2), out=a)),
    ("invert_mask", "bits", lambda a: tersor.invert_mask(a, 16)),
    ("invert_mask", "out", lambda a: tersor.invert_mask(octets(3, 2), 16, out=a)),
    ("count_mask", "bits", lambda a: tersor.count_mask(a, 16)),
]

# fmt: off
REFUSALS_OF_COMPRESS = [
    Row("int8 to compress", TypeError, "w", r"must be float32", lambda: tersor.compress_bitmask(codes(3, 4))),
    Row("a number to compress", ValueError, "w", r"at least one dimension", lambda: tersor.compress_bitmask(floats())),
    Row("values of another dtype", TypeError, "out", r"must be float32, as w is",
        lambda: tersor.compress_bitmask(floats(3, 4), out=floats(12, dtype=F64))),
    Row("values in a matrix", ValueError, "out", r"must have one dimension",
        lambda: tersor.compress_bitmask(floats(3, 4), out=floats(3, 4))),
    Row("too few values", ValueError, "out", r"room for 11 values, but w has 12 nonzero entries; pass a longer one",
        lambda: tersor.compress_bitmask(floats(3, 4), out=floats(11))),
    Row("values on the array", ValueError, "out", r"overlap",
        lambda: (lambda w: tersor.compress_bitmask(w, out=w.reshape(-1)))(floats(3, 4))),
    Row("every other value", ValueError, "out", r"ascontiguousarray",
        lambda: tersor.compress_bitmask(floats(3, 4), out=floats(24)[::2])),
    Row("one output for two of 2:4", TypeError, "out", r"pair \(values, metadata\)",
        lambda: tersor.compress_24(halves(3, 8), out=floats(3, 4))),
    Row("one output for two of n:m", TypeError, "out", r"pair \(values, indices\)",
        lambda: tersor.compress_nm(halves(3, 8), 2, 4, out=(floats(3, 4),))),
    Row("values of 2:4 that are too many", ValueError, "values", r"must have shape \(3, 4\)",
        lambda: tersor.compress_24(halves(3, 8), out=(floats(3, 8), octets(3, 1)))),
    Row("a dense array to decompress", TypeError, "t", r"must be a BitmaskTensor.*compress",
        lambda: tersor.decompress_bitmask(floats(3, 4))),
    Row("a compressed number", ValueError, "t", r"at least one dimension|must have shape",
        lambda: tersor.decompress_bitmask(weight(3, 16, shape=()))),
    Row("another shape than the bits have", ValueError, "t.bits", r"3 rows of 24 columns it must have shape \(3, 3\)",
        lambda: tersor.decompress_bitmask(weight(3, 16, shape=(3, 24)))),
    Row("a dense output of another shape", ValueError, "out", r"shape of t, \(3, 16\)",
        lambda: tersor.decompress_bitmask(weight(3, 16), out=floats(16, 3))),
    Row("a dense output of another dtype", TypeError, "out", r"must be float32, as t\.values is",
        lambda: tersor.decompress_bitmask(weight(3, 16), out=floats(3, 16, dtype=F64))),
    Row("a dense output on the values", ValueError, "out", r"overlaps t\.values.*separate memory",
        lambda: (lambda t: tersor.decompress_bitmask(t, out=t.values.reshape(3, 16)))(weight(3, 16))),
    Row("row offsets out of order to decompress", ValueError, "t.row_offsets", r"never decrease.*compress the weight again",
        lambda: tersor.decompress_bitmask(weight(3, 16, row_offsets=places(0, 32, 16)))),
    Row("fewer bits than values to decompress", ValueError, "t.bits", r"row 0; compress the weight again",
        lambda: tersor.decompress_bitmask(weight(3, 16, bits=octets(3, 2)))),
    Row("values that are apart", ValueError, "t.values", r"ascontiguousarray",
        lambda: tersor.decompress_bitmask(weight(3, 16, values=floats(96)[::2]))),
    Row("rows of three dimensions", ValueError, "t", r"two dimensions of a matrix",
        lambda: tersor.bitmask_to_csr(weight(3, 16, shape=(1, 3, 16)))),
    Row("columns of another dtype", ValueError, "dtype", r"'int64' or 'int32'",
        lambda: tersor.bitmask_to_csr(weight(3, 16), dtype="int16")),
    Row("float columns", TypeError, "columns", r"must be int64 or int32",
        lambda: tersor.bitmask_from_csr(floats(2), floats(2), places(0, 1, 2), (2, 4))),
    Row("pointers of another dtype", TypeError, "row_pointers", r"must be int64, as columns is",
        lambda: tersor.bitmask_from_csr(floats(2), places(0, 1), places(0, 1, 2, dtype=np.int32), (2, 4))),
    Row("int8 values of rows", TypeError, "values", r"must be float32",
        lambda: tersor.bitmask_from_csr(codes(2), places(0, 1), places(0, 1, 2), (2, 4))),
    Row("fewer values than columns", ValueError, "values", r"must have shape \(2,\)",
        lambda: tersor.bitmask_from_csr(floats(1), places(0, 1), places(0, 1, 2), (2, 4))),
    Row("pointers of fewer rows", ValueError, "row_pointers", r"must have shape \(3,\)",
        lambda: tersor.bitmask_from_csr(floats(2), places(0, 1), places(0, 2), (2, 4))),
    Row("pointers that decrease", ValueError, "row_pointers", r"never decrease",
        lambda: tersor.bitmask_from_csr(floats(2), places(0, 1), places(0, 3, 2), (2, 4))),
    Row("pointers that end elsewhere", ValueError, "row_pointers", r"end with the 2 entries of columns",
        lambda: tersor.bitmask_from_csr(floats(2), places(0, 1), places(0, 1, 1), (2, 4))),
    Row("columns that descend", ValueError, "columns", r"ascend.*row 1 does not: sum duplicates and sort",
        lambda: tersor.bitmask_from_csr(floats(3), places(0, 2, 1), places(0, 1, 3), (2, 4))),
    Row("a column twice", ValueError, "columns", r"without repetition",
        lambda: tersor.bitmask_from_csr(floats(2), places(1, 1), places(0, 2), (1, 4))),
    Row("a column that is not there", ValueError, "columns", r"stay below 4",
        lambda: tersor.bitmask_from_csr(floats(1), places(4), places(0, 1), (1, 4))),
    Row("a negative column", ValueError, "columns", r"ascend within each row",
        lambda: tersor.bitmask_from_csr(floats(1), places(-1), places(0, 1), (1, 4))),
    Row("columns that are apart", ValueError, "columns", r"ascontiguousarray",
        lambda: tersor.bitmask_from_csr(floats(2), places(0, 9, 1, 9)[::2], places(0, 1, 2), (2, 4))),
    Row("a shape of one number", TypeError, "shape", r"two integers",
        lambda: tersor.bitmask_from_csr(floats(1), places(0), places(0, 1), (4,))),  # type: ignore[arg-type]
    Row("a negative shape", ValueError, "shape", r"no negative",
        lambda: tersor.bitmask_from_csr(floats(1), places(0), places(0, 1), (-1, 4))),
    Row("int8 to store as 2:4", TypeError, "w", r"must be float32", lambda: tersor.compress_24(codes(3, 8))),
    Row("float64 for CUTLASS", TypeError, "w", r"must be float16 or bfloat16 or float32",
        lambda: tersor.compress_24(floats(32, 32, dtype=F64), layout="cutlass")),
    Row("a layout of another name", ValueError, "layout", r"'bitmask' or 'cutlass'",
        lambda: tersor.compress_24(halves(3, 8), layout="cusparselt")),
    Row("a layout of another name to decompress", ValueError, "layout", r"'bitmask' or 'cutlass'",
        lambda: tersor.decompress_24(floats(3, 4), octets(3, 1), layout="rows")),
    Row("six columns of groups of four", ValueError, "w", r"last axis must be a multiple of 4",
        lambda: tersor.compress_24(halves(3, 6))),
    Row("a number to store as 2:4", ValueError, "w", r"at least one dimension", lambda: tersor.compress_24(floats())),
    Row("16 rows for CUTLASS", ValueError, "w", r"first axis must be a multiple of 32",
        lambda: tersor.compress_24(halves(16, 32).astype(F16), layout="cutlass")),
    Row("16 columns of float16 for CUTLASS", ValueError, "w", r"last axis must be a multiple of 32",
        lambda: tersor.compress_24(halves(32, 16).astype(F16), layout="cutlass")),
    Row("three dimensions for CUTLASS", ValueError, "w", r"two dimensions",
        lambda: tersor.compress_24(halves(2, 32, 32), layout="cutlass")),
    Row("three of four", ValueError, "w", r"w\[2, 4:8\] has more than 2 nonzero entries; prune it with prune_nm\(w, 2, 4\)",
        lambda: (lambda w: (w.__setitem__((2, slice(4, 7)), 1), tersor.compress_24(w)))(np.zeros((3, 8), F32))),
    Row("bits of another shape for 2:4", ValueError, "metadata", r"must have shape \(3, 2\)",
        lambda: tersor.decompress_24(floats(3, 8), octets(3, 3))),
    Row("bits for the metadata of CUTLASS", TypeError, "metadata", r"must be int16",
        lambda: tersor.decompress_24(floats(32, 16), octets(32, 4), layout="cutlass")),
    Row("bits that are too many", ValueError, "metadata", r"row 0.*compress the array again",
        lambda: tersor.decompress_24(floats(3, 4), octets(3, 1))),
    Row("codes of one place", ValueError, "metadata", r"row 0.*compress the array again",
        lambda: tersor.decompress_24(floats(32, 16), words(32, 4), layout="cutlass")),
    Row("values of 2:4 that are apart", ValueError, "values", r"ascontiguousarray",
        lambda: tersor.decompress_24(floats(3, 8)[:, ::2], octets(3, 1))),
    Row("a dense output on the values of 2:4", ValueError, "out", r"separate memory",
        lambda: (lambda m: tersor.decompress_24(m[:12].reshape(3, 4), octets(3, 1), out=m[:24].reshape(3, 8)))(floats(24))),
    Row("4:4", ValueError, "m", r"1 <= n < m <= 32", lambda: tersor.compress_nm(floats(3, 8), 4, 4)),
    Row("0:4", ValueError, "n", r"1 <= n < m <= 32", lambda: tersor.compress_nm(floats(3, 8), 0, 4)),
    Row("1:33", ValueError, "m", r"1 <= n < m <= 32", lambda: tersor.compress_nm(floats(3, 66), 1, 33)),
    Row("half a group", TypeError, "n", r"must be an integer", lambda: tersor.compress_nm(floats(3, 8), 1.5, 4)),
    Row("a number to store as n:m", ValueError, "w", r"at least one dimension", lambda: tersor.compress_nm(floats(), 1, 4)),
    Row("two of three", ValueError, "w", r"w\[0, 0:3\] has more than 1 nonzero entry; prune it with prune_nm\(w, 1, 3\)",
        lambda: tersor.compress_nm(halves(3, 9) + 1, 1, 3)),
    Row("values of other columns", ValueError, "values", r"must have shape \(3, 10\)",
        lambda: tersor.decompress_nm(floats(3, 8), octets(3, 2), 2, 4, 20)),
    Row("indices of another length", ValueError, "indices", r"must have shape \(3, 2\)",
        lambda: tersor.decompress_nm(floats(3, 8), octets(3, 3), 2, 4, 16)),
    Row("places that are the same", ValueError, "indices", r"row 0.*compress the array again",
        lambda: tersor.decompress_nm(floats(3, 2), np.zeros((3, 1), np.uint8), 2, 4, 4)),
    Row("a dense output of other columns", ValueError, "out", r"cols = 16",
        lambda: tersor.decompress_nm(floats(3, 8), octets(3, 2), 2, 4, 16, out=floats(3, 20))),
    Row("masks of two shapes", ValueError, "b", r"shape of a, \(3, 2\)",
        lambda: tersor.and_masks(octets(3, 2), octets(2, 3))),
    Row("a bool mask for bits", TypeError, "a", r"must be uint8", lambda: tersor.or_masks(mask(3, 2), mask(3, 2))),
    Row("logic on its input, one byte on", ValueError, "out", r"overlap",
        overlap_of(lambda a, out: tersor.xor_masks(a, octets(16), out=out), octets)),
    Row("bits of other columns to invert", ValueError, "bits", r"does not fit 17 columns.*ceil\(cols / 8\)",
        lambda: tersor.invert_mask(octets(3, 2), 17)),
    Row("bits of negative columns to count", ValueError, "bits", r"does not fit -1 columns",
        lambda: tersor.count_mask(octets(3, 0), -1)),
    Row("a byte to count", ValueError, "bits", r"at least one dimension", lambda: tersor.count_mask(octets(), 8)),
    Row("half a column to count", TypeError, "cols", r"must be an integer", lambda: tersor.count_mask(octets(1), 7.5)),
]
# fmt: on
