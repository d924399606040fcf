"""The two layouts of 2:4 storage: their kernels, and the shapes of their parts."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from tersor import _core
from tersor._arguments import columns_of, packed_shape, resized_shape


@dataclass(frozen=True)
class Layout:
    """``compress(w, values, metadata)`` and ``decompress(values, metadata, out)`` fill arrays that exist."""

    compress: Callable[[Any, Any, Any], None]
    decompress: Callable[[Any, Any, Any], None]
    metadata_dtype: str
    entries_a_word: int | None  # of 16-bit entries; None where metadata are bits

    def part_shapes(self, shape: Any, dtype: str) -> tuple[tuple[int, ...], tuple[int, ...]]:
        """Of values and metadata. What is no multiple is left for the op to refuse."""
        cols = columns_of(shape, "w")
        values = resized_shape(shape, -1, cols // 2)
        if self.entries_a_word is None:
            return values, packed_shape(shape, 8)
        # A float32 entry counts as two.
        return values, resized_shape(shape, -1, cols // (self.entries_a_word // (2 if dtype == "float32" else 1)))


_LAYOUTS = {
    "bitmask": Layout(_core.compress_24_bitmask, _core.decompress_24_bitmask, "uint8", None),
    "cutlass": Layout(_core.compress_24_cutlass, _core.decompress_24_cutlass, "int16", 16),
}


def layout_of(name: Any) -> Layout:
    """The layout of that name."""
    if not isinstance(name, str) or name not in _LAYOUTS:
        raise ValueError(f"layout must be 'bitmask' or 'cutlass', not {name!r}")
    return _LAYOUTS[name]


def dense_shape(values_shape: Any) -> tuple[int, ...]:
    """Of the array whose values have this shape."""
    return resized_shape(values_shape, -1, 2 * columns_of(values_shape, "values"))
