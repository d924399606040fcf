"""The few array functions that formats need beside tersor's own, for NumPy arrays and torch tensors alike."""

from __future__ import annotations

import sys
from typing import Any

import numpy as np

from tersor._outputs import dtype_name, framework_of, numpy_dtype


def torch_of(array: Any) -> Any:
    """The module torch for its tensors, None for NumPy arrays."""
    torch = sys.modules.get("torch")
    return torch if torch is not None and isinstance(array, torch.Tensor) else None


def empty(like: Any, shape: tuple[int, ...], dtype: str) -> Any:
    """An array of like's kind, to be filled."""
    return framework_of(like, "w").empty(like, shape, dtype)


def full(like: Any, shape: tuple[int, ...], value: int, dtype: str) -> Any:
    filled = empty(like, shape, dtype)
    filled[...] = value
    return filled


def filled_from(like: Any, values: list[int] | list[float], dtype: str) -> Any:
    """A vector of these numbers."""
    vector = empty(like, (len(values),), dtype)
    for i, value in enumerate(values):
        vector[i] = value
    return vector


def group_numbers(like: Any, cols: int, group_size: int) -> Any:
    """int32: of each column, that of its group."""
    return beside(like, (np.arange(cols) // group_size).astype(np.int32))


def cast(array: Any, dtype: str) -> Any:
    """Rounded to another dtype; the same array where it has that already."""
    if dtype_name(array.dtype) == dtype:
        return array
    if torch := torch_of(array):
        return array.to(getattr(torch, dtype))
    with np.errstate(over="ignore"):
        return array.astype(numpy_dtype(dtype))


def contiguous(array: Any) -> Any:
    """In C order, copied only where it is not."""
    return array.contiguous() if torch_of(array) else np.ascontiguousarray(array)


def bytes_of(words: Any) -> Any:
    """The same memory as uint8; four times as many columns for int32."""
    return contiguous(words).view((torch_of(words) or np).uint8)


def viewed(array: Any, dtype: str) -> Any:
    """The same memory as another dtype, of an array in C order."""
    torch = torch_of(array)
    return array.view(numpy_dtype(dtype) if torch is None else getattr(torch, dtype))


def repeated(array: Any, times: int, count: int) -> Any:
    """Each column of a matrix so many times, and of these the first ``count``."""
    repeat = array.repeat_interleave(times, 1) if torch_of(array) else np.repeat(array, times, axis=1)
    return repeat[:, :count]


def as_float8(codes: Any, dtype: str) -> Any:
    """Bytes as a float8 dtype, in the same memory; NumPy's come from ml_dtypes."""
    if torch := torch_of(codes):
        return codes.view(getattr(torch, dtype))
    import ml_dtypes

    return codes.view(getattr(ml_dtypes, dtype))


def in_numpy(array: Any) -> Any:
    """The same memory as a NumPy array."""
    return array.numpy() if torch_of(array) else array


def beside(like: Any, array: Any) -> Any:
    """A NumPy array as one of like's kind, on its device."""
    torch = torch_of(like)
    return array if torch is None else torch.from_numpy(array).to(like.device)


def columns(array: Any, places: Any) -> Any:
    """Those columns of a matrix, as a new one."""
    return contiguous(array[:, cast(places, "int64")])


def are_equal(a: Any, b: Any) -> bool:
    """Whether all entries are the same, of arrays of one shape or an array and a number."""
    return bool((a == b).all())


def is_finite(array: Any) -> bool:
    """Whether there is no infinity and no NaN, of an array in C order."""
    if torch := torch_of(array):
        return bool(torch.isfinite(array).all())
    # By their bits: NumPy's arithmetic on 16-bit numbers takes fifty times as long.
    exponents = {"float32": 0x7F800000, "float16": 0x7C00, "bfloat16": 0x7F80, "float64": 0x7FF0000000000000}
    mask = exponents[dtype_name(array.dtype)]
    bits = array.view(f"uint{8 * array.dtype.itemsize}")
    return bool(((bits & bits.dtype.type(mask)) != mask).all())
