"""Sparse arrays to their nonzero entries and back."""

from __future__ import annotations

import functools

import numpy as np
import tersor
from tersor import reference

from bench.goals import Goal, floor
from bench.operands import aligned, mask, output, sparse_weights, weights, with_last
from bench.operation import LARGE, MEDIUM, SIZES, Array, Arrays, Call, Operation, Shape
from bench.peers import as_torch

TWO_SIZES = {MEDIUM: SIZES[MEDIUM], LARGE: SIZES[LARGE]}

# --- any sparsity ----------------------------------------------------------------------------------------------------


def parts(t: tersor.BitmaskTensor) -> dict[str, Array]:
    return {"values": aligned(t.values), "bits": aligned(t.bits), "row_offsets": aligned(t.row_offsets)}


def dense(shape: Shape, dtype: str) -> Arrays:
    """The outputs are there for their bytes: what is compressed comes in new arrays."""
    w = sparse_weights(shape, dtype)
    return Arrays({"w": w}, parts(tersor.compress_bitmask(w)))


def compressed(shape: Shape, dtype: str) -> Arrays:
    w = sparse_weights(shape, dtype)
    return Arrays(parts(tersor.compress_bitmask(w)), {"out": output(shape, w.dtype)})


def weight(a: Arrays) -> tersor.BitmaskTensor:
    return tersor.BitmaskTensor(a.values, a.bits, a.row_offsets, a.out.shape)


def call_compress(w: Array, out: Array | None) -> tuple[Array, Array, Array]:
    t = tersor.compress_bitmask(w, out=out)
    return t.values, t.bits, t.row_offsets


def numpy_compress(a: Arrays) -> Call:
    def compress() -> None:
        keep = a.w != 0
        counts = np.count_nonzero(keep, axis=-1)
        a.values[...] = a.w[keep]
        a.bits[...] = np.packbits(keep, axis=-1, bitorder="little")
        a.row_offsets[...] = np.cumsum(counts) - counts

    return Call(compress)


def numpy_decompress(a: Arrays) -> Call:
    def decompress() -> None:
        keep = np.unpackbits(a.bits, axis=-1, count=a.out.shape[-1], bitorder="little").view(np.bool_)
        a.out.fill(0)
        a.out[keep] = a.values

    return Call(decompress)


def package_compress(a: Arrays) -> Call:
    from compressed_tensors.compressors.sparse_compressors.sparse_bitmask import bitmask_compress

    return Call(bitmask_compress, as_torch(a.w))


def package_decompress(a: Arrays) -> Call:
    from compressed_tensors.compressors.sparse_compressors.sparse_bitmask import bitmask_decompress

    return Call(bitmask_decompress, as_torch(a.values), as_torch(a.bits), a.out.shape)


def scipy_rows(a: Arrays) -> Call:
    """Four bytes an entry for its column, where a bit does."""
    from scipy.sparse import csr_array

    return Call(csr_array, a.w)


# --- 2:4 -------------------------------------------------------------------------------------------------------------


def two_of_four(layout: str, shape: Shape, dtype: str) -> Arrays:
    w = tersor.prune_nm(weights(shape, dtype), 2, 4)
    values, metadata = tersor.compress_24(w, layout=layout)
    return Arrays({"w": w}, {"values": aligned(values), "metadata": aligned(metadata)})


def halves(layout: str, shape: Shape, dtype: str) -> Arrays:
    dense = two_of_four(layout, shape, dtype)
    return Arrays({"values": dense.values, "metadata": dense.metadata}, {"out": output(shape, dense.w.dtype)})


def numpy_compress_24(a: Arrays) -> Call:
    def compress() -> None:
        keep = a.w != 0
        a.values[...] = a.w[keep].reshape(a.values.shape)
        a.metadata[...] = np.packbits(keep, axis=-1, bitorder="little")

    return Call(compress)


def numpy_decompress_24(a: Arrays) -> Call:
    def decompress() -> None:
        keep = np.unpackbits(a.metadata, axis=-1, count=a.out.shape[-1], bitorder="little").view(np.bool_)
        a.out.fill(0)
        a.out[keep] = a.values.reshape(-1)

    return Call(decompress)


def package_compress_24(a: Arrays) -> Call:
    from compressed_tensors.compressors.sparse_compressors.sparse_24_bitmask import sparse24_bitmask_compress

    return Call(sparse24_bitmask_compress, as_torch(a.w))


def package_decompress_24(a: Arrays) -> Call:
    from compressed_tensors.compressors.sparse_compressors.sparse_24_bitmask import sparse24_bitmask_decompress

    return Call(sparse24_bitmask_decompress, as_torch(a.values), as_torch(a.metadata), a.out.shape)


def torch_cutlass(a: Arrays) -> Call:
    from torch.sparse._semi_structured_conversions import sparse_semi_structured_from_dense_cutlass

    return Call(sparse_semi_structured_from_dense_cutlass, as_torch(a.w))


def numpy_cutlass(a: Arrays) -> Call:
    return Call(reference.compress_24, a.w, "cutlass")


# --- logic on packed masks ---------------------------------------------------------------------------------------------


def two_masks(shape: Shape, dtype: str) -> Arrays:
    bits = aligned(reference.pack_mask(mask(shape)))
    return Arrays({"a": bits, "b": aligned(bits[::-1])}, {"out": output(with_last(shape, -(-shape[-1] // 8)), np.uint8)})


def one_mask(shape: Shape, dtype: str) -> Arrays:
    return Arrays({"bits": aligned(reference.pack_mask(mask(shape)))})


def numpy_count(a: Arrays) -> Call:
    return Call(lambda: int(np.bitwise_count(a.bits).sum(dtype=np.int64)))


# --- the table -----------------------------------------------------------------------------------------------------------


def compress_row(dtype: str, goal: Goal | None = None) -> Operation:
    """With the goal, into memory that was used before; else into new memory, as the others do."""
    return Operation(
        family="compress",
        name="compress_bitmask",
        variant="50 %, out=" if goal else "50 %",
        dtype=dtype,
        arrays=dense,
        sizes=TWO_SIZES,
        expected=lambda a: reference.compress_bitmask(a.w),
        tersor=lambda a: Call(call_compress, a.w, a.values if goal else None),
        numpy=numpy_compress,
        peers={"compressed-tensors": package_compress} | ({"scipy csr": scipy_rows} if dtype == "float32" else {}),
        unchecked=frozenset({"compressed-tensors", "scipy csr"}),  # their results are not in the outputs
        returns=True,
        whole=True,
        goals={LARGE: goal} if goal else {},
    )


def decompress_row(dtype: str, goal: Goal) -> Operation:
    return Operation(
        family="compress",
        name="decompress_bitmask",
        variant="50 %",
        dtype=dtype,
        arrays=compressed,
        sizes=TWO_SIZES,
        expected=lambda a: (reference.decompress_bitmask(a.values, a.bits, a.out.shape),),
        tersor=lambda a: Call(tersor.decompress_bitmask, weight(a), out=a.out),
        numpy=numpy_decompress,
        peers={"compressed-tensors": package_decompress},
        unchecked=frozenset({"compressed-tensors"}),
        whole=True,
        goals={LARGE: goal},
    )


OPERATIONS = [
    compress_row("float32", floor(1.4)),
    compress_row("bfloat16", floor(1.6)),
    compress_row("float32"),
    compress_row("bfloat16"),
    decompress_row("float32", floor(1.3)),
    decompress_row("bfloat16", floor(1.5)),
    Operation(
        family="compress",
        name="compress_24",
        variant="bitmask",
        dtype="bfloat16",
        arrays=functools.partial(two_of_four, "bitmask"),
        sizes=TWO_SIZES,
        expected=lambda a: reference.compress_24(a.w),
        tersor=lambda a: Call(tersor.compress_24, a.w, out=(a.values, a.metadata)),
        numpy=numpy_compress_24,
        peers={"compressed-tensors": package_compress_24},
        unchecked=frozenset({"compressed-tensors"}),
        returns=True,
        whole=True,
        goals={LARGE: floor(1.6)},
    ),
    Operation(
        family="compress",
        name="decompress_24",
        variant="bitmask",
        dtype="bfloat16",
        arrays=functools.partial(halves, "bitmask"),
        sizes=TWO_SIZES,
        expected=lambda a: (reference.decompress_24(a.values, a.metadata),),
        tersor=lambda a: Call(tersor.decompress_24, a.values, a.metadata, out=a.out),
        numpy=numpy_decompress_24,
        peers={"compressed-tensors": package_decompress_24},
        unchecked=frozenset({"compressed-tensors"}),
        whole=True,
    ),
    Operation(
        family="compress",
        name="compress_24",
        variant="cutlass",
        dtype="bfloat16",
        arrays=functools.partial(two_of_four, "cutlass"),
        sizes={LARGE: SIZES[LARGE]},
        expected=lambda a: reference.compress_24(a.w, "cutlass"),
        tersor=lambda a: Call(tersor.compress_24, a.w, layout="cutlass", out=(a.values, a.metadata)),
        numpy=numpy_cutlass,
        peers={"torch": torch_cutlass},
        unchecked=frozenset({"numpy", "torch"}),
        returns=True,
        whole=True,
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
