"""The methods of compression: how a weight becomes what is stored, and how that becomes a weight again.

Each method is written once, for both implementations of the operations and for both kinds of array. ``encode`` and
``decode`` go through the operations; ``expected`` says in plain NumPy what must come out of the two.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from demo import coded
from demo.arrays import Array, as_dtype, positions, scatter, select, to_numpy
from demo.checks import require
from demo.sparse import InBitmask, patterns
from demo.storage import Parts
from demo.timing import TimedOperations

QUANTILE_SAMPLE = 1 << 16
INT4_LARGEST = 7
INT8_LARGEST = 127

# What training can make up for: weights that are floats, all or those that are left.
TRAINABLE_FAMILIES = frozenset({"original", "unstructured", "pattern"})


class Method(Protocol):
    """One way to compress a two-dimensional float32 weight."""

    @property
    def name(self) -> str: ...

    @property
    def family(self) -> str: ...

    def encode(self, operations: TimedOperations, weight: Array) -> Parts: ...

    def decode(self, operations: TimedOperations, parts: Parts, shape: tuple[int, ...]) -> Array: ...

    def expected(self, weight: NDArray[Any]) -> NDArray[Any]: ...


def threshold_for(weight: Array, share: float) -> float:
    """The threshold below which about this share of the weight's entries lies.

    A sample places it to within half a percent of the share; sorting millions of entries would change no figure. The
    step is odd, hence prime to the usual widths of layers: an even one would take the same few columns of every row.
    """
    entries = to_numpy(weight).reshape(-1)
    step = max(1, entries.size // QUANTILE_SAMPLE) | 1
    return float(np.quantile(np.abs(entries[::step]), share))


@dataclass(frozen=True)
class Float32:
    """The original, as it is."""

    name: str = "original float32"
    family: str = "original"

    def encode(self, operations: TimedOperations, weight: Array) -> Parts:
        return {"values": weight}

    def decode(self, operations: TimedOperations, parts: Parts, shape: tuple[int, ...]) -> Array:
        return parts["values"]

    def expected(self, weight: NDArray[Any]) -> NDArray[Any]:
        return weight


@dataclass(frozen=True)
class Threshold:
    """The entries below a threshold dropped, about this share. Stored: one bit for each entry, and what is kept."""

    name: str
    share: float
    family: str = "unstructured"

    def encode(self, operations: TimedOperations, weight: Array) -> Parts:
        threshold = threshold_for(weight, self.share)
        bits = operations.mask_threshold(weight, threshold, packed=True)
        pruned = operations.prune_threshold(weight, threshold)
        values = select(pruned, pruned != 0)
        require(len(values) == operations.count_nonzero(pruned), f"{self.name}: the kept values are not the nonzeros")
        dropped = operations.sparsity(pruned)
        require(abs(dropped - self.share) < 0.01, f"{self.name}: {dropped:.4f} of a weight was dropped")
        return {"bits": bits, "values": values}

    def decode(self, operations: TimedOperations, parts: Parts, shape: tuple[int, ...]) -> Array:
        return scatter(parts["values"], operations.unpack_mask(parts["bits"], shape[-1]))

    def expected(self, weight: NDArray[Any]) -> NDArray[Any]:
        return np.where(np.abs(weight) >= np.float32(threshold_for(weight, self.share)), weight, np.float32(0))


@dataclass(frozen=True)
class RoundFixed:
    """Multiples of ``2**-bits``. Stored: codes of that many bits, which hold magnitudes below 1/2.

    Trained weights are larger only here and there; those few codes are listed with their positions.
    """

    name: str
    bits: int
    family: str = "fixed point"

    def encode(self, operations: TimedOperations, weight: Array) -> Parts:
        codes = operations.round_fixed(weight, self.bits) * 2.0**self.bits
        small = codes.clip(-(2 ** (self.bits - 1)), 2 ** (self.bits - 1) - 1)
        outside = codes != small
        listed = select(codes, outside)
        int16_holds = len(listed) == 0 or float(abs(listed).max()) < 2**15
        require(int16_holds, f"{self.name}: a code needs more than 16 bits")
        narrow = as_dtype(small, "int8")
        return {
            "codes": operations.pack_int4(narrow) if self.bits == 4 else narrow,
            "large": as_dtype(listed, "int16"),
            "large_positions": positions(outside),
        }

    def decode(self, operations: TimedOperations, parts: Parts, shape: tuple[int, ...]) -> Array:
        codes = operations.unpack_int4(parts["codes"], shape[-1]) if self.bits == 4 else parts["codes"]
        weight = as_dtype(codes, "float32")
        weight.reshape(-1)[parts["large_positions"]] = as_dtype(parts["large"], "float32")
        return weight * 2.0**-self.bits

    def expected(self, weight: NDArray[Any]) -> NDArray[Any]:
        rounded: NDArray[Any] = np.rint(weight * np.float32(2**self.bits)) / np.float32(2**self.bits)
        return rounded


@dataclass(frozen=True)
class Int8:
    """Codes in [-127, 127] and one scale a row."""

    name: str = "int8, scale per row"
    family: str = "int8"

    def encode(self, operations: TimedOperations, weight: Array) -> Parts:
        codes, scale = operations.quantize_int8(weight)
        return {"codes": codes, "scale": scale}

    def decode(self, operations: TimedOperations, parts: Parts, shape: tuple[int, ...]) -> Array:
        return operations.dequantize_int8(parts["codes"], parts["scale"])

    def expected(self, weight: NDArray[Any]) -> NDArray[Any]:
        scale = np.abs(weight).max(axis=-1, keepdims=True) / np.float32(INT8_LARGEST)
        scale[scale == 0] = 1
        decoded: NDArray[Any] = np.rint(weight / scale) * scale
        return decoded


@dataclass(frozen=True)
class Int4:
    """Codes in [-7, 7], two a byte, and one scale for each group of a row (for the whole row where it is None)."""

    name: str
    group: int | None
    family: str = "int4"

    def grouped(self, weight: Array) -> Array:
        rows, cols = weight.shape
        group = cols if self.group is None or cols % self.group else self.group
        return weight.reshape(rows, cols // group, group)

    def encode(self, operations: TimedOperations, weight: Array) -> Parts:
        groups = self.grouped(weight)
        _, int8_scale = operations.quantize_int8(groups)
        # absmax / 127 becomes absmax / 7; fixed-point rounding with no fractional bits is rounding to integers.
        scale = int8_scale * (INT8_LARGEST / INT4_LARGEST)
        codes = as_dtype(operations.round_fixed(groups / scale, 0), "int8")
        return {"codes": operations.pack_int4(codes), "scale": scale}

    def decode(self, operations: TimedOperations, parts: Parts, shape: tuple[int, ...]) -> Array:
        scale = parts["scale"]
        codes = operations.unpack_int4(parts["codes"], shape[-1] // scale.shape[1])
        return operations.dequantize_int8(codes, scale).reshape(shape)

    def expected(self, weight: NDArray[Any]) -> NDArray[Any]:
        groups = self.grouped(weight)
        scale = np.abs(groups).max(axis=-1, keepdims=True) / np.float32(INT8_LARGEST)
        scale[scale == 0] = 1
        scale = scale * np.float32(INT8_LARGEST / INT4_LARGEST)
        codes: NDArray[Any] = np.rint(groups / scale) * scale
        return codes.reshape(weight.shape)


@dataclass(frozen=True)
class ThresholdInt8:
    """Pruned, then int8. Stored: one bit for each entry, the codes that are kept, and one scale a row."""

    name: str
    share: float
    family: str = "threshold + int8"

    def encode(self, operations: TimedOperations, weight: Array) -> Parts:
        mask = operations.mask_threshold(weight, threshold_for(weight, self.share))
        codes, scale = operations.quantize_int8(operations.apply_mask(weight, mask))
        return {"bits": operations.pack_mask(mask), "codes": select(codes, mask), "scale": scale}

    def decode(self, operations: TimedOperations, parts: Parts, shape: tuple[int, ...]) -> Array:
        mask = operations.unpack_mask(parts["bits"], shape[-1])
        return operations.dequantize_int8(scatter(parts["codes"], mask), parts["scale"])

    def expected(self, weight: NDArray[Any]) -> NDArray[Any]:
        return Int8().expected(Threshold(self.name, self.share).expected(weight))


def sparse_methods() -> list[Method]:
    """The original, and what leaves entries out, from the freest to the strictest pattern."""
    return [
        Float32(),
        Threshold("threshold, about 50 %", 0.5),
        *(InBitmask(pattern) for pattern in patterns()),
    ]


def narrow_methods() -> list[Method]:
    """What stores entries in fewer bits, from the mildest to the most drastic of each family."""
    return [
        RoundFixed("fixed point, 8 bits", 8),
        RoundFixed("fixed point, 4 bits", 4),
        Int8(),
        Int4("int4, scale per row", None),
        Int4("int4, scale per 64", 64),
        *coded.methods(),
        ThresholdInt8("threshold 30 % + int8", 0.3),
    ]
