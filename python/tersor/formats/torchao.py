"""Torchao's plain int4: its Int4Tensor, as torchao's ``flatten_tensor_state_dict`` names the parts of a ``weight``."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from tersor import _core
from tersor._outputs import dtype_name, framework_of
from tersor._quantized import Quantized
from tersor.formats import _arrays as arrays
from tersor.formats._float import FloatFormat, FloatWeight, require_matrix, require_whole_runs
from tersor.formats._format import CannotRepresent, Tensors, Wanted, Weight, require_shape, take, take_scales
from tersor.formats._integer import IntegerWeight, group_size_from, integer_weight, require_scale_dtype
from tersor.pack import pack_bits

_SIZES = (128, 32, 64, 256)
_SCALE_DTYPES = ("float32", "float16", "bfloat16")


@dataclass(frozen=True)
class OffsetWeight(FloatWeight):
    """Signed codes of 4 bits, and what is added to each group's numbers; scales are [rows, groups]."""

    def as_integers(self) -> IntegerWeight:
        if self.offset is not None:
            raise CannotRepresent("torchao-int4 adds numbers to its groups, which are no multiples of their scales")
        scale = arrays.contiguous(self.scale)
        return integer_weight(Quantized(self.packed, scale, None, 4, self.shape, 1, self.group_size, packed=True))


class TorchaoInt4(FloatFormat):
    """Groups along the columns, ``code * scale + zero_point``.

    ======================  ===============================================================================
    ``_weight_qdata``       int8 [rows, cols / 2]: signed codes, the even column in the low nibble
    ``_weight_scale``       float32, float16 or bfloat16 [groups, rows]
    ``_weight_zero_point``  of the same dtype and shape: numbers, not codes; zeros where codes are symmetric
    ======================  ===============================================================================

    Scales and codes are those of ``int4_row_quantize_zp`` (symmetric: ``int4_row_quantize``) of mslk, fbgemm_gpu's until
    1.9: codes are found with scales in float32, which then are rounded.
    """

    name, kind = "torchao-int4", "int4"
    conventions = ("torchao",)
    group_sizes = _SIZES

    def quantize(self, w: Any, wanted: Wanted) -> OffsetWeight:
        size = self.group_size_of(wanted.bits, wanted.group_size)
        self.convention_of(Wanted(convention=wanted.convention))
        rows, cols = require_matrix(w)
        require_whole_runs(self.name, cols, size)
        framework, dtype = framework_of(w, "w"), dtype_name(w.dtype)
        packed, scale = framework.empty(w, (rows, cols // 2), "uint8"), framework.empty(w, (rows, cols // size), "float32")
        offset = None if wanted.symmetric else framework.empty(w, (rows, cols // size), "float32")
        _core.encode_float(w, self.kind, size, 1.0, packed, scale, offset)
        dtype = dtype if dtype in _SCALE_DTYPES else "float32"
        return OffsetWeight(
            self.kind,
            framework.result(packed),
            arrays.cast(framework.result(scale), dtype),
            size,
            (rows, cols),
            dtype,
            offset=None if offset is None else arrays.cast(framework.result(offset), dtype),
        )

    def pack(self, weight: Weight) -> dict[str, Any]:
        codes = weight if isinstance(weight, OffsetWeight) else self._from_integers(weight.as_integers())
        offset = codes.offset
        if offset is None:
            offset = arrays.full(codes.scale, tuple(codes.scale.shape), 0, codes.dtype)
        return {
            "_weight_qdata": arrays.viewed(arrays.contiguous(codes.packed), "int8"),
            "_weight_scale": arrays.contiguous(codes.scale.T),
            "_weight_zero_point": arrays.contiguous(offset.T),
        }

    def _from_integers(self, weight: IntegerWeight) -> OffsetWeight:
        t, dtype = weight.codes, dtype_name(weight.codes.scale.dtype)
        if t.bits != 4 or not t.symmetric:
            raise CannotRepresent(f"{self.name} has codes of 4 bits about zero, and these are others")
        if weight.group_of_column is not None or weight.group_size not in _SIZES or weight.cols % weight.group_size:
            raise CannotRepresent(f"{self.name} has groups of 32, 64, 128 or 256 columns, all of them whole")
        require_scale_dtype(self.name, _SCALE_DTYPES, weight)
        packed = pack_bits(t.q if t.signed else t.q ^ 8, 4)  # two's complement, less 8
        return OffsetWeight(self.kind, packed, t.scale, weight.group_size, (weight.rows, weight.cols), dtype)

    def unpack(self, tensors: Tensors, bits: int | None, group_size: int | None) -> OffsetWeight:
        self.group_size_of(bits, group_size)
        packed = take(tensors, "_weight_qdata", ("int8", "uint8"), 2)
        rows, cols = int(packed.shape[0]), int(packed.shape[1]) * 2
        scale = take_scales(tensors, "_weight_scale", _SCALE_DTYPES)
        size = group_size_from(int(scale.shape[0]), cols, group_size if cols else _SIZES[0], "_weight_scale")
        if size not in _SIZES:
            raise ValueError(f"_weight_scale tells of groups of {size} columns; they have 32, 64, 128 or 256")
        if cols % size:
            raise ValueError(f"_weight_qdata has {cols} codes a row, which are no whole groups of {size}")
        require_shape(
            "_weight_scale", scale, (cols // size, rows), f"for {rows} rows and {cols} columns in groups of {size}"
        )
        dtype = dtype_name(scale.dtype)
        offset = take_scales(tensors, "_weight_zero_point", (dtype,))
        require_shape("_weight_zero_point", offset, tuple(scale.shape), "as _weight_scale")
        return OffsetWeight(
            self.kind,
            arrays.viewed(arrays.contiguous(packed), "uint8"),
            scale.T,
            size,
            (rows, cols),
            dtype,
            offset=None if arrays.are_equal(offset, 0) else offset.T,
        )

    def is_like(self, tensors: Tensors) -> bool:
        return {"_weight_qdata", "_weight_scale", "_weight_zero_point"} <= set(tensors)

    def nearest_to(self, weight: Weight) -> tuple[Wanted, ...]:
        """Symmetric where the codes were."""
        group_size = getattr(weight, "group_size", None)
        try:
            symmetric = weight.as_integers().codes.symmetric
        except CannotRepresent:
            symmetric = False
        return (Wanted(group_size=group_size if group_size in _SIZES else None, symmetric=symmetric),)


TORCHAO_INT4 = TorchaoInt4()
