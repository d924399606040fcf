"""Sparse arrays to their nonzero entries and back."""

from __future__ import annotations

import functools

import numpy as np
import tersor
from tersor import reference

from bench.goals import Goal, floor
from bench.operands import aligned, output, sparse_weights, weights
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


def numpy_kept(w: Array) -> tuple[Array, Array]:
    """Going by positions takes a fifth of the time of ``w[keep]``."""
    keep = w != 0
    return keep, w.reshape(-1)[np.flatnonzero(keep)]


def numpy_scatter(bits: Array, values: Array, out: Array) -> None:
    keep = np.unpackbits(bits, axis=-1, count=out.shape[-1], bitorder="little")
    out.fill(0)
    out.reshape(-1)[np.flatnonzero(keep)] = values.reshape(-1)


def numpy_compress(a: Arrays) -> Call:
    def compress() -> None:
        keep, a.values[...] = numpy_kept(a.w)
        counts = np.count_nonzero(keep, axis=-1)
        a.bits[...] = np.packbits(keep, axis=-1, bitorder="little")
        a.row_offsets[...] = np.cumsum(counts) - counts

    return Call(compress)


def numpy_decompress(a: Arrays) -> Call:
    return Call(numpy_scatter, a.bits, a.values, a.out)


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
    """For groups with two nonzeros, as pruning leaves nearly all."""

    def compress() -> None:
        keep, values = numpy_kept(a.w)
        a.values.reshape(-1)[...] = values
        a.metadata[...] = np.packbits(keep, axis=-1, bitorder="little")

    return Call(compress)


def numpy_decompress_24(a: Arrays) -> Call:
    return Call(numpy_scatter, a.metadata, a.values, a.out)


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
]
