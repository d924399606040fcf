"""MXFP4: float4_e2m1fn codes, and a power of two for each 32 columns. OCP Microscaling Formats (MX) Specification 1.0."""

from __future__ import annotations

from typing import Any

from tersor.formats._float import (
    FloatFormat,
    FloatWeight,
    encoded,
    require_matrix,
    require_whole_runs,
    take_codes,
    take_float8,
)
from tersor.formats._format import Tensors, Wanted, Weight, require_shape

_RUN = 32


class Mxfp4(FloatFormat):
    """As compressed-tensors stores it: two codes a byte, the even column in the low nibble.

    =================  ========================================================
    ``weight_packed``  uint8 [rows, cols / 2]
    ``weight_scale``   uint8 [rows, cols / 32]: s stands for ``2**(s - 127)``
    =================  ========================================================

    By the specification ("ocp") a scale is ``2**(floor(log2(max(|w|))) - 2)``; 6 of them are the most, and what is greater
    is clipped. compressed-tensors takes the next power where max(|w|) is 1.75 times its own or more, so
    that no error exceeds half a step.
    """

    name, kind = "mxfp4-pack-quantized", "mxfp4"
    conventions = ("compressed-tensors", "ocp")
    group_sizes = (_RUN,)

    def quantize(self, w: Any, wanted: Wanted) -> FloatWeight:
        self.group_size_of(wanted.bits, wanted.group_size)
        kind = "mxfp4-ocp" if self.convention_of(wanted) == "ocp" else self.kind
        rows, cols = require_matrix(w)
        require_whole_runs(self.name, cols, _RUN)
        packed, scale = encoded(w, kind, _RUN, (rows, cols // 2), (rows, cols // _RUN))
        return FloatWeight(self.kind, packed, scale, _RUN, (rows, cols), "bfloat16")

    def pack(self, weight: Weight) -> dict[str, Any]:
        codes = self.codes_of(weight, (self.kind,))
        return {"weight_packed": codes.packed, "weight_scale": codes.scale}

    def unpack(self, tensors: Tensors, bits: int | None, group_size: int | None) -> FloatWeight:
        self.group_size_of(bits, group_size)
        packed, shape = take_codes(tensors, "weight_packed")
        scale = take_float8(tensors, "weight_scale", "float8_e8m0fnu")
        require_shape("weight_scale", scale, (shape[0], -(-shape[1] // _RUN)), f"for {shape[1]} columns in runs of {_RUN}")
        if shape[1] % _RUN:
            raise ValueError(f"weight_packed has {shape[1]} codes a row, which are no whole runs of {_RUN}")
        return FloatWeight(self.kind, packed, scale, _RUN, shape, "bfloat16")

    def is_like(self, tensors: Tensors) -> bool:
        keys = set(tensors)
        return {"weight_packed", "weight_scale"} <= keys and not keys & {"weight_shape", "weight_global_scale"}


MXFP4_PACK_QUANTIZED = Mxfp4()
