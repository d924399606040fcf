"""AWQ checkpoints, as AutoAWQ's GEMM layout has them: Lin et al., "AWQ" (2023)."""

from __future__ import annotations

from typing import Any

from tersor.formats import _arrays as arrays
from tersor.formats._format import CannotRepresent, Tensors, Weight, require_shape
from tersor.formats._integer import (
    IntegerFormat,
    IntegerWeight,
    Words,
    codes_of_turned,
    group_size_from,
    require_whole_words,
    scales_in,
    take_turned,
    weight_of_turned,
    words_turned,
)


class Awq(IntegerFormat):
    """The matrix transposed, 4-bit unsigned codes along its rows in int32 words, each 8 in the order 0, 2, 4, 6, 1, 3, 5, 7.

    ===========  ================================
    ``qweight``  int32 [cols, rows / 8]
    ``qzeros``   int32 [groups, rows / 8]
    ``scales``   float16 [groups, rows]
    ===========  ================================
    """

    name = "awq"
    convention = "awq"
    scale_dtypes: tuple[str, ...] = ("float16",)
    bits: tuple[int, ...] = (4,)

    def pack(self, weight: Weight) -> dict[str, Any]:
        weight = weight.as_integers()
        t = weight.codes
        self.require_bits(weight)
        if weight.group_of_column is not None:
            raise CannotRepresent("awq has groups that are runs of columns, and these are not")
        if weight.cols % weight.group_size:
            raise CannotRepresent(f"awq has whole groups, and {weight.cols} columns are none of {weight.group_size}")
        require_whole_words(self.name, weight, 0)
        return {
            "qweight": words_turned(t.q, 4, t.signed, 0, "awq"),
            "qzeros": words_turned(weight.zero_points(), 4, False, 0, "awq"),
            "scales": arrays.contiguous(scales_in(self.name, t.scale, "float16").T),
        }

    def unpack(self, tensors: Tensors, bits: int | None, group_size: int | None) -> IntegerWeight:
        if bits not in (None, 4):
            raise ValueError(f"awq has codes of 4 bits, and bits is {bits}")
        words, stored, scales = take_turned(tensors)
        count, rows = (int(length) for length in scales.shape)
        cols = int(words.shape[0])
        if rows % 8:
            raise ValueError(f"scales has {rows} columns; awq has multiples of 8")
        require_shape("qweight", words, (cols, rows // 8), f"for scales of {rows} rows")
        require_shape("qzeros", stored, (count, rows // 8), f"for {count} groups of {rows} rows")
        size = group_size_from(count, cols, group_size, "scales")
        zero_point = codes_of_turned(stored, 4, rows, 0, "awq")
        return weight_of_turned(words, Words(0, "awq"), (rows, cols), scales, zero_point, 4, size)

    def is_like(self, tensors: Tensors) -> bool:
        if not set(tensors) >= {"qweight", "qzeros", "scales"} or "g_idx" in tensors:
            return False
        words, scales = tuple(tensors["qweight"].shape), tuple(tensors["scales"].shape)
        return len(words) == len(scales) == 2 and words[1] * 8 == scales[1]


AWQ = Awq()
