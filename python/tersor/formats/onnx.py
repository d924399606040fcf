"""Weights as ONNX stores the input of its operator DequantizeLinear: https://onnx.ai/onnx/operators, since opset 21."""

from __future__ import annotations

from typing import Any

from tersor._arguments import word_count
from tersor._outputs import dtype_name
from tersor._quantized import Quantized
from tersor.formats import _arrays as arrays
from tersor.formats._format import Tensors, Weight, require_shape, take, take_scales
from tersor.formats._integer import IntegerFormat, IntegerWeight, group_size_from, require_scale_dtype
from tersor.pack import pack_bits, unpack_bits

_BYTES = ("int8", "uint8")
_BITS_OF_ITEMS = {"int2": 2, "uint2": 2, "int4": 4, "uint4": 4, "int8": 8, "uint8": 8}


class DequantizeLinear(IntegerFormat):
    """Codes of ONNX's types INT2, INT4 and INT8, or UINT2, UINT4 and UINT8. The names are those of the operator's inputs and
    of its attribute; its ``axis`` is 1 for blocks of columns, and 0 for whole rows.

    ================  ==================================================================================================
    ``x``             8 bits: int8 or uint8 [rows, cols]. 2 and 4 bits: int8 or uint8 [ceil(rows * cols * bits / 8)], the
                      ``raw_data`` of an ONNX tensor, int8 where its type is signed; or an array [rows, cols] of ml_dtypes'
                      int2, uint2, int4 or uint4, as ``onnx.numpy_helper`` has it
    ``x_shape``       int64 [2], the rows and columns of ``x`` where it is ``raw_data``
    ``x_scale``       float32, float16 or bfloat16 [rows, blocks]; [rows] for whole rows; or a scalar
    ``x_zero_point``  of the type of x and the shape of ``x_scale``, its ``raw_data`` where codes have 2 or 4 bits; zeros
                      without it
    ``block_size``    int64 [1], the columns of a block, of which the last one of a row may have fewer; where scales are
                      [rows, blocks]. Without it blocks are equal, unless group_size is passed
    ================  ==================================================================================================

    Codes about zero have a signed type and no zero points. ``raw_data`` is written, arrays of ml_dtypes are read.
    """

    name = "dequantizelinear"
    convention = "onnx"
    scale_dtypes: tuple[str, ...] = ("float32", "float16", "bfloat16")
    bits: tuple[int, ...] = (2, 4, 8)

    def pack(self, weight: Weight) -> dict[str, Any]:
        weight = weight.as_integers()
        t = weight.codes
        self.require_bits(weight)
        self.require_blocks(weight)
        require_scale_dtype(self.name, self.scale_dtypes, weight)
        signed = t.signed or t.symmetric
        # The zero point of unsigned codes about the middle is no zero, which is what ONNX has where there are none.
        q = t.q if signed == t.signed else t.q ^ 2 ** (t.bits - 1)
        tensors = {"x": _stored(q, t.bits, signed)}
        if t.bits < 8:
            tensors["x_shape"] = arrays.filled_from(t.scale, list(t.shape), "int64")
        scale_shape = (weight.rows,) if t.group_size is None else tuple(t.scale.shape)
        tensors["x_scale"] = t.scale.reshape(scale_shape)
        if t.zero_point is not None:
            tensors["x_zero_point"] = _stored(t.zero_point.reshape(scale_shape), t.bits, signed)
        if t.group_size is not None:
            tensors["block_size"] = arrays.filled_from(t.scale, [t.group_size], "int64")
        return tensors

    def unpack(self, tensors: Tensors, bits: int | None, group_size: int | None) -> IntegerWeight:
        codes, bits, shape, signed, is_packed = _take_codes(tensors, bits)
        scale_ndim = len(getattr(tensors.get("x_scale"), "shape", ()))
        scale = take_scales(tensors, "x_scale", self.scale_dtypes, min(scale_ndim, 2))
        scale_shape = tuple(int(length) for length in scale.shape)
        size = None
        if scale_ndim > 1:
            require_shape("x_scale", scale, (shape[0], scale_shape[1]), f"for {shape[0]} rows")
            size = group_size_from(scale_shape[1], shape[1], _block_size(tensors, group_size), "x_scale")
        elif scale_ndim == 1:
            require_shape("x_scale", scale, shape[:1], f"for {shape[0]} rows")
        zero_point = _take_zero_points(tensors, bits, scale_shape, signed)
        if zero_point is None and not signed:
            zero_point = arrays.full(codes, scale_shape, 0, "uint8")
        if zero_point is not None and arrays.are_equal(zero_point, 0 if signed else 2 ** (bits - 1)):
            zero_point = None
        scale = _a_row(scale, codes, shape[0])
        if zero_point is not None:
            zero_point = _a_row(zero_point, codes, shape[0])
        return IntegerWeight(Quantized(codes, scale, zero_point, bits, shape, 1, size, signed, is_packed))

    def is_like(self, tensors: Tensors) -> bool:
        if not {"x", "x_scale"} <= set(tensors):
            return False
        return len(tensors["x"].shape) == (1 if "x_shape" in tensors else 2)


def _stored(q: Any, bits: int, signed: bool) -> Any:
    """Codes, or all their bits one after the other, as bytes that tell whether they are signed."""
    stored = arrays.contiguous(q)
    if bits < 8:
        stored = pack_bits(stored.reshape(-1), bits)
    return arrays.viewed(stored, "int8" if signed else "uint8")


def _take_codes(tensors: Tensors, bits: int | None) -> tuple[Any, int, tuple[int, int], bool, bool]:
    """Codes of a matrix, their bits, its shape, whether they are signed, and whether they are packed: those whose rows are
    whole bytes stay so."""
    if "x_shape" not in tensors:
        x = take(tensors, "x", tuple(_BITS_OF_ITEMS), 2)
        kind = dtype_name(x.dtype)
        if bits not in (None, _BITS_OF_ITEMS[kind]):
            raise ValueError(f"x has dtype {kind}, whose codes have {_BITS_OF_ITEMS[kind]} bits; bits is {bits}")
        signed = not kind.startswith("u")
        rows, cols = (int(length) for length in x.shape)
        return arrays.cast(x, _BYTES[not signed]), _BITS_OF_ITEMS[kind], (rows, cols), signed, False
    x, stored_shape = take(tensors, "x", _BYTES, 1), take(tensors, "x_shape", ("int32", "int64"), 1)
    require_shape("x_shape", stored_shape, (2,), "for a matrix")
    rows, cols = (int(length) for length in stored_shape)
    if rows < 0 or cols < 0:
        raise ValueError(f"x_shape is ({rows}, {cols}); lengths are at least 0")
    bits, signed = _bits_of(int(x.shape[0]), (rows, cols), bits), dtype_name(x.dtype) == "int8"
    raw = arrays.bytes_of(x)
    if cols * bits % 8 == 0:
        return raw.reshape(rows, cols * bits // 8), bits, (rows, cols), signed, True
    return unpack_bits(raw, bits, rows * cols, signed=signed).reshape(rows, cols), bits, (rows, cols), signed, False


def _bits_of(nbytes: int, shape: tuple[int, int], bits: int | None) -> int:
    """2 or 4, the latter where both fit."""
    fitting = [each for each in (4, 2) if word_count(shape[0] * shape[1], each, 8, False) == nbytes]
    if not fitting or bits not in (None, *fitting):
        which = " or ".join(map(str, fitting)) or "neither 2 nor 4"
        raise ValueError(f"x has {nbytes} bytes, which hold codes of {which} bits of shape {shape}; bits is {bits}")
    return bits or fitting[0]


def _take_zero_points(tensors: Tensors, bits: int, shape: tuple[int, ...], signed: bool) -> Any:
    """int8 or uint8 of a shape, or None."""
    if "x_zero_point" not in tensors:
        return None
    kind = _BYTES[not signed]
    items = kind.replace("8", str(bits))
    if bits < 8 and dtype_name(getattr(tensors["x_zero_point"], "dtype", None)) == kind:
        raw, count = take(tensors, "x_zero_point", (kind,), 1), 1
        for length in shape:
            count *= length
        require_shape("x_zero_point", raw, (word_count(count, bits, 8, False),), f"for {count} codes of {bits} bits")
        return unpack_bits(arrays.bytes_of(raw), bits, count, signed=signed).reshape(shape)
    stored = take(tensors, "x_zero_point", tuple({items, kind}), len(shape))
    require_shape("x_zero_point", stored, shape, "as x_scale has")
    return arrays.cast(stored, kind)


def _block_size(tensors: Tensors, group_size: int | None) -> int | None:
    """What the tensors or the caller say."""
    if "block_size" not in tensors:
        return group_size
    stored = take(tensors, "block_size", ("int32", "int64"), 1)
    require_shape("block_size", stored, (1,), "for a number")
    size = int(stored[0])
    if group_size not in (None, size):
        raise ValueError(f"block_size is {size}, but group_size is {group_size}; leave it out")
    return size


def _a_row(values: Any, like: Any, rows: int) -> Any:
    """Of blocks as they are; of whole rows, or of the whole weight, [rows, 1]."""
    if len(values.shape) == 2:
        return values
    if len(values.shape) == 1:
        return values.reshape(rows, 1)
    repeated = arrays.empty(like, (rows, 1), dtype_name(values.dtype))
    repeated[...] = values
    return repeated


DEQUANTIZELINEAR = DequantizeLinear()
