"""Arrays to work on: aligned like those that tersor and torch allocate, and quick to fill at any size."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import DTypeLike

from bench.operation import Array, Shape

ALIGNMENT = 64
# Random numbers are dear, so a block of them repeats. It is longer than any branch predictor remembers.
BLOCK = 1 << 20
WEIGHT_SCALE = 0.05
SEED = 20260101
# |w| >= EPS keeps half of normally distributed weights.
EPS = 0.6745 * WEIGHT_SCALE


def dtype_named(name: str) -> np.dtype[Any]:
    if name == "bfloat16":
        import ml_dtypes

        name = ml_dtypes.bfloat16
    dtype: np.dtype[Any] = np.dtype(name)
    return dtype


def empty(shape: Shape, dtype: DTypeLike) -> Array:
    """``np.empty`` on a cache line: NumPy itself aligns large arrays to 16 bytes only."""
    dtype = np.dtype(dtype)
    size = int(np.prod(shape)) * dtype.itemsize
    memory = np.empty(size + ALIGNMENT, np.uint8)
    start = -memory.ctypes.data % ALIGNMENT
    return memory[start : start + size].view(dtype).reshape(shape)


def output(shape: Shape, dtype: DTypeLike) -> Array:
    """Memory that was written before, so that no page fault is timed."""
    array = empty(shape, dtype)
    array.view(np.uint8).fill(0)
    return array


def aligned(array: Array) -> Array:
    """A copy on a cache line."""
    copy = empty(array.shape, array.dtype)
    copy[...] = array
    return copy


def _repeat(block: Array, shape: Shape) -> Array:
    array = empty(shape, block.dtype)
    flat = array.reshape(-1)
    for start in range(0, flat.size, block.size):
        piece = flat[start : start + block.size]
        piece[...] = block[: piece.size]
    return array


def _generator(seed: int = SEED) -> np.random.Generator:
    return np.random.default_rng(seed)


def weights(shape: Shape, dtype: str, seed: int = SEED) -> Array:
    """Normally distributed, as trained weights nearly are; of another seed independent of those, as gradients nearly are."""
    block = _generator(seed).standard_normal(BLOCK, np.float32) * np.float32(WEIGHT_SCALE)
    return _repeat(block.astype(dtype_named(dtype)), shape)


def logits(shape: Shape, dtype: str) -> Array:
    """As a language model gives them: a few units wide."""
    block = _generator().standard_normal(BLOCK, np.float32) * np.float32(3)
    return _repeat(block.astype(dtype_named(dtype)), shape)


def sparse_weights(shape: Shape, dtype: str) -> Array:
    """Half of them zero."""
    block = weights((BLOCK,), dtype)
    block[np.abs(block) < EPS] = 0
    return _repeat(block, shape)


def mask(shape: Shape) -> Array:
    """Half of it True."""
    return _repeat(_generator().integers(0, 2, BLOCK, np.uint8).view(np.bool_), shape)


def integers(shape: Shape, low: int, high: int) -> Array:
    """int8 in [low, high]."""
    return _repeat(_generator().integers(low, high, BLOCK, np.int8, endpoint=True), shape)


def as_bits(array: Array) -> Array:
    """The same memory as unsigned integers. NumPy and numba have vectors for these, and none for bfloat16."""
    return array.view(f"u{array.itemsize}")


def magnitude_bits(dtype: np.dtype[Any]) -> Any:
    """What is left without the sign, as a mask. Magnitudes compare as these integers do, NaN as the largest."""
    unsigned = np.dtype(f"u{dtype.itemsize}")
    return unsigned.type(2 ** (8 * dtype.itemsize - 1) - 1)


def with_last(shape: Shape, cols: int) -> Shape:
    """The shape with another last axis."""
    return (*shape[:-1], cols)
