"""Thresholds, masks and counts. Pruning by rank stands in ``prune_ranked.py``, by pattern in ``prune_pattern.py``."""

from __future__ import annotations

import functools
from typing import Any

import numpy as np
import tersor
from tersor import reference

from bench.goals import NUMPY_CALL, floor
from bench.operands import EPS, aligned, empty, mask, output, sparse_weights, weights, with_last
from bench.operation import LARGE, MEDIUM, SIZES, SMALL, Array, Arrays, Call, Operation, Shape
from bench.peers import as_torch

# --- operands ------------------------------------------------------------------------------------------------------


def in_place(shape: Shape, dtype: str) -> Arrays:
    w = weights(shape, dtype)
    return Arrays({"w": w}, {"w": w})


def with_output(shape: Shape, dtype: str) -> Arrays:
    w = weights(shape, dtype)
    return Arrays({"w": w}, {"out": output(shape, w.dtype)})


def with_mask_output(shape: Shape, dtype: str) -> Arrays:
    return Arrays({"w": weights(shape, dtype)}, {"out": output(shape, np.bool_)})


def with_bits_output(shape: Shape, dtype: str) -> Arrays:
    bits = output(with_last(shape, -(-shape[-1] // 8)), np.uint8)
    return Arrays({"w": weights(shape, dtype)}, {"out": bits})


def with_mask(shape: Shape, dtype: str) -> Arrays:
    w = weights(shape, dtype)
    return Arrays({"w": w, "mask": mask(shape)}, {"out": output(shape, w.dtype)})


def with_bits(shape: Shape, dtype: str) -> Arrays:
    w = weights(shape, dtype)
    return Arrays({"w": w, "mask": aligned(reference.pack_mask(mask(shape)))}, {"out": output(shape, w.dtype)})


def sparse(shape: Shape, dtype: str) -> Arrays:
    return Arrays({"w": sparse_weights(shape, dtype)})


# --- NumPy ---------------------------------------------------------------------------------------------------------


def numpy_prune(a: Arrays) -> Call:
    # Multiplying by the mask takes a quarter of the time of np.where or of masked assignment.
    magnitude = empty(a.w.shape, a.w.dtype) if a.in_place else a.out
    out: Array = a.w if a.in_place else a.out
    keep = empty(a.w.shape, np.bool_)

    def prune() -> None:
        np.abs(a.w, out=magnitude)
        np.greater_equal(magnitude, EPS, out=keep)
        np.multiply(a.w, keep, out=out)

    return Call(prune)


def numpy_mask(a: Arrays) -> Call:
    magnitude = empty(a.w.shape, a.w.dtype)

    def mask_threshold() -> None:
        np.abs(a.w, out=magnitude)
        np.greater_equal(magnitude, EPS, out=a.out)

    return Call(mask_threshold)


def numpy_mask_packed(a: Arrays) -> Call:
    magnitude, keep = empty(a.w.shape, a.w.dtype), empty(a.w.shape, np.bool_)

    def mask_threshold() -> None:
        np.abs(a.w, out=magnitude)
        np.greater_equal(magnitude, EPS, out=keep)
        a.out[...] = np.packbits(keep, axis=-1, bitorder="little")

    return Call(mask_threshold)


def numpy_apply_bits(a: Arrays) -> Call:
    def apply_mask() -> None:
        keep = np.unpackbits(a.mask, axis=-1, count=a.w.shape[-1], bitorder="little")
        np.multiply(a.w, keep.view(np.bool_), out=a.out)

    return Call(apply_mask)


def numpy_count(a: Arrays) -> Call:
    nonzero = empty(a.w.shape, np.bool_)

    def count() -> int:
        # Counting bools is vectorised, counting floats is not.
        np.not_equal(a.w, 0, out=nonzero)
        return int(np.count_nonzero(nonzero))

    return Call(count)


# --- a multiple of the mean ------------------------------------------------------------------------------------------

# Of normally distributed weights it removes half, as EPS does.
FACTOR = 0.8453


def expected_mean(a: Arrays) -> tuple[Array]:
    return (reference.prune_threshold(a.w, reference.mean_threshold(a.w, FACTOR)),)


def numpy_mean(a: Arrays) -> Call:
    keep = empty(a.w.shape, np.bool_)

    def prune() -> None:
        # NumPy adds up bfloat16 in bfloat16 unless told otherwise.
        magnitude = np.abs(a.w, out=a.out)
        np.greater_equal(magnitude, a.w.dtype.type(FACTOR * magnitude.mean(dtype=np.float32)), out=keep)
        np.multiply(a.w, keep, out=a.out)

    return Call(prune)


def torch_mean(a: Arrays) -> Call:
    import torch

    w, out = as_torch(a.w), as_torch(a.out)

    def prune() -> None:
        mean = torch.linalg.vector_norm(w, 1, dtype=torch.float32) / w.numel()
        torch.ops.aten.hardshrink.out(w, float(FACTOR * mean), out=out)

    return Call(prune)


# --- torch and numba -----------------------------------------------------------------------------------------------


def torch_hardshrink(a: Arrays) -> Call:
    import torch

    w = as_torch(a.w)
    return Call(torch.ops.aten.hardshrink.out, w, EPS, out=w if a.in_place else as_torch(a.out))


def torch_apply_mask(a: Arrays) -> Call:
    import torch

    return Call(torch.mul, as_torch(a.w), as_torch(a.mask), out=as_torch(a.out))


def torch_count(a: Arrays) -> Call:
    import torch

    return Call(torch.count_nonzero, as_torch(a.w))


@functools.cache
def numba_kernels() -> tuple[Any, Any]:
    """The two loops, compiled once."""
    from numba import njit, prange

    @njit(parallel=True)
    def prune(w: Array, eps: Any, out: Array) -> None:
        for i in prange(w.size):
            out[i] = w[i] if abs(w[i]) >= eps else 0

    @njit(parallel=True)
    def count(w: Array) -> int:
        total = 0
        for i in prange(w.size):
            total += w[i] != 0
        return total

    return prune, count


def numba_prune(a: Arrays) -> Call:
    out = a.w if a.in_place else a.out
    return Call(numba_kernels()[0], a.w.reshape(-1), a.w.dtype.type(EPS), out.reshape(-1))


def numba_count(a: Arrays) -> Call:
    return Call(numba_kernels()[1], a.w.reshape(-1))


# --- the table -----------------------------------------------------------------------------------------------------

OPERATIONS = [
    Operation(
        family="prune",
        name="prune_threshold",
        variant="in place",
        arrays=in_place,
        expected=lambda a: (reference.prune_threshold(a.w, EPS),),
        tersor=lambda a: Call(tersor.prune_threshold, a.w, EPS, out=a.w),
        numpy=numpy_prune,
        peers={"torch hardshrink": torch_hardshrink, "numba": numba_prune},
        goals={SMALL: NUMPY_CALL, LARGE: floor(1.0)},
    ),
    Operation(
        family="prune",
        name="prune_threshold",
        variant="out=",
        arrays=with_output,
        expected=lambda a: (reference.prune_threshold(a.w, EPS),),
        tersor=lambda a: Call(tersor.prune_threshold, a.w, EPS, out=a.out),
        numpy=numpy_prune,
        peers={"torch hardshrink": torch_hardshrink, "numba": numba_prune},
        goals={SMALL: NUMPY_CALL, LARGE: floor(1.1)},
    ),
    Operation(
        family="prune",
        name="mask_threshold",
        variant="packed",
        arrays=with_bits_output,
        expected=lambda a: (reference.pack_mask(reference.mask_threshold(a.w, EPS)),),
        tersor=lambda a: Call(tersor.mask_threshold, a.w, EPS, packed=True, out=a.out),
        numpy=numpy_mask_packed,
        goals={SMALL: NUMPY_CALL, LARGE: floor(1.1)},
    ),
    Operation(
        family="prune",
        name="mask_threshold",
        variant="bool",
        arrays=with_mask_output,
        expected=lambda a: (reference.mask_threshold(a.w, EPS),),
        tersor=lambda a: Call(tersor.mask_threshold, a.w, EPS, out=a.out),
        numpy=numpy_mask,
        goals={SMALL: NUMPY_CALL},
    ),
    Operation(
        family="prune",
        name="apply_mask",
        variant="bool",
        arrays=with_mask,
        expected=lambda a: (reference.apply_mask(a.w, a.mask),),
        tersor=lambda a: Call(tersor.apply_mask, a.w, a.mask, out=a.out),
        numpy=lambda a: Call(np.multiply, a.w, a.mask, out=a.out),
        peers={"torch mul": torch_apply_mask},
        goals={SMALL: NUMPY_CALL},
    ),
    Operation(
        family="prune",
        name="apply_mask",
        variant="packed",
        arrays=with_bits,
        expected=lambda a: (reference.apply_mask(a.w, reference.unpack_mask(a.mask, a.w.shape[-1])),),
        tersor=lambda a: Call(tersor.apply_mask, a.w, a.mask, out=a.out),
        numpy=numpy_apply_bits,
        goals={SMALL: NUMPY_CALL},
    ),
    Operation(
        family="prune",
        name="count_nonzero",
        variant="",
        arrays=sparse,
        expected=lambda a: (reference.count_nonzero(a.w),),
        tersor=lambda a: Call(tersor.count_nonzero, a.w),
        numpy=numpy_count,
        peers={"torch": torch_count, "numba": numba_count},
        goals={SMALL: NUMPY_CALL, LARGE: floor(0.95)},
    ),
    *(
        Operation(
            family="prune",
            name="prune_mean",
            variant="50 %",
            dtype=dtype,
            arrays=with_output,
            sizes={size: SIZES[size] for size in (MEDIUM, LARGE)},
            expected=expected_mean,
            tersor=lambda a: Call(tersor.prune_mean, a.w, FACTOR, out=a.out),
            numpy=numpy_mean,
            peers={"torch hardshrink": torch_mean},
            # Their mean is one of float32.
            unchecked=frozenset({"numpy", "torch hardshrink"}),
            read_before=("w",),
            whole=True,
        )
        for dtype in ("float32", "bfloat16")
    ),
]
