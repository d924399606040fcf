"""The blocks of ggml, as gguf files have them: https://github.com/ggml-org/llama.cpp, ggml/src/ggml-quants.c."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from tersor import _core
from tersor._outputs import dtype_name, floating_dtype_name, framework_of
from tersor._quantized import Quantized
from tersor.bitmask import pack_mask, unpack_mask
from tersor.formats import _arrays as arrays
from tersor.formats._format import CannotRepresent, Format, Tensors, Wanted, Weight, take
from tersor.formats._integer import IntegerWeight, scales_in
from tersor.pack import pack_bits, unpack_bits


@dataclass(frozen=True)
class Blocks:
    """A type of blocks. Those of integer codes with one scale, and so of a symmetric grid, tell their bits."""

    kind: str  # as _core names it
    cols: int
    nbytes: int
    bits: int
    is_grid: bool = False

    @property
    def name(self) -> str:
        return f"gguf-{self.kind}"


@dataclass(frozen=True)
class GgufWeight:
    """A matrix [rows, cols] as rows of blocks."""

    data: Any
    blocks: Blocks

    @property
    def rows(self) -> int:
        return int(self.data.shape[0])

    @property
    def cols(self) -> int:
        return int(self.data.shape[1]) // self.blocks.nbytes * self.blocks.cols

    def decoded(self, dtype: Any, out: Any = None) -> Any:
        """As numbers, of float32 where dtype is None."""
        if out is not None and dtype is not None and dtype_name(dtype) != dtype_name(out.dtype):
            raise ValueError(f"dtype is {dtype_name(dtype)}, but out has dtype {dtype_name(out.dtype)}")
        framework = framework_of(self.data, "data")
        filled = out
        if out is None:
            name = "float32" if dtype is None else floating_dtype_name(dtype)
            filled = framework.empty(self.data, (self.rows, self.cols), name)
        _core.decode_gguf(self.data, self.blocks.kind, filled)
        return out if out is not None else framework.result(filled)

    def as_integers(self) -> IntegerWeight:
        """Unsigned codes in groups of 32, whose scales may be negative."""
        if not self.blocks.is_grid:
            raise CannotRepresent(f"{self.blocks.name} has minima, or scales that are products, and no zero points")
        runs = arrays.contiguous(self.data).reshape(-1, self.blocks.nbytes)
        scale = arrays.viewed(arrays.contiguous(runs[:, :2]), "float16").reshape(self.rows, self.cols // 32)
        if not arrays.is_finite(scale):
            raise ValueError("data holds NaN or an infinity for a scale, as of numbers that are, which is no scale of codes")
        q = _codes_of(runs, self.blocks.bits).reshape(self.rows, self.cols)
        return IntegerWeight(Quantized(q, scale, None, self.blocks.bits, (self.rows, self.cols), 1, 32, signed=False))


class Gguf:
    """``data``: uint8 [rows, cols / columns of a block * bytes of one], as ``gguf.quants.quantize`` returns it.

    ========  =======  =====  ===========================================================================
    type      columns  bytes  a block
    ========  =======  =====  ===========================================================================
    ``q4_0``       32     18  float16 scale; nibbles: code j in the low one of byte j, code j + 16 in the high one
    ``q4_1``       32     20  float16 scale, float16 minimum, nibbles
    ``q5_0``       32     22  float16 scale, 32 fifth bits, nibbles
    ``q5_1``       32     24  float16 scale, float16 minimum, 32 fifth bits, nibbles
    ``q8_0``       32     34  float16 scale, int8 codes
    ``q4_k``      256    144  float16 scale and minimum; of each 32 columns shares of these in 6 bits; nibbles
    ``q5_k``      256    176  the same, with 256 fifth bits before the nibbles
    ``q6_k``      256    210  nibbles, upper bits, int8 shares of each 16 columns, float16 scale
    ========  =======  =====  ===========================================================================
    """

    def __init__(self, blocks: Blocks) -> None:
        self.name = blocks.name
        self._blocks = blocks

    def quantize(self, w: Any, wanted: Wanted) -> GgufWeight:
        for option in ("bits", "group_size", "symmetric", "convention"):
            self._require_own(option, getattr(wanted, option))
        shape = _core.array_shape(w, "w")
        if len(shape) != 2:
            raise ValueError(f"w has shape {shape}; it must be a matrix")
        data = framework_of(w, "w").empty(w, (shape[0], shape[1] // self._blocks.cols * self._blocks.nbytes), "uint8")
        _core.encode_gguf(w, self._blocks.kind, data)
        return GgufWeight(data, self._blocks)

    def pack(self, weight: Weight) -> dict[str, Any]:
        if isinstance(weight, GgufWeight) and weight.blocks == self._blocks:
            return {"data": weight.data}
        if not self._blocks.is_grid:
            raise CannotRepresent(
                f"{self.name} has minima, or scales that are products, which codes with a scale do not tell"
            )
        codes, scale = self._on_grid(weight.as_integers())
        rows, count = (int(length) for length in scale.shape)
        data = arrays.empty(scale, (rows, count * self._blocks.nbytes), "uint8")
        runs = data.reshape(-1, self._blocks.nbytes)
        runs[:, :2] = arrays.bytes_of(scale).reshape(-1, 2)
        _put_codes(arrays.contiguous(codes).reshape(-1, 32), self._blocks.bits, runs)
        return {"data": data}

    def unpack(self, tensors: Tensors, bits: int | None, group_size: int | None) -> GgufWeight:
        data = take(tensors, "data", ("uint8",), 2)
        self._require_own("bits", bits)
        self._require_own("group_size", group_size)
        if int(data.shape[1]) % self._blocks.nbytes:
            raise ValueError(
                f"data has rows of {int(data.shape[1])} bytes; {self.name} has whole blocks of {self._blocks.nbytes}"
            )
        return GgufWeight(data, self._blocks)

    def is_like(self, tensors: Tensors) -> bool:
        """Whether rows are whole blocks, as they may be of several types."""
        if set(tensors) != {"data"}:
            return False
        data = tensors["data"]
        return (
            dtype_name(getattr(data, "dtype", None)) == "uint8"
            and len(data.shape) == 2
            and int(data.shape[1]) % self._blocks.nbytes == 0
        )

    def nearest_to(self, weight: Weight) -> tuple[Wanted, ...]:
        return (Wanted(),)

    def _require_own(self, option: str, asked: Any) -> None:
        own = {"bits": self._blocks.bits}
        if self._blocks.is_grid:
            own |= {"group_size": 32, "symmetric": True}
        if asked is not None and asked != own.get(option):
            tells = f"its own {option}" + (f", {own[option]}" if option in own else "")
            raise ValueError(f"{self.name} has {tells}; leave it out, got {asked!r}")

    def _on_grid(self, weight: IntegerWeight) -> tuple[Any, Any]:
        """Unsigned codes about the middle, and a scale for each 32 columns."""
        t, size = weight.codes, weight.group_size
        if weight.group_of_column is not None:
            raise CannotRepresent(
                f"{self.name} has groups of 32 columns that follow each other, and these are no runs of columns"
            )
        if weight.cols % 32 or (weight.cols and size % 32):
            raise CannotRepresent(
                f"{self.name} has a scale for each 32 columns; {weight.cols} columns in groups of {size} are no whole blocks"
            )
        scale = arrays.repeated(scales_in(self.name, t.scale, "float16"), size // 32, weight.cols // 32)
        middle = 2 ** (self._blocks.bits - 1)
        places = arrays.cast(t.q, "int16") + (0 if t.signed else -(2 ** (t.bits - 1)))
        if t.zero_point is not None:
            zero_points = arrays.cast(t.zero_point, "int16") + (0 if t.signed else -(2 ** (t.bits - 1)))
            places = places - arrays.repeated(zero_points, size, weight.cols)
        places = places + middle
        if weight.rows and weight.cols and (int(places.min()) < 0 or int(places.max()) >= 2 * middle):
            raise CannotRepresent(
                f"{self.name} has codes from {-middle} to {middle - 1} about zero, and some of these lie farther away"
            )
        return arrays.cast(places, "uint8"), scale


def _codes_of(runs: Any, bits: int) -> Any:
    """uint8 [blocks, 32], unsigned, of blocks with a scale in two bytes."""
    if bits == 8:
        return arrays.contiguous(runs[:, 2:]) ^ 128
    q = unpack_bits(runs[:, -16:], 4, 32, signed=False, order="halves")
    if bits == 5:
        q |= arrays.cast(unpack_mask(runs[:, 2:6], 32), "uint8") << 4
    return q


def _put_codes(q: Any, bits: int, runs: Any) -> None:
    """The inverse."""
    if bits == 8:
        runs[:, 2:] = q ^ 128
        return
    pack_bits(q & 15, 4, order="halves", out=runs[:, -16:])
    if bits == 5:
        pack_mask(q > 15, out=runs[:, 2:6])


GGUF: tuple[Format, ...] = tuple(
    Gguf(blocks)
    for blocks in (
        Blocks("q4_0", 32, 18, 4, is_grid=True),
        Blocks("q4_1", 32, 20, 4),
        Blocks("q5_0", 32, 22, 5, is_grid=True),
        Blocks("q5_1", 32, 24, 5),
        Blocks("q8_0", 32, 34, 8, is_grid=True),
        Blocks("q4_k", 256, 144, 4),
        Blocks("q5_k", 256, 176, 5),
        Blocks("q6_k", 256, 210, 6),
    )
)
