"""The few array functions that formats need beside tersor's own, for NumPy arrays and torch tensors alike."""

from __future__ import annotations

from typing import Any

import numpy as np

from tersor._outputs import dtype_name, framework_of, numpy_dtype


def is_torch(array: Any) -> bool:
    return type(array).__module__.split(".")[0] == "torch"


def empty(like: Any, shape: tuple[int, ...], dtype: str) -> Any:
    """An array of like's kind, to be filled."""
    return framework_of(like, "w").empty(like, shape, dtype)


def full(like: Any, shape: tuple[int, ...], value: int, dtype: str) -> Any:
    filled = empty(like, shape, dtype)
    filled[...] = value
    return filled


def filled_from(like: Any, values: list[int], dtype: str) -> Any:
    """A vector of these numbers."""
    vector = empty(like, (len(values),), dtype)
    for i, value in enumerate(values):
        vector[i] = value
    return vector


def group_numbers(like: Any, cols: int, group_size: int) -> Any:
    """int32: of each column, that of its group."""
    numbers = (np.arange(cols) // group_size).astype(np.int32)
    if not is_torch(like):
        return numbers
    torch = __import__("torch")
    return torch.from_numpy(numbers).to(like.device)


def cast(array: Any, dtype: str) -> Any:
    """Rounded to another dtype; the same array where it has that already."""
    if dtype_name(array.dtype) == dtype:
        return array
    if is_torch(array):
        return array.to(getattr(__import__("torch"), dtype))
    with np.errstate(over="ignore"):
        return array.astype(numpy_dtype(dtype))


def contiguous(array: Any) -> Any:
    """In C order, copied only where it is not."""
    return array.contiguous() if is_torch(array) else np.ascontiguousarray(array)


def bytes_of(words: Any) -> Any:
    """The same memory as uint8; four times as many columns for int32."""
    dense = contiguous(words)
    return dense.view(__import__("torch").uint8 if is_torch(words) else np.uint8)


def columns(array: Any, places: Any) -> Any:
    """Those columns of a matrix, as a new one."""
    return contiguous(array[:, cast(places, "int64")])


def holds_only(array: Any, value: int) -> bool:
    """Whether all entries are this."""
    return bool((array == value).all())


def are_equal(a: Any, b: Any) -> bool:
    """Whether all entries are the same, of arrays of one shape."""
    return bool((a == b).all())


def is_finite(array: Any) -> bool:
    """Whether there is no infinity and no NaN."""
    return bool((array - array == 0).all())
