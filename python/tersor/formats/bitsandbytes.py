"""NF4 and FP4 as bitsandbytes stores them: Dettmers et al., "QLoRA" (2023)."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tersor import _core
from tersor._outputs import dtype_name
from tersor.formats import _arrays as arrays
from tersor.formats._float import FloatFormat, FloatWeight, encoded, require_matrix
from tersor.formats._format import FLOATS, CannotRepresent, Tensors, Wanted, Weight, require_shape, take

_SIZES = (64, 32, 128, 256, 512, 1024, 2048, 4096)
_NESTED_RUN = 256


@dataclass(frozen=True)
class Nested:
    """Scales in 8 bits: ``map[code] * absmax + offset``, an absmax for each ``run`` of codes."""

    codes: Any  # uint8 [scales]
    absmax: Any  # float32 [ceil(scales / run)]
    map: Any  # float32 [256], ascending
    offset: float
    run: int = _NESTED_RUN

    def scales(self) -> Any:
        """float32, of the codes' kind."""
        codes, absmax, numbers = (arrays.in_numpy(each) for each in (self.codes, self.absmax, self.map))
        products = numbers[codes] * np.repeat(absmax, self.run)[: codes.size]
        return arrays.beside(self.codes, products + np.float32(self.offset))


@dataclass(frozen=True)
class BitsAndBytesWeight(FloatWeight):
    """With the scales as they are stored, where that is in 8 bits."""

    nested: Nested | None = None


class BitsAndBytes(FloatFormat):
    """Runs of 64 entries in C order, whatever the rows; two codes a byte, the even entry in the high nibble.

    =======================================  ==========================================================================
    ``weight``                               uint8 [ceil(n / 2), 1]
    ``weight.absmax``                        float32 [ceil(n / 64)]; where nested uint8
    ``weight.quant_map``                     float32 [16], the numbers that codes stand for; not read
    ``weight.nested_absmax``                 float32 [ceil(n / 64 / 256)]; where nested
    ``weight.nested_quant_map``              float32 [256]; where nested
    ``weight.quant_state.bitsandbytes__nf4``  uint8, JSON: quant_type, blocksize, dtype, shape; where nested also
                                             nested_blocksize, nested_dtype, nested_offset
    =======================================  ==========================================================================

    Nested scales are less their mean, rounded once here; bitsandbytes' own comes of a float32 sum, whose last bits
    depend on the number of threads. The rest is as its CPU kernel gives it.
    """

    conventions = ("bitsandbytes",)
    group_sizes = _SIZES

    def __init__(self, kind: str, nested: bool) -> None:
        self.name = f"bitsandbytes-{kind}" + ("-nested" if nested else "")
        self.kind, self._is_nested = kind, nested
        self._state = f"weight.quant_state.bitsandbytes__{kind}"

    def quantize(self, w: Any, wanted: Wanted) -> BitsAndBytesWeight:
        size = self.group_size_of(wanted.bits, wanted.group_size)
        self.convention_of(wanted)
        rows, cols = require_matrix(w)
        count = rows * cols
        packed, scale = encoded(w, self.kind, size, (-(-count // 2), 1), (-(-count // size),))
        dtype = dtype_name(w.dtype)
        nested = nested_scales(scale) if self._is_nested else None
        if nested:
            scale = nested.scales()
        return BitsAndBytesWeight(
            self.kind, packed, scale, size, (rows, cols), "float32" if dtype == "float64" else dtype, nested=nested
        )

    def pack(self, weight: Weight) -> dict[str, Any]:
        codes = self.codes_of(weight, (self.kind,))
        nested = codes.nested if isinstance(codes, BitsAndBytesWeight) else None
        state = {
            "quant_type": self.kind,
            "blocksize": codes.group_size,
            "dtype": codes.dtype,
            "shape": list(codes.shape),
        }
        tensors = {"weight": codes.packed}
        if not self._is_nested:
            tensors["weight.absmax"] = codes.scale
        elif nested is None:
            raise CannotRepresent(f"{self.name} stores scales in 8 bits, in which these would be rounded")
        else:
            tensors["weight.absmax"], tensors["weight.nested_absmax"] = nested.codes, nested.absmax
            tensors["weight.nested_quant_map"] = nested.map
            state |= {"nested_blocksize": nested.run, "nested_dtype": "float32", "nested_offset": nested.offset}
        tensors["weight.quant_map"] = arrays.filled_from(codes.packed, _core.code_table(self.kind), "float32")
        text = np.frombuffer(json.dumps(state).encode(), np.uint8).copy()
        return tensors | {self._state: arrays.beside(codes.packed, text)}

    def unpack(self, tensors: Tensors, bits: int | None, group_size: int | None) -> BitsAndBytesWeight:
        state = self._read_state(tensors)
        size = self.group_size_of(bits, state["blocksize"])
        if group_size not in (None, size):
            raise ValueError(f"group_size is {group_size}, but {self._state} says {size}")
        shape: tuple[int, int] = tuple(state["shape"])
        count = shape[0] * shape[1]
        packed = take(tensors, "weight", ("uint8",), 2)
        require_shape("weight", packed, (-(-count // 2), 1), f"for {shape}")
        scales = take(tensors, "weight.absmax", ("uint8" if self._is_nested else "float32",), 1)
        require_shape("weight.absmax", scales, (-(-count // size),), f"for {shape} in runs of {size}")
        nested = self._unpack_nested(tensors, scales, state) if self._is_nested else None
        scale = nested.scales() if nested else scales
        return BitsAndBytesWeight(self.kind, packed, scale, size, shape, state["dtype"], nested=nested)

    def _unpack_nested(self, tensors: Tensors, codes: Any, state: dict[str, Any]) -> Nested:
        run, offset = state.get("nested_blocksize"), state.get("nested_offset")
        if not isinstance(run, int) or run < 1 or not isinstance(offset, (int, float)):
            raise ValueError(f"{self._state} has nested_blocksize {run!r} and nested_offset {offset!r}; they are numbers")
        absmax = take(tensors, "weight.nested_absmax", ("float32",), 1)
        count = int(codes.shape[0])
        require_shape("weight.nested_absmax", absmax, (-(-count // run),), f"for {count} scales in runs of {run}")
        numbers = take(tensors, "weight.nested_quant_map", ("float32",), 1)
        require_shape("weight.nested_quant_map", numbers, (256,), "for 8 bits")
        return Nested(codes, absmax, numbers, float(offset), run)

    def _read_state(self, tensors: Tensors) -> dict[str, Any]:
        text = arrays.in_numpy(take(tensors, self._state, ("uint8",), 1)).tobytes()
        try:
            state = json.loads(text)
        except ValueError as error:
            raise ValueError(f"{self._state} is no JSON: {error}") from None
        state = state if isinstance(state, dict) else {}
        shape = state.get("shape")
        is_matrix = isinstance(shape, list) and len(shape) == 2 and all(type(n) is int and n >= 0 for n in shape)
        if state.get("quant_type") != self.kind or state.get("dtype") not in FLOATS or not is_matrix:
            raise ValueError(
                f"{self._state} must have quant_type {self.kind}, a dtype and the shape of a matrix; it is {state}"
            )
        if state.get("blocksize") not in _SIZES:
            found = state.get("blocksize")
            raise ValueError(f"{self._state} has blocksize {found!r}; it is a power of two from 32 to 4096")
        return state

    def is_like(self, tensors: Tensors) -> bool:
        return self._state in tensors and ("weight.nested_absmax" in tensors) == self._is_nested


def nested_scales(scale: Any) -> Nested:
    """Scales in 8 bits."""
    numbers, scales = dynamic_map(), arrays.in_numpy(scale)
    offset = np.float32(scales.mean(dtype=np.float64)) if scales.size else np.float32(0)
    rest = scales - offset
    starts = np.arange(0, rest.size, _NESTED_RUN)
    absmax = np.maximum.reduceat(np.abs(rest), starts) if rest.size else np.empty(0, np.float32)
    shares = rest / np.repeat(np.where(absmax > 0, absmax, np.float32(1)), _NESTED_RUN)[: rest.size]
    # bitsandbytes takes the number that is nearest not to a share, but to the nearest of 2**16 places between -1 and 1;
    # where all shares are 0, the first one.
    places = np.floor((shares + np.float32(1)) * np.float32(32767.5) + np.float32(0.5)).astype(np.float64)
    near = (places / 32767.5 - 1).astype(np.float32)
    codes = np.searchsorted((numbers[:-1] + numbers[1:]) / np.float32(2), near).astype(np.uint8)
    codes[np.repeat(absmax == 0, _NESTED_RUN)[: rest.size]] = 0
    stored = (arrays.beside(scale, each) for each in (codes, absmax, numbers))
    return Nested(next(stored), next(stored), next(stored), float(offset))


def dynamic_map() -> NDArray[np.float32]:
    """The 256 numbers of 8-bit scales: signs, powers of ten from 1e-6 to 1, and fractions from 0.1 to 1 in 1, 2, 4, .. 64
    parts, of which the middles are taken; 0 and 1. Dettmers et al., "8-bit Optimizers via Block-wise Quantization"
    (2021).
    """
    numbers = [0.0, 1.0]
    for digits in range(7):
        bounds = _evenly_spaced(2**digits)
        middles = (bounds[:-1] + bounds[1:]) / np.float32(2)
        sized = np.float32(10.0 ** (digits - 6)) * middles
        numbers += [*sized.tolist(), *(-sized).tolist()]
    return np.array(sorted(numbers), np.float32)


def _evenly_spaced(parts: int) -> NDArray[np.float32]:
    """From 0.1 to 1, as torch.linspace: by float32 steps from the nearer end, each number rounded once."""
    begin, end = np.float32(0.1), np.float32(1)
    step, places = np.float64((end - begin) / np.float32(parts)), np.arange(parts + 1)
    numbers = np.where(places < (parts + 1) // 2, begin + step * places, end - step * (parts - places))
    return np.asarray(numbers, np.float32)


BITSANDBYTES = tuple(BitsAndBytes(kind, nested) for kind in ("nf4", "fp4") for nested in (False, True))
