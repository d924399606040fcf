"""Arrays for tests: the values that kernels get wrong, and the same values at other addresses and strides."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from typing import Any

import ml_dtypes
import numpy as np
from tersor import reference

Array = np.ndarray[Any, np.dtype[Any]]

FLOATS = {
    "float32": np.dtype(np.float32),
    "float16": np.dtype(np.float16),
    "bfloat16": np.dtype(ml_dtypes.bfloat16),
    "float64": np.dtype(np.float64),
}
# (exponent bits, mantissa bits)
FORMATS = {"float32": (8, 23), "float16": (5, 10), "bfloat16": (8, 7), "float64": (11, 52)}


class Specification:
    """tersor.reference without NumPy's floating-point warnings: special values are what tests are about."""

    def __getattr__(self, name: str) -> Callable[..., Any]:
        function = getattr(reference, name)

        def quiet(*arguments: Any, **options: Any) -> Any:
            with np.errstate(all="ignore"):
                return function(*arguments, **options)

        return quiet


spec = Specification()


# --- values ----------------------------------------------------------------------------------------------------------


def unsigned(dtype: np.dtype[Any]) -> np.dtype[Any]:
    return np.dtype(f"u{np.dtype(dtype).itemsize}")


def bits(array: Array) -> Array:
    """The bit patterns of an array, in C order."""
    return np.array(array, order="C", copy=True).view(unsigned(array.dtype))


def special_values(dtype: np.dtype[Any]) -> Array:
    """Both signs of zero, the least and greatest subnormals and normals, ties of rounding, infinity, NaN quiet and
    signalling."""
    exponent_bits, mantissa_bits = FORMATS[np.dtype(dtype).name]
    bias = (1 << (exponent_bits - 1)) - 1
    implicit = 1 << mantissa_bits
    top = ((1 << exponent_bits) - 1) << mantissa_bits

    def power(exponent: int) -> int:
        return (bias + exponent) << mantissa_bits

    half = implicit >> 1
    magnitudes = [0, 1, 2, implicit - 1, implicit, implicit + 1]
    magnitudes += [power(e) for e in (-9, -8, -1, 0, 1, 6, 7)]
    magnitudes += [power(e) + half for e in (-9, -1, 0, 1, 6)]  # 1.5 * 2**e, among them ties of rint
    magnitudes += [power(-1) - 1, power(-1) + 1, power(7) - 1, top - 1]
    magnitudes += [
        top,
        top | half,
        top | half | 5,
        top | 1,
        top | (half - 1),
    ]  # infinity, quiet NaN, payloads, signalling NaN
    sign = 1 << (exponent_bits + mantissa_bits)
    patterns = magnitudes + [m | sign for m in magnitudes]
    return np.array(patterns, unsigned(dtype)).view(dtype)


def finite_special_values(dtype: np.dtype[Any]) -> Array:
    values = special_values(dtype)
    with np.errstate(invalid="ignore"):
        return values[np.isfinite(values)]


def every_value(dtype: np.dtype[Any]) -> Array:
    """All 65,536 values of a 16-bit dtype."""
    return np.arange(1 << 16, dtype=np.uint16).view(dtype)


def random_values(shape: Any, dtype: np.dtype[Any], seed: int = 0, special: Array | None = None) -> Array:
    """Normally distributed values, an eighth of them replaced with special ones."""
    generator = np.random.default_rng(seed)
    values = generator.standard_normal(shape, np.float64 if dtype == np.float64 else np.float32)
    values = np.asarray(values).astype(dtype, copy=False)
    extra = special_values(dtype) if special is None else special
    if extra.size == 0 or values.size == 0:
        return values
    chosen = generator.integers(0, 8 * extra.size, values.shape, np.uint16)
    return np.where(chosen < extra.size, extra.take(chosen, mode="clip"), values)


def normal_values(rows: int = 24, cols: int = 256, dtype: Any = np.float32) -> Array:
    """A matrix of them."""
    return np.random.default_rng(rows).standard_normal((rows, cols)).astype(dtype)


def is_nan(array: Array) -> Array:
    with np.errstate(invalid="ignore"):  # ml_dtypes warns about signalling NaN
        return np.isnan(array)


def canonical_nan(array: Array) -> Array:
    """Every NaN replaced with the positive quiet NaN without payload."""
    array = np.array(array, copy=True)
    exponent_bits, mantissa_bits = FORMATS[array.dtype.name]
    quiet = (((1 << exponent_bits) - 1) << mantissa_bits) | (1 << (mantissa_bits - 1))
    return np.where(is_nan(array), np.array(quiet, unsigned(array.dtype)).view(array.dtype), array)


def round_once(exact: Array, dtype: np.dtype[Any]) -> Array:
    """float64 values rounded to a narrower dtype in one step, half to even. astype goes to bfloat16 by way of
    float32."""
    step = ulp(exact, dtype)
    with np.errstate(over="ignore"):
        return np.copysign(np.rint(exact / step) * step, exact).astype(dtype)


# --- layouts ---------------------------------------------------------------------------------------------------------


def at_offset(array: Array, offset: int) -> Array:
    """A dense copy whose first byte lies `offset` bytes past a multiple of 64."""
    memory = np.empty(array.nbytes + 128, np.uint8)
    start = -memory.ctypes.data % 64 + offset
    view = np.ndarray(array.shape, array.dtype, memory, start)
    view[...] = array
    return view


def _strided(array: Array, steps: tuple[int, ...], margin: int = 0) -> Array:
    """A view of a larger buffer: axis i walks it with steps[i], `margin` items from its edges."""
    if not array.ndim:
        return array.copy()
    sizes = [n * abs(step) + 2 * margin for n, step in zip(array.shape, steps, strict=True)]
    buffer = np.zeros(sizes, array.dtype)
    inner = buffer[tuple(slice(margin, size - margin) for size in sizes)]
    view = inner[tuple(slice(None, None, step) for step in steps)]
    view[...] = array
    return view


def _padded_rows(array: Array) -> Array:
    """Rows an odd number of bytes apart, so that most are misaligned."""
    strides = [array.itemsize] * array.ndim
    reach = array.itemsize
    for axis in reversed(range(array.ndim)):
        strides[axis] = reach
        reach = reach * max(1, array.shape[axis]) + 3
    view = np.ndarray(array.shape, array.dtype, np.empty(reach + 1, np.uint8), 1, tuple(strides))
    view[...] = array
    return view


LAYOUTS: dict[str, Callable[[Array], Array]] = {
    "dense": lambda array: at_offset(array, 0),
    "misaligned": lambda array: at_offset(array, 13),
    "column order": lambda array: np.array(array, order="F"),
    "reversed": lambda array: _strided(array, (-1,) * array.ndim),
    "every second": lambda array: _strided(array, (1,) * (array.ndim - 1) + (2,) * min(1, array.ndim)),
    "every third of the first axis": lambda array: _strided(array, (3,) * min(1, array.ndim) + (1,) * (array.ndim - 1)),
    "inside a larger array": lambda array: _strided(array, (1,) * array.ndim, margin=3),
    "backwards every second": lambda array: _strided(array, (-2,) * array.ndim, margin=1),
    "rotated axes": lambda array: (
        np.moveaxis(np.ascontiguousarray(np.moveaxis(array, -1, 0)), 0, -1) if array.ndim > 1 else array.copy()
    ),
    "padded rows": _padded_rows,
}


def each_layout(array: Array) -> Iterator[tuple[str, Array]]:
    for name, arrange in LAYOUTS.items():
        yield name, arrange(array)


def layout_pairs() -> Iterator[tuple[str, str]]:
    """Layouts for an input and an output: each against a dense one, and each against the next."""
    names = list(LAYOUTS)
    yield from ((name, "dense") for name in names)
    yield from (("dense", name) for name in names)
    yield from itertools.pairwise(names)


# Dimensions 0 to 6, lengths 0 and 1 among them.
SHAPES = [
    (),
    (1,),
    (5,),
    (0,),
    (0, 3),
    (3, 0),
    (7, 33),
    (2, 0, 3),
    (3, 5, 17),
    (1, 4, 1, 19),
    (2, 3, 2, 3, 5),
    (2, 1, 3, 2, 2, 9),
]

# One row: around the lanes, their unrolled groups, the column unit and its multiples.
ROW_SIZES = sorted(
    {max(0, n + d) for n in (0, 16, 32, 64, 128, 512, 1024) for d in (-2, -1, 0, 1, 2)} | {3, 5, 7, 8, 9, 100, 1000}
)


def chunk_sizes(row_item_bytes: int) -> list[int]:
    """Item counts around one and two chunks of 256 KiB, where `row_item_bytes` are read and written for an item."""
    chunk = (256 << 10) // row_item_bytes
    return [chunk - 1, chunk, chunk + 1, 2 * chunk - 513, 2 * chunk + 511, 2 * chunk + 17]


def large_size(row_item_bytes: int) -> int:
    """Enough items for chunks of the greatest size, 1 MiB, the last one odd."""
    return (18 << 20) // row_item_bytes + 77


# --- comparison ------------------------------------------------------------------------------------------------------


def as_numpy(array: Any) -> Array:
    """The array's memory as NumPy; torch bfloat16 has no NumPy dtype of its own."""
    if isinstance(array, np.ndarray):
        return array
    if type(array).__module__.split(".")[0] == "torch":
        if str(array.dtype) == "torch.bfloat16":
            import torch

            return array.detach().view(torch.int16).numpy().view(ml_dtypes.bfloat16)
        return array.detach().numpy()
    return np.asarray(array)


def to_torch(array: Array) -> Any:
    """A tensor of a copy; skips the test where torch is not installed."""
    import pytest  # what qemu runs has NumPy alone

    torch = pytest.importorskip("torch", reason="torch is not installed")
    if array.dtype.name.startswith(("float8", "bfloat")):
        return torch.from_numpy(array.view(f"u{array.itemsize}").copy()).view(getattr(torch, array.dtype.name))
    return torch.from_numpy(np.array(array))


def assert_same_bits(actual: Any, expected: Array, context: object = "") -> None:
    """Same dtype, shape and bytes: the sign of a zero and the payload of a NaN count."""
    actual = as_numpy(actual)
    assert actual.dtype == expected.dtype, f"{context}: dtype {actual.dtype}, expected {expected.dtype}"
    assert actual.shape == expected.shape, f"{context}: shape {actual.shape}, expected {expected.shape}"
    got, wanted = bits(actual), bits(expected)
    if got.tobytes() == wanted.tobytes():
        return
    wrong = np.flatnonzero((got != wanted).ravel())
    place = tuple(int(i) for i in np.unravel_index(wrong[0], actual.shape))
    raise AssertionError(
        f"{context}: {wrong.size} of {actual.size} entries differ, the first at {place}: "
        f"got {actual[place]} ({got[place]:#x}), expected {expected[place]} ({wanted[place]:#x})"
    )


def ulp(exact: Array, dtype: np.dtype[Any]) -> Array:
    """The distance of neighbouring values of `dtype` around each entry of a wider array."""
    exponent_bits, mantissa_bits = FORMATS[np.dtype(dtype).name]
    least = 2 - (1 << (exponent_bits - 1))
    _, exponent = np.frexp(np.abs(exact))
    return np.ldexp(np.ones_like(exact), np.maximum(exponent - 1, least) - mantissa_bits)
