"""Inputs of the operations in operations.py: their shapes and dtypes, and the values that matter to them."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, Protocol

import numpy as np
from layouts import Array, finite_special_values, random_values, spec, special_values
from tersor import BitmaskTensor

Shape = tuple[int, ...]


class Source(Protocol):
    """Where input values come from: a random generator, or integer arithmetic for the golden hashes."""

    def floats(self, shape: Shape, dtype: np.dtype[Any], special: Array) -> Array: ...
    def integers(self, shape: Shape, low: int, high: int, dtype: Any) -> Array: ...


class RandomSource:
    def __init__(self, seed: int = 0) -> None:
        self._seed = seed
        self._generator = np.random.default_rng(seed)

    def floats(self, shape: Shape, dtype: np.dtype[Any], special: Array) -> Array:
        self._seed += 1
        return random_values(shape, dtype, self._seed, special)

    def integers(self, shape: Shape, low: int, high: int, dtype: Any) -> Array:
        return self._generator.integers(low, high, shape, dtype)


def modest_values(dtype: np.dtype[Any]) -> Array:
    """Special values that leave the scale of a row to its ordinary ones."""
    values = special_values(dtype)
    with np.errstate(invalid="ignore"):
        return values[~(np.abs(values) > 4) | np.isinf(values)]


def logit_values(dtype: np.dtype[Any]) -> Array:
    """Special values that leave a row of softmax finite."""
    values = special_values(dtype)
    with np.errstate(invalid="ignore"):
        return values[(np.abs(values) < 4) | (values == -np.inf)]


def any_float(source: Source, shape: Shape, dtype: np.dtype[Any]) -> tuple[Array, ...]:
    return (source.floats(shape, dtype, special_values(dtype)),)


def any_plain_float(source: Source, shape: Shape, dtype: np.dtype[Any]) -> tuple[Array, ...]:
    return (source.floats(shape, dtype, np.zeros(1, dtype)),)


def two_floats(source: Source, shape: Shape, dtype: np.dtype[Any]) -> tuple[Array, ...]:
    return any_float(source, shape, dtype) + any_float(source, shape, dtype)


def small_floats(source: Source, shape: Shape, dtype: np.dtype[Any]) -> tuple[Array, ...]:
    """Zeros and subnormals among them, nothing that takes over a sum."""
    values = special_values(dtype)
    with np.errstate(invalid="ignore"):
        return (source.floats(shape, dtype, values[np.abs(values) < 4]),)


def weights_and_gradient(source: Source, shape: Shape, dtype: np.dtype[Any]) -> tuple[Array, ...]:
    return (*small_floats(source, shape, dtype), *small_floats(source, shape, dtype))


def float_and_mask(source: Source, shape: Shape, dtype: np.dtype[Any]) -> tuple[Array, ...]:
    return (source.floats(shape, dtype, special_values(dtype)), source.integers(shape, 0, 2, np.uint8).view(np.bool_))


def float_and_packed_mask(source: Source, shape: Shape, dtype: np.dtype[Any]) -> tuple[Array, ...]:
    w, mask = float_and_mask(source, shape, dtype)
    return w, spec.pack_mask(mask)


def rows_of_weights(source: Source, shape: Shape, dtype: np.dtype[Any]) -> tuple[Array, ...]:
    return (source.floats(shape, dtype, modest_values(dtype)),)


def rows_of_logits(source: Source, shape: Shape, dtype: np.dtype[Any]) -> tuple[Array, ...]:
    x = np.array(source.floats(shape, dtype, logit_values(dtype)) * dtype.type(8))
    if x.ndim > 1 and x.size and x.shape[0] > 1:
        x[0, ..., -1:] = np.nan
    return (x,)


def gradient_and_logs(source: Source, shape: Shape, dtype: np.dtype[Any]) -> tuple[Array, ...]:
    """Logarithms of shares, some of them -inf, after a gradient."""
    (logits,) = rows_of_logits(source, shape, dtype)
    return (*small_floats(source, shape, dtype), -np.abs(logits))


def logits_and_gradient_of_rows(source: Source, shape: Shape, dtype: np.dtype[Any]) -> tuple[Array, ...]:
    return (*rows_of_logits(source, shape, dtype), *small_floats(source, (*shape[:-1], 1), dtype))


def codes_and_scale(source: Source, shape: Shape, dtype: np.dtype[Any]) -> tuple[Array, ...]:
    scale_shape = (*shape[:-1], 1) if shape else ()
    scale_dtype = np.dtype(np.float64 if dtype == np.float64 else np.float32)
    return source.integers(shape, -128, 128, np.int8), source.floats(scale_shape, scale_dtype, special_values(scale_dtype))


def modest_numbers(source: Source, shape: Shape, dtype: np.dtype[Any]) -> tuple[Array, ...]:
    values = finite_special_values(dtype)
    return (source.floats(shape, dtype, values[np.abs(values) < 4]),)


def mask_alone(source: Source, shape: Shape, dtype: np.dtype[Any]) -> tuple[Array, ...]:
    return (source.integers(shape, 0, 2, np.uint8).view(np.bool_),)


def nibble_codes(source: Source, shape: Shape, dtype: np.dtype[Any]) -> tuple[Array, ...]:
    return (source.integers(shape, -8, 8, np.int8),)


def bytes_of(items_a_byte: int) -> Callable[..., tuple[Array, ...]]:
    def inputs(source: Source, shape: Shape, dtype: np.dtype[Any]) -> tuple[Array, ...]:
        return (source.integers((*shape[:-1], -(-shape[-1] // items_a_byte)), 0, 256, np.uint8),)

    return inputs


def codes_below(bits: int) -> Callable[..., tuple[Array, ...]]:
    def inputs(source: Source, shape: Shape, dtype: np.dtype[Any]) -> tuple[Array, ...]:
        return (source.integers(shape, -(1 << (bits - 1)), 1 << (bits - 1), np.int8),)

    return inputs


def words_of(bits: int, word: str) -> Callable[..., tuple[Array, ...]]:
    def inputs(source: Source, shape: Shape, dtype: np.dtype[Any]) -> tuple[Array, ...]:
        words = -(-shape[-1] * bits // (8 * np.dtype(word).itemsize))
        memory = source.integers((*shape[:-1], words, np.dtype(word).itemsize), 0, 256, np.uint8)
        return (np.ascontiguousarray(memory).view(word)[..., 0],)

    return inputs


def two_bytes_of_8(source: Source, shape: Shape, dtype: np.dtype[Any]) -> tuple[Array, ...]:
    return bytes_of(8)(source, shape, dtype) + bytes_of(8)(source, shape, dtype)


def rows_to_multiply(source: Source, shape: Shape, dtype: np.dtype[Any]) -> tuple[Array, ...]:
    values = finite_special_values(dtype)
    return (source.floats(shape, dtype, values[np.abs(values) <= 4]),)


@functools.lru_cache(maxsize=4)
def bitmask_weight(cols: int, dtype: np.dtype[Any]) -> BitmaskTensor:
    """Sixteenths from -1 to 1, half of the entries zero; by integer arithmetic, so that it is the same everywhere."""
    rows = 13 if cols < 1 << 20 else 7  # enough for four side by side before those at the end of the values
    words = np.arange(1, rows * cols + 1, dtype=np.uint64) * np.uint64(0x9E3779B97F4A7C15)
    words = (words ^ (words >> np.uint64(29))) * np.uint64(0xBF58476D1CE4E5B9)
    sixteenths = (words >> np.uint64(33)).astype(np.int64) % 33 - 16
    w = np.where(words >> np.uint64(63), sixteenths / 16, 0).astype(dtype).reshape(rows, cols)
    return as_bitmask(w)


def as_bitmask(w: Array) -> BitmaskTensor:
    return BitmaskTensor(*spec.compress_bitmask(w), w.shape)


def sparse_values(shape: tuple[int, ...], dtype: Any, sparsity: float = 0.5, seed: int = 0) -> Array:
    """Special values among them; zeros of both signs."""
    dtype = np.dtype(dtype)
    w = random_values(shape, dtype, seed, special_values(dtype))
    dropped = np.random.default_rng(seed).random(shape) < sparsity
    w[dropped] = np.where(np.random.default_rng(seed + 1).random(shape) < 0.5, 0.0, -0.0).astype(dtype)[dropped]
    return w


def without_negative_zeros(w: Array) -> Array:
    """What comes back: zeros are not stored."""
    with np.errstate(invalid="ignore"):
        return np.where(w == 0, w.dtype.type(0), w)
