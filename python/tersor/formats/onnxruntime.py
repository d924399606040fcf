"""Weights of onnxruntime's operator MatMulNBits."""

from __future__ import annotations

from typing import Any

from tersor._arguments import word_count
from tersor._quantized import Quantized
from tersor.formats import _arrays as arrays
from tersor.formats._format import CannotRepresent, Tensors, Weight, require_shape, take, take_scales
from tersor.formats._integer import IntegerFormat, IntegerWeight, require_scale_dtype
from tersor.pack import pack_bits, unpack_bits


class MatMulNBits(IntegerFormat):
    """Unsigned codes of 2, 4 or 8 bits in blocks of 16, 32, 64 and so on along the columns. The names are those of the
    operator's inputs; its attributes K and N are the columns and the rows.

    ===============  ====================================================================
    ``B``            uint8 [rows, blocks, block * bits / 8]
    ``scales``       float32, float16 or bfloat16 [rows, blocks]
    ``zero_points``  uint8 [rows, ceil(blocks * bits / 8)]; ``2**(bits - 1)`` without it
    ===============  ====================================================================
    """

    name = "matmulnbits"
    convention = "matmulnbits"
    scale_dtypes: tuple[str, ...] = ("float32", "float16", "bfloat16")
    bits: tuple[int, ...] = (2, 4, 8)

    def pack(self, weight: Weight) -> dict[str, Any]:
        weight = weight.as_integers()
        t, block = weight.codes, weight.group_size
        self.require_bits(weight)
        self.require_blocks(weight)
        if block < 16 or block & (block - 1) or weight.cols % block:
            raise CannotRepresent(
                f"matmulnbits has whole blocks of 16, 32, 64 and so on, and {weight.cols} columns in groups of {block} are "
                "none; pad the columns with zeros"
            )
        require_scale_dtype(self.name, self.scale_dtypes, weight)
        blocks = weight.cols // block
        packed = pack_bits(t.q, t.bits, offset=t.signed)
        tensors = {"B": packed.reshape(weight.rows, blocks, block * t.bits // 8), "scales": t.scale}
        if t.zero_point is not None:
            tensors["zero_points"] = pack_bits(self._whole_bytes(weight.zero_points(), t.bits), t.bits)
        return tensors

    def unpack(self, tensors: Tensors, bits: int | None, group_size: int | None) -> IntegerWeight:
        packed, scale = take(tensors, "B", ("uint8",), 3), take_scales(tensors, "scales", self.scale_dtypes)
        rows, blocks, block_bytes = (int(length) for length in packed.shape)
        require_shape("scales", scale, (rows, blocks), f"for {rows} rows of {blocks} blocks")
        bits = self._bits_of(block_bytes, bits, group_size)
        block = block_bytes * 8 // bits
        zero_point = None
        if "zero_points" in tensors:
            stored = take(tensors, "zero_points", ("uint8",), 2)
            width = word_count(blocks, bits, 8, False)
            require_shape("zero_points", stored, (rows, width), f"for {blocks} blocks of {bits} bits")
            zero_point = unpack_bits(stored, bits, blocks, signed=False)
        q = arrays.contiguous(packed).reshape(rows, blocks * block_bytes)
        shape = (rows, blocks * block)
        return IntegerWeight(Quantized(q, scale, zero_point, bits, shape, 1, block, signed=False, packed=True))

    def is_like(self, tensors: Tensors) -> bool:
        return {"B", "scales"} <= set(tensors) and len(tensors["B"].shape) == 3

    def _whole_bytes(self, zero_points: Any, bits: int) -> Any:
        """With those of symmetric codes in the rest of the last byte, as onnxruntime has it."""
        rows, blocks = (int(length) for length in zero_points.shape)
        padded = arrays.full(zero_points, (rows, -(-blocks * bits // 8) * 8 // bits), 2 ** (bits - 1), "uint8")
        padded[:, :blocks] = zero_points
        return padded

    def _bits_of(self, block_bytes: int, bits: int | None, group_size: int | None) -> int:
        """4 unless the caller says otherwise."""
        if bits is None:
            bits = block_bytes * 8 // group_size if group_size else 4
        if bits not in self.bits or (group_size and block_bytes * 8 != bits * group_size):
            raise ValueError(
                f"B has blocks of {block_bytes} bytes, which hold no {group_size or 'number of'} codes of 2, 4 or 8 bits "
                f"(bits is {bits})"
            )
        return bits


MATMULNBITS = MatMulNBits()
