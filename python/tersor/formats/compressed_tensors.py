"""pack-quantized, as compressed-tensors writes it for llm-compressor and vLLM."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from tersor._arguments import word_count
from tersor._quantized import Quantized
from tersor.formats import _arrays as arrays
from tersor.formats._format import FLOATS, Tensors, Weight, require_shape, take, take_scales
from tersor.formats._integer import (
    IntegerFormat,
    IntegerWeight,
    Words,
    group_size_from,
    take_group_numbers,
    words_along,
)
from tersor.pack import unpack_bits

_BITS = (2, 3, 4, 5, 6, 7, 8)


class PackQuantized(IntegerFormat):
    """int32 words along the columns; signed codes with an offset of ``2**(bits - 1)``.

    =====================  ===============================================================================
    ``weight_packed``      int32 [rows, ceil(cols * bits / 32)]
    ``weight_scale``       [rows, groups]
    ``weight_shape``       int64 [2]
    ``weight_zero_point``  int32 [ceil(rows * bits / 32), groups], packed along the rows; where asymmetric
    ``weight_g_idx``       int32 [cols]; where groups are no runs
    =====================  ===============================================================================

    Up to release 0.12 words of 3, 5, 6 and 7 bits are padded (``padded``), later ones are one stream of bits.
    """

    convention = "compressed-tensors"
    scale_dtypes: tuple[str, ...] = FLOATS
    bits: tuple[int, ...] = _BITS

    def __init__(self, name: str, padded: bool) -> None:
        self.name = name
        self._padded = padded

    def pack(self, weight: Weight) -> dict[str, Any]:
        weight = weight.as_integers()
        t = weight.codes
        tensors = {
            "weight_packed": words_along(t.q, t.bits, t.signed, 1, padded=self._padded),
            "weight_scale": t.scale,
            "weight_shape": arrays.filled_from(t.scale, list(t.shape), "int64"),
        }
        if t.zero_point is not None:
            tensors["weight_zero_point"] = words_along(t.zero_point, t.bits, t.signed, 0, padded=self._padded)
        if weight.group_of_column is not None:
            tensors["weight_g_idx"] = weight.group_of_column
        return tensors

    def unpack(self, tensors: Tensors, bits: int | None, group_size: int | None) -> IntegerWeight:
        words, shape = take(tensors, "weight_packed", ("int32",), 2), take(tensors, "weight_shape", ("int32", "int64"), 1)
        require_shape("weight_shape", shape, (2,), "for a matrix")
        rows, cols = (int(length) for length in shape)
        if rows < 0 or cols < 0:
            raise ValueError(f"weight_shape is ({rows}, {cols}); lengths are at least 0")
        if bits is None:
            bits = self._bits_of(int(words.shape[1]), cols)
        require_shape("weight_packed", words, (rows, self._words(cols, bits)), f"for ({rows}, {cols}) in {bits} bits")
        scale = take_scales(tensors, "weight_scale")
        count = int(scale.shape[1])
        require_shape("weight_scale", scale, (rows, count), f"for {rows} rows")
        group_of_column = None
        if "weight_g_idx" in tensors:
            group_of_column, group_size = take_group_numbers(tensors, "weight_g_idx", cols, count)
        if group_of_column is None:
            group_size = group_size_from(count, cols, group_size, "weight_scale")
        zero_point = None
        if "weight_zero_point" in tensors:
            packed = take(tensors, "weight_zero_point", ("int32",), 2)
            require_shape("weight_zero_point", packed, (self._words(rows, bits), count), f"for {rows} rows in {bits} bits")
            zero_point = unpack_bits(packed, bits, rows, signed=False, padded=self._padded, axis=0)
        size = None if count == 1 else group_size
        # Without the offset, codes are unsigned ones. Where words are full they are what tersor packs.
        is_packed = 32 % bits == 0 and cols * bits % 32 == 0
        t = Quantized(words, scale, zero_point, bits, (rows, cols), 1, size, signed=False)
        if is_packed:
            return IntegerWeight(replace(t, q=arrays.bytes_of(words), packed=True), group_of_column)
        return IntegerWeight(t, group_of_column, Words(1, padded=self._padded))

    def is_like(self, tensors: Tensors) -> bool:
        return {"weight_packed", "weight_scale", "weight_shape"} <= set(tensors)

    def _words(self, count: int, bits: int) -> int:
        return word_count(count, bits, 32, self._padded)

    def _bits_of(self, words: int, cols: int) -> int:
        found = [bits for bits in _BITS if self._words(cols, bits) == words]
        if len(found) != 1:
            which = f"{' or '.join(map(str, found))} bits" if found else "codes of no number of bits"
            raise ValueError(f"weight_packed has {words} words for {cols} columns, which hold {which}; pass bits")
        return found[0]


PACK_QUANTIZED = PackQuantized("pack-quantized", padded=False)
PADDED_PACK_QUANTIZED = PackQuantized("pack-quantized-padded", padded=True)
