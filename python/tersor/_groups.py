"""Groups of entries that have a scale each, and what follows of an array's shape and the options of ``quantize``."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from tersor import _core
from tersor._arguments import integer, normal_axis
from tersor._outputs import dtype_name, floating_dtype_name, framework_of, is_float64
from tersor._quantized import Quantized

# What each library does where the caller does not say; its formulas are in C++.
_UNSIGNED_SYMMETRIC = ("gptq", "matmulnbits")
_SIGNED_ASYMMETRIC = ("compressed-tensors",)
_SCALES_OF_THE_ARRAYS_DTYPE = ("compressed-tensors", "awq", "matmulnbits")


@dataclass(frozen=True)
class Groups:
    """Runs of ``size`` entries along ``axis``; all entries where axis is None."""

    shape: tuple[int, ...]
    axis: int | None
    size: int
    whole: bool

    @property
    def scale_shape(self) -> tuple[int, ...]:
        """Of what there is one of for each group."""
        if self.axis is None:
            return (1,) * len(self.shape)
        length = self.shape[self.axis]
        count = (1 if length else 0) if self.whole else -(-length // self.size)
        return (*self.shape[: self.axis], count, *self.shape[self.axis + 1 :])

    def in_whole_bytes(self, bits: int) -> bool:
        """Whether packed codes of no group share a byte with those of another, row or group."""
        if not self.shape:
            return False
        if self.axis is None:
            return self.shape[-1] * bits % 8 == 0
        return self.axis == len(self.shape) - 1 and (self.size * bits % 8 == 0 or self.size >= self.shape[-1])


def groups_of(shape: Any, granularity: str, group_size: Any, axis: Any) -> Groups:
    """The groups of an array of this shape."""
    shape = tuple(shape)
    if granularity == "tensor":
        return Groups(shape, None, 1, True)
    if granularity == "column":
        if len(shape) < 2:
            raise ValueError(f'granularity="column" needs at least two dimensions; w has shape {shape}')
        axis = -2
    elif granularity not in ("row", "group"):
        raise ValueError(f'granularity must be one of "tensor", "row", "column", "group", got {granularity!r}')
    axis = normal_axis(axis, len(shape))
    if granularity == "group":
        size = integer(group_size, "group_size")
        if size < 1:
            raise ValueError(f"group_size must be at least 1, got {size}")
        return Groups(shape, axis, size, False)
    return _whole_axis(shape, axis)


def _whole_axis(shape: tuple[int, ...], axis: int) -> Groups:
    return Groups(shape, axis, max(shape[axis], 1), True)


def stored_groups(t: Quantized) -> Groups:
    """The groups that the scales of t are of."""
    if t.axis is None:
        return Groups(t.shape, None, 1, True)
    if t.group_size is None:
        return _whole_axis(t.shape, t.axis)
    return Groups(t.shape, t.axis, t.group_size, False)


def is_signed(signed: bool | None, symmetric: bool, convention: str, bits: int) -> bool:
    """Whether codes are, where the caller may not have said."""
    if signed is not None:
        return bool(signed)
    if convention == "ggml":
        return bits == 8
    return convention not in _UNSIGNED_SYMMETRIC if symmetric else convention in _SIGNED_ASYMMETRIC


def groups_in(w: Any, granularity: str, group_size: Any, axis: Any) -> Groups:
    """The groups of w."""
    return groups_of(w.shape if hasattr(w, "shape") else _core.array_shape(w, "w"), granularity, group_size, axis)


def is_symmetric(symmetric: bool, scale: Any, zero_point: Any) -> bool:
    """Whether codes are; scales that are given tell by their zero points."""
    if scale is not None:
        return zero_point is None
    if zero_point is not None:
        raise ValueError("zero_point is given without scale; give both, or neither")
    return symmetric


def empty_scales(
    w: Any, like: Any, groups: Groups, symmetric: bool, signed: bool, convention: str, scale_dtype: Any
) -> tuple[Any, Any]:
    """Scales and zero points of w to be filled, of the kind of ``like``, which has w's dtype."""
    if convention in _SCALES_OF_THE_ARRAYS_DTYPE:
        _core.check_array(w, "w")  # a dtype that tersor does not know has no name
    framework = framework_of(like, "w" if like is w else "out")
    scale = framework.empty(like, groups.scale_shape, scale_dtype_name(like, scale_dtype, convention))
    return scale, None if symmetric else framework.empty(like, groups.scale_shape, code_dtype(signed))


def code_dtype(signed: bool) -> str:
    """Of codes that are not packed, and of zero points."""
    return "int8" if signed else "uint8"


def scale_dtype_name(w: Any, scale_dtype: Any, convention: str) -> str:
    """The dtype of the scales of w, where the caller may not have said."""
    if scale_dtype is not None:
        return floating_dtype_name(scale_dtype)
    if convention in _SCALES_OF_THE_ARRAYS_DTYPE:
        return dtype_name(w.dtype)
    return "float64" if is_float64(w) else "float32"


def codes_beside(packed: Any, shape: tuple[int, ...], signed: bool) -> Any:
    """Codes before they are packed where the packed ones lie, or in NumPy's memory where these are of no known kind."""
    try:
        return framework_of(packed, "q").empty(packed, shape, code_dtype(signed))
    except TypeError:
        return np.empty(shape, code_dtype(signed))


def codes_to_read(t: Quantized, groups: Groups) -> tuple[Any, bool]:
    """The codes of t, and whether they are packed; unpacked first where groups begin within a byte."""
    if not t.packed or groups.in_whole_bytes(t.bits):
        return t.q, t.packed
    q = codes_beside(t.q, t.shape, t.signed)
    _core.unpack_bits(t.q, t.bits, t.shape[-1] if t.shape else 1, False, "low_first", False, -1, q)
    return q, False


def as_numbers(t: Quantized, dtype: Any, out: Any, fill: Callable[[Any], None]) -> Any:
    """The numbers of t, which ``fill`` writes: to out, or to a new array beside its codes, of the scales' dtype unless
    another is wanted."""
    if out is None:
        framework = framework_of(t.q, "q")
        _core.check_array(t.scale, "scale")
        wanted = dtype_name(t.scale.dtype) if dtype is None else floating_dtype_name(dtype)
        filled = framework.empty(t.q, t.shape, wanted)
        fill(filled)
        return framework.result(filled)
    if dtype is not None and dtype_name(dtype) != dtype_name(out.dtype):
        raise ValueError(f"dtype is {dtype_name(dtype)}, but out has dtype {dtype_name(out.dtype)}")
    if tuple(getattr(out, "shape", t.shape)) != t.shape:  # packed codes alone may fit several
        raise ValueError(f"out has shape {tuple(out.shape)}, but t has {t.shape}")
    fill(out)
    return out
