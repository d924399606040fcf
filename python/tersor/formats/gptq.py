"""GPTQ checkpoints, as AutoGPTQ and GPTQModel write them: Frantar et al., "GPTQ" (2022)."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from tersor.formats import _arrays as arrays
from tersor.formats._format import CannotRepresent, Tensors, Weight, require_shape, take
from tersor.formats._integer import (
    IntegerFormat,
    IntegerWeight,
    Words,
    codes_of_turned,
    group_size_from,
    require_whole_words,
    scales_in,
    take_group_numbers,
    take_turned,
    weight_of_turned,
    words_turned,
)

_KEYS = {"qweight", "qzeros", "scales"}


class Gptq(IntegerFormat):
    """The matrix transposed, unsigned codes along its columns in int32 words.

    ===========  ===================================================================
    ``qweight``  int32 [cols * bits / 32, rows]
    ``qzeros``   int32 [groups, rows * bits / 32], packed along the rows
    ``scales``   float16 [groups, rows]
    ``g_idx``    int32 [cols], the group of each column
    ===========  ===================================================================

    Version 1, "gptq", stores zero points less 1; version 2, "gptq_v2", stores them as they are. Symmetric codes have the
    zero point ``2**(bits - 1)``.
    """

    convention = "gptq"
    scale_dtypes: tuple[str, ...] = ("float16",)
    bits: tuple[int, ...] = (2, 3, 4, 8)

    def __init__(self, name: str, less: int) -> None:
        self.name = name
        self._less = less  # what stored zero points are less than true ones

    def pack(self, weight: Weight) -> dict[str, Any]:
        weight = weight.as_integers()
        t = weight.codes
        self.require_bits(weight)
        for axis in (0, 1):
            require_whole_words(self.name, weight, axis)
        zero_points = weight.zero_points()
        if self._less and not bool((zero_points >= self._less).all()):
            raise CannotRepresent("gptq stores zero points less 1, and one of these is 0; gptq_v2 has room for it")
        numbers = weight.group_of_column
        if numbers is None:
            numbers = arrays.group_numbers(t.scale, weight.cols, weight.group_size)
        return {
            "qweight": words_turned(t.q, t.bits, t.signed, 1),
            "qzeros": words_turned(zero_points - self._less, t.bits, False, 0),
            "scales": arrays.contiguous(scales_in(self.name, t.scale, "float16").T),
            "g_idx": numbers,
        }

    def unpack(self, tensors: Tensors, bits: int | None, group_size: int | None) -> IntegerWeight:
        words, stored, scales = take_turned(tensors)
        count, rows = (int(length) for length in scales.shape)
        bits, cols = self._bits_and_columns(tensors, int(words.shape[0]), bits)
        require_shape("qweight", words, (cols * bits // 32, rows), f"for {cols} columns and {rows} rows in {bits} bits")
        require_shape("qzeros", stored, (count, rows * bits // 32), f"for {count} groups and {rows} rows in {bits} bits")
        group_of_column = None
        if "g_idx" in tensors:
            group_of_column, group_size = take_group_numbers(tensors, "g_idx", cols, count)
        if group_of_column is None:
            group_size = group_size_from(count, cols, group_size, "scales")
        zero_point = codes_of_turned(stored, bits, rows, 0) + self._less
        weight = weight_of_turned(words, Words(1), (rows, cols), scales, zero_point, bits, group_size)
        return replace(weight, group_of_column=group_of_column)

    def is_like(self, tensors: Tensors) -> bool:
        """By the stored zero points: all of version 1 are ``2**(bits - 1) - 1`` where codes are symmetric, all of version 2
        ``2**(bits - 1)``. Other values do not tell."""
        if not set(tensors) >= _KEYS or tuple(tensors["qweight"].shape)[1:] != tuple(tensors["scales"].shape)[1:]:
            return False
        bits, _ = self._bits_and_columns(tensors, int(tensors["qweight"].shape[0]), None)
        stored = codes_of_turned(tensors["qzeros"], bits, int(tensors["scales"].shape[1]), 0)
        return arrays.are_equal(stored, 2 ** (bits - 1) - self._less)

    def _bits_and_columns(self, tensors: Tensors, words: int, bits: int | None) -> tuple[int, int]:
        """From g_idx, which has an entry a column; without it codes have 4 bits unless the caller says otherwise."""
        if "g_idx" in tensors:
            cols = int(take(tensors, "g_idx", ("int32", "int64"), 1).shape[0])
            found = [each for each in self.bits if cols * each == words * 32]
            if bits is None and len(found) != 1:
                raise ValueError(f"qweight has {words} rows of words for the {cols} columns of g_idx: no 2, 3, 4 or 8 bits")
            return (bits or found[0]), cols
        bits = bits or 4
        if words * 32 % bits:
            raise ValueError(f"qweight has {words} rows of words, which hold no whole number of {bits}-bit codes")
        return bits, words * 32 // bits


GPTQ = Gptq("gptq", less=1)
GPTQ_V2 = Gptq("gptq_v2", less=0)
