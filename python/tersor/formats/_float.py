"""What every format of 4-bit codes of numbers is made of: two codes a byte, and a scale for each run of entries."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from tersor import _core
from tersor._outputs import dtype_name, floating_dtype_name, framework_of
from tersor.formats import _arrays as arrays
from tersor.formats._format import CannotRepresent, Tensors, Wanted, Weight, take

if TYPE_CHECKING:
    from tersor.formats._integer import IntegerWeight


@dataclass(frozen=True)
class FloatWeight:
    """A matrix as codes in C order, which stand for 16 numbers. Numbers are float32 until they are stored; those of float64
    are rounded to it first."""

    kind: str  # as _core names it: the numbers, the nibble that comes first, what scales are stored as
    packed: Any  # uint8, of any shape
    scale: Any  # one a run, of any shape: float32 (of int4 also float16 or bfloat16), or the bytes of float8
    group_size: int
    shape: tuple[int, int]
    dtype: str  # of decoded numbers where nobody asks for another
    global_scale: float = 1.0
    offset: Any = None  # of int4: one a run, as the scales, where one is added to its numbers

    @property
    def rows(self) -> int:
        return self.shape[0]

    @property
    def cols(self) -> int:
        return self.shape[1]

    def decoded(self, dtype: Any, out: Any = None) -> Any:
        """As numbers: a code's times its scale, rounded once, and the offset, rounded again."""
        framework = framework_of(self.packed, "weight")
        if out is None:
            wanted = self.dtype if dtype is None else floating_dtype_name(dtype)
            filled = framework.empty(self.packed, self.shape, wanted)
        else:
            _core.check_array(out, "out")
            if dtype is not None and dtype_name(dtype) != dtype_name(out.dtype):
                raise ValueError(f"dtype is {dtype_name(dtype)}, but out has dtype {dtype_name(out.dtype)}")
            if tuple(out.shape) != self.shape:
                raise ValueError(f"out has shape {tuple(out.shape)}; the weight has {self.shape}")
            filled = out
        packed = arrays.contiguous(self.packed)
        scale = self.scale if self.kind == "int4" else arrays.contiguous(self.scale)
        _core.decode_float(packed, scale, self.kind, self.group_size, self.global_scale, filled, self.offset)
        return filled if out is not None else framework.result(filled)

    def as_integers(self) -> IntegerWeight:
        raise CannotRepresent(f"codes of {self.kind} stand for numbers that are no multiples of a step")


class FloatFormat:
    """How weights are quantized for a layout of such codes."""

    name: str
    kind: str
    conventions: tuple[str, ...]  # the first one by default
    group_sizes: tuple[int, ...]  # likewise

    def group_size_of(self, bits: int | None, group_size: int | None) -> int:
        """Entries of a run; ValueError where the format has no such runs, or no such codes."""
        if bits not in (None, 4):
            raise ValueError(f"{self.name} has codes of 4 bits, not of {bits}")
        if group_size is not None and group_size not in self.group_sizes:
            sizes = " or ".join(map(str, sorted(self.group_sizes)))
            raise ValueError(f"group_size must be {sizes} for {self.name}, got {group_size}")
        return self.group_sizes[0] if group_size is None else group_size

    def convention_of(self, wanted: Wanted) -> str:
        """By which rules; ValueError where the format knows none of that name, or has no zero points."""
        if wanted.symmetric is False:
            raise ValueError(f"{self.name} has no zero points; symmetric must be True")
        if wanted.convention is not None and wanted.convention not in self.conventions:
            known = " or ".join(map(repr, self.conventions))
            raise ValueError(f"convention must be {known} for {self.name}, got {wanted.convention!r}")
        return wanted.convention or self.conventions[0]

    def codes_of(self, weight: Weight, kinds: tuple[str, ...]) -> FloatWeight:
        """A weight that is of these kinds already, or CannotRepresent."""
        if not isinstance(weight, FloatWeight) or weight.kind not in kinds:
            raise CannotRepresent(f"{self.name} stores codes of {kinds[0]} alone")
        return weight

    def nearest_to(self, weight: Weight) -> tuple[Wanted, ...]:
        """As it would be from numbers: in runs of the same size where the format has them."""
        group_size = getattr(weight, "group_size", None)
        return (Wanted(group_size=group_size if group_size in self.group_sizes else None),)


def encoded(
    w: Any, kind: str, group_size: int, packed_shape: tuple[int, ...], scale_shape: tuple[int, ...], of_all: float = 1.0
) -> tuple[Any, Any]:
    """A matrix of numbers as codes, and their scales."""
    framework = framework_of(w, "w")
    packed = framework.empty(w, packed_shape, "uint8")
    scale = framework.empty(w, scale_shape, "float32" if kind in ("nf4", "fp4") else "uint8")
    _core.encode_float(w, kind, group_size, of_all, packed, scale)
    return framework.result(packed), framework.result(scale)


def require_matrix(w: Any) -> tuple[int, int]:
    """Its shape."""
    _core.check_array(w, "w")
    if len(w.shape) != 2:
        raise ValueError(f"w must be a matrix; it has shape {tuple(w.shape)}")
    return int(w.shape[0]), int(w.shape[1])


def require_whole_runs(name: str, cols: int, group_size: int) -> None:
    """CannotRepresent where rows are no whole runs."""
    if cols % group_size:
        raise CannotRepresent(f"{name} has runs of {group_size} columns; {cols} columns are no whole runs")


def take_codes(tensors: Tensors, key: str) -> tuple[Any, tuple[int, int]]:
    """A matrix of two codes a byte, and the shape of the codes."""
    packed = take(tensors, key, ("uint8",), 2)
    return packed, (int(packed.shape[0]), int(packed.shape[1]) * 2)


def take_float8(tensors: Tensors, key: str, dtype: str) -> Any:
    """The bytes of a matrix of a float8 dtype, which may come as uint8 as well."""
    if str(getattr(tensors.get(key), "dtype", "")).endswith(dtype):
        tensors = {**tensors, key: arrays.bytes_of(tensors[key])}
    return take(tensors, key, (dtype, "uint8"), 2)


def take_positive(tensors: Tensors, key: str) -> float:
    """One float32 number, finite and above 0, as an array of it or of no dimensions."""
    ndim = len(getattr(tensors.get(key), "shape", (1,)))
    number = take(tensors, key, ("float32",), min(ndim, 1))
    if tuple(number.shape) not in ((), (1,)):
        raise ValueError(f"{key} has shape {tuple(number.shape)}; it must be one number")
    value = float(number if ndim == 0 else number[0])
    if not 0 < value < float("inf"):
        raise ValueError(f"{key} is {value}; it must be finite and above 0")
    return value
