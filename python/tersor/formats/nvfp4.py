"""NVFP4: float4_e2m1fn codes, a float8_e4m3fn scale for each 16 columns, and one scale for all of these."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from tersor import _core
from tersor._outputs import dtype_name
from tersor.formats import _arrays as arrays
from tersor.formats._float import (
    FloatFormat,
    FloatWeight,
    encoded,
    require_matrix,
    require_whole_runs,
    take_codes,
    take_float8,
    take_positive,
)
from tersor.formats._format import CannotRepresent, Tensors, Wanted, Weight, require_shape

_RUN = 16
_GREATEST = np.float32(448 * 6)  # of float8_e4m3fn times that of float4_e2m1fn
_KINDS = ("nvfp4", "nvfp4-modelopt")


@dataclass(frozen=True)
class Nvfp4Weight(FloatWeight):
    """With the scale of activations, which stands beside the weight and is moved with it."""

    input_scale: float | None = None


class Nvfp4(FloatFormat):
    """Two codes a byte, the even column in the low nibble.

    ====================================================  =================  =============================================
    compressed-tensors                                    Model Optimizer
    ====================================================  =================  =============================================
    ``weight_packed``                                     ``weight``         uint8 [rows, cols / 2]
    ``weight_scale``                                      ``weight_scale``   float8_e4m3fn [rows, cols / 16]
    ``weight_global_scale`` [1], what scales are divided  ``weight_scale_2``  float32, what they are multiplied by
    by
    ``input_global_scale`` [1]                            ``input_scale``    float32, of activations; where there is one
    ====================================================  =================  =============================================
    """

    group_sizes = (_RUN,)

    def __init__(self, name: str, kind: str, keys: tuple[str, str, str], shape: tuple[int, ...], convention: str) -> None:
        self.name, self.kind, self.conventions = name, kind, (convention,)
        self._codes, self._global, self._input = keys
        self._shape = shape  # of the scales of all

    def quantize(self, w: Any, wanted: Wanted) -> FloatWeight:
        self.group_size_of(wanted.bits, wanted.group_size)
        self.convention_of(wanted)
        rows, cols = require_matrix(w)
        require_whole_runs(self.name, cols, _RUN)
        of_all = self._scale_of_all(w)
        packed, scale = encoded(w, self.kind, _RUN, (rows, cols // 2), (rows, cols // _RUN), of_all)
        return Nvfp4Weight(self.kind, packed, scale, _RUN, (rows, cols), "bfloat16", global_scale=of_all)

    def _scale_of_all(self, w: Any) -> float:
        """So that the greatest magnitude becomes 448 * 6; 1 where that is no float32 number above 0."""
        greatest = np.float32(_core.greatest_magnitude(w))
        with np.errstate(all="ignore"):
            if self.kind == "nvfp4":
                reciprocal = _in_dtype_of(w, np.float32(1) / greatest)
                scale = _in_dtype_of(w, reciprocal * _GREATEST)
            else:
                scale = greatest / _GREATEST
        return float(scale) if np.isfinite(scale) and scale > 0 else 1.0

    def pack(self, weight: Weight) -> dict[str, Any]:
        codes = self.codes_of(weight, _KINDS)
        tensors = {
            self._codes: codes.packed,
            "weight_scale": arrays.as_float8(codes.scale, "float8_e4m3fn"),
            self._global: self._one_number(codes, self._global, codes.global_scale),
        }
        if isinstance(codes, Nvfp4Weight) and codes.input_scale is not None:
            tensors[self._input] = self._one_number(codes, self._input, codes.input_scale)
        return tensors

    def _one_number(self, codes: FloatWeight, key: str, value: float) -> Any:
        """As this layout stores it: where the weight came of the other one, the reciprocal, if that is exact."""
        if codes.kind != self.kind:
            if float(np.float32(1 / value)) * value != 1:
                raise CannotRepresent(
                    f"{self.name} stores as {key} the reciprocal of {value:.9g}, which is no float32 number; "
                    "that of a power of two is one"
                )
            value = 1 / value
        return arrays.filled_from(codes.packed, [value], "float32").reshape(self._shape)

    def unpack(self, tensors: Tensors, bits: int | None, group_size: int | None) -> FloatWeight:
        self.group_size_of(bits, group_size)
        packed, shape = take_codes(tensors, self._codes)
        scale = take_float8(tensors, "weight_scale", "float8_e4m3fn")
        require_shape("weight_scale", scale, (shape[0], -(-shape[1] // _RUN)), f"for {shape[1]} columns in runs of {_RUN}")
        if shape[1] % _RUN:
            raise ValueError(f"{self._codes} has {shape[1]} codes a row, which are no whole runs of {_RUN}")
        of_all = take_positive(tensors, self._global)
        input_scale = take_positive(tensors, self._input) if self._input in tensors else None
        return Nvfp4Weight(self.kind, packed, scale, _RUN, shape, "bfloat16", global_scale=of_all, input_scale=input_scale)

    def is_like(self, tensors: Tensors) -> bool:
        return {self._codes, "weight_scale", self._global} <= set(tensors)


def _in_dtype_of(w: Any, number: Any) -> Any:
    """A float32 number rounded to w's dtype, and back."""
    rounded = arrays.cast(arrays.filled_from(w, [float(number)], "float32"), dtype_name(w.dtype))
    return np.float32(float(arrays.cast(rounded, "float32")[0]))


NVFP4_PACK_QUANTIZED = Nvfp4(
    "nvfp4-pack-quantized",
    "nvfp4",
    ("weight_packed", "weight_global_scale", "input_global_scale"),
    (1,),
    "compressed-tensors",
)
MODELOPT_NVFP4 = Nvfp4("modelopt-nvfp4", "nvfp4-modelopt", ("weight", "weight_scale_2", "input_scale"), (), "modelopt")
