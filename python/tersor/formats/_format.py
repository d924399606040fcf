"""What every format is: how a weight becomes tensors and comes of them; and how tensors are looked into."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from tersor._outputs import dtype_name
from tersor.formats import _arrays as arrays

if TYPE_CHECKING:
    from tersor.formats._integer import IntegerWeight

Tensors = Mapping[str, Any]
FLOATS = ("float32", "float16", "bfloat16", "float64")


class CannotRepresent(ValueError):
    """Numbers that a format has no way to store as they are; quantizing anew would lose what they say."""


class Weight(Protocol):
    """What tensors of a format hold: a matrix [rows, cols]."""

    @property
    def rows(self) -> int: ...

    @property
    def cols(self) -> int: ...

    def decoded(self, dtype: Any, out: Any = None) -> Any:
        """As numbers, of the scales' dtype where dtype is None."""

    def as_integers(self) -> IntegerWeight:
        """As integer codes with scales and zero points, one code an entry; CannotRepresent where it is no such thing."""


@dataclass(frozen=True)
class Wanted:
    """How to quantize a weight for a format; None: as the format does anyway."""

    bits: int | None = None
    group_size: int | None = None  # -1: whole rows
    symmetric: bool | None = None
    convention: str | None = None


class Format(Protocol):
    """One layout of tensors. ``unpack`` reads nothing out of bounds and refuses, by a ValueError that names the tensor, what
    is not of the layout."""

    name: str

    def quantize(self, w: Any, wanted: Wanted) -> Weight:
        """A matrix of numbers as something that ``pack`` takes. ValueError for what is wanted where the format differs."""

    def pack(self, weight: Weight) -> dict[str, Any]:
        """The tensors of a weight; CannotRepresent where the layout has no room for its numbers."""

    def unpack(self, tensors: Tensors, bits: int | None, group_size: int | None) -> Weight:
        """What the tensors hold. bits and group_size where they do not tell."""

    def is_like(self, tensors: Tensors) -> bool:
        """Whether their names and shapes are of this layout."""

    def nearest_to(self, weight: Weight) -> tuple[Wanted, ...]:
        """How to quantize anew what another format holds, with as little change as the layout allows; first come first."""


def take(tensors: Tensors, key: str, dtypes: tuple[str, ...], ndim: int) -> Any:
    """One of the tensors, of one of these dtypes and with so many dimensions."""
    if key not in tensors:
        raise ValueError(f"{key} is missing; there are {', '.join(sorted(tensors)) or 'no tensors'}")
    tensor = tensors[key]
    found = dtype_name(getattr(tensor, "dtype", None))
    if found not in dtypes:
        raise ValueError(f"{key} has dtype {found}; it must be {' or '.join(dtypes)}")
    if len(tensor.shape) != ndim:
        raise ValueError(f"{key} has shape {tuple(tensor.shape)}; it must have {ndim} dimensions")
    return tensor


def require_shape(key: str, tensor: Any, shape: tuple[int, ...], why: str) -> None:
    """ValueError where the tensor has another shape."""
    if tuple(tensor.shape) != shape:
        raise ValueError(f"{key} has shape {tuple(tensor.shape)}; it must be {shape} {why}")


def take_scales(tensors: Tensors, key: str, dtypes: tuple[str, ...] = FLOATS, ndim: int = 2) -> Any:
    """Scales, a matrix of them by default, all finite."""
    scales = take(tensors, key, dtypes, ndim)
    if not arrays.is_finite(scales):
        raise ValueError(f"{key} holds NaN or an infinity, which is no scale")
    return scales
