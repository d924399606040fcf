"""Methods of four bits of other libraries: the best of many scales, the blocks of ggml, the table of bitsandbytes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from numpy.typing import NDArray
from tersor import Quantized, reference

from demo import numpy_operations
from demo.arrays import Array
from demo.storage import Parts
from demo.timing import TimedOperations

BITS, GROUP = 4, 128
SEARCH = {"max_shrink": 0.5, "grid": 20}  # 1, 0.95 and so on to 0.55 of the range


def group_of(cols: int) -> int:
    """Columns with a scale of their own, the whole row where it has fewer."""
    return min(GROUP, cols)


@dataclass(frozen=True)
class LeastError:
    """int4 by groups of 128, whose scales are of the whole range, or of the share of it that leaves the least error."""

    name: str
    scale_method: str
    family: str = "int4"

    def options(self, weight: Array) -> dict[str, Any]:
        group = group_of(int(weight.shape[1]))
        given = {"granularity": "group", "group_size": group, "scale_method": self.scale_method, "packed": True}
        return given | SEARCH if self.scale_method == "mse" else given

    def encode(self, operations: TimedOperations, weight: Array) -> Parts:
        t = operations.quantize(weight, BITS, **self.options(weight))
        return {"codes": t.q, "scale": t.scale}

    def decode(self, operations: TimedOperations, parts: Parts, shape: tuple[int, ...]) -> Array:
        codes, scale = parts["codes"], parts["scale"]
        return operations.dequantize(Quantized(codes, scale, None, BITS, shape, 1, group_of(shape[1]), packed=True))

    def expected(self, weight: NDArray[Any]) -> NDArray[Any]:
        return numpy_operations.dequantize(numpy_operations.quantize(weight, BITS, **self.options(weight)))


@dataclass(frozen=True)
class InFormat:
    """As the checkpoints of another library store it."""

    name: str
    format: str
    family: str = "int4"

    def encode(self, operations: TimedOperations, weight: Array) -> Parts:
        return dict(operations.encode(self.format, weight))

    def decode(self, operations: TimedOperations, parts: Parts, shape: tuple[int, ...]) -> Array:
        return operations.decode(self.format, parts, dtype="float32")

    def expected(self, weight: NDArray[Any]) -> NDArray[Any]:
        """By the specification, which the tests hold against the libraries themselves."""
        if self.format == "gguf-q4_0":
            return reference.decode_gguf(reference.encode_gguf(weight, "q4_0"), "q4_0")
        codes, scale = reference.encode_float(weight, "nf4", 64)
        return reference.decode_float(codes, scale, "nf4", 64, weight.shape, "float32")


def methods() -> list[LeastError | InFormat]:
    """From a scale for many entries to one for a few."""
    return [
        LeastError("int4, scale per 128", "absmax"),
        LeastError("int4, scale per 128, least error", "mse"),
        InFormat("NF4 of bitsandbytes, scale per 64", "bitsandbytes-nf4"),
        InFormat("Q4_0 of ggml, scale per 32", "gguf-q4_0"),
    ]
