"""formats: integer codes in words, as numbers at once, in tiles of them and wherever they lie in memory."""

from __future__ import annotations

import itertools
from typing import Any

import ml_dtypes
import numpy as np
import pytest
import tersor
from layouts import Array, assert_same_bits, spec
from tersor import formats

# A name and the bits that it is tried with: along the columns, turned, across the rows, padded.
LAYOUTS = [
    ("pack-quantized", 3),
    ("pack-quantized", 4),
    ("pack-quantized-padded", 5),
    ("gptq", 2),
    ("gptq_v2", 3),
    ("gptq_v2", 4),
    ("gptq_v2", 8),
    ("awq", 4),
]
FLOATS = [np.float32, np.float16, ml_dtypes.bfloat16, np.float64]


def codes(rows: int, cols: int, bits: int, group_size: int, symmetric: bool, dtype: Any = np.float16) -> tersor.Quantized:
    random = np.random.default_rng([rows, cols, bits])
    groups = -(-cols // group_size)
    q = random.integers(0, 2**bits, (rows, cols)).astype(np.uint8)
    scale = (random.integers(1, 1000, (rows, groups)) / 1024).astype(dtype)
    zero_point = None if symmetric else random.integers(1, 2**bits, (rows, groups)).astype(np.uint8)
    return tersor.Quantized(q, scale, zero_point, bits, (rows, cols), 1, None if groups == 1 else group_size, signed=False)


def expected_numbers(t: tersor.Quantized, dtype: Any) -> Array:
    size = t.group_size or t.shape[1]
    return spec.dequantize(t.q, t.scale, t.zero_point, dtype, granularity="group", group_size=size, bits=t.bits)


def tensors_of(name: str, t: tersor.Quantized) -> dict[str, Any]:
    return formats.transcode("pack-quantized", name, formats.encode("pack-quantized", t), group_size=t.group_size)


def assert_decodes(name: str, t: tersor.Quantized, dtype: Any, settings: Any, context: str = "") -> None:
    tensors, expected = tensors_of(name, t), expected_numbers(t, dtype)
    size = t.group_size
    for setting in settings:
        numbers = formats.decode(name, tensors, bits=t.bits, group_size=size, dtype=dtype)
        assert_same_bits(numbers, expected, f"{context} {setting}")


@pytest.mark.parametrize("dtype", FLOATS, ids=lambda dtype: np.dtype(dtype).name)
@pytest.mark.parametrize("symmetric", [True, False], ids=["symmetric", "asymmetric"])
@pytest.mark.parametrize("name, bits", LAYOUTS)
def test_every_dtype(name: str, bits: int, symmetric: bool, dtype: Any, each_level: Any) -> None:
    assert_decodes(name, codes(64, 96, bits, 32, symmetric), dtype, each_level)


@pytest.mark.parametrize("name, bits", LAYOUTS)
def test_every_group_size(name: str, bits: int, each_level: Any) -> None:
    """Powers of two and others, shorter than a word and longer than a tile, and a last one that is short."""
    for cols, group_size in ((96, 8), (96, 24), (96, 16), (192, 64), (4224, 4224), (8320, 4160), (96, 40)):
        if cols % group_size and name == "awq":
            continue  # has whole groups
        for symmetric in (True, False):
            assert_decodes(name, codes(32, cols, bits, group_size, symmetric), np.float32, each_level, f"{group_size}")


@pytest.mark.parametrize("rows, cols", [(552, 2304), (32, 6400)])
@pytest.mark.parametrize("name, bits", LAYOUTS)
def test_several_tiles(name: str, bits: int, rows: int, cols: int, settings: Any) -> None:
    if rows * bits % 32:
        rows = rows // 32 * 32
    for dtype in (np.float32, ml_dtypes.bfloat16):
        assert_decodes(name, codes(rows, cols, bits, 128, False), dtype, settings)


@pytest.mark.parametrize("dtype", [np.float32, np.float64, ml_dtypes.bfloat16], ids=lambda dtype: np.dtype(dtype).name)
def test_scales_of_every_dtype(dtype: Any, each_level: Any) -> None:
    t = codes(8, 96, 4, 32, False, dtype)
    tensors = formats.encode("pack-quantized-padded", t)
    for setting in each_level:
        numbers = formats.decode("pack-quantized-padded", tensors, dtype=np.float32)
        assert_same_bits(numbers, expected_numbers(t, np.float32), setting)


@pytest.mark.parametrize("name", ["gptq_v2", "awq"])
def test_words_and_numbers_that_lie_anywhere(name: str, each_level: Any) -> None:
    """From any word of a cache line on, and with gaps; the numbers too."""
    t = codes(544, 256, 4, 64, False)
    tensors, expected = tensors_of(name, t), expected_numbers(t, np.float32)
    words = tensors["qweight"]
    for start, step in itertools.product((0, 1, 5, 15), (1, 3)):
        room = np.zeros(words.size * step + 16, np.int32)
        placed = room[start : start + words.size * step : step].reshape(words.shape)
        placed[...] = words
        out = np.zeros(expected.size + 16, np.float32)[start : start + expected.size].reshape(expected.shape)
        apart = np.zeros((expected.shape[0], 2 * expected.shape[1]), np.float32)[:, ::2]
        for setting in each_level:
            for numbers in (out, apart):
                formats.decode(name, {**tensors, "qweight": placed}, out=numbers)
                assert_same_bits(np.ascontiguousarray(numbers), expected, f"{start}, {step}, {setting}")


@pytest.mark.parametrize("order", ["low_first", "high_first", "awq"])
def test_codes_across_rows(order: str, settings: Any) -> None:
    """Eight rows to a row of words: several tiles, ragged ones, words from any place of a cache line on."""
    for rows, cols in ((8, 1), (8, 63), (520, 1100), (1040, 130)):
        for signed, offset in ((False, False), (True, False), (True, True)):
            q = np.random.default_rng(rows).integers(0, 16, (rows, cols)).astype(np.uint8)
            if signed:
                q = (q.astype(np.int16) - 8).astype(np.int8)
            layout = {"order": order, "offset": offset, "axis": 0}
            expected = spec.pack_bits(q, 4, "int32", **layout)
            for start in (0, 3):
                room = np.zeros(expected.size + 16, np.int32)[start : start + expected.size]
                turned = room.reshape(expected.shape[::-1]).T
                for setting in settings:
                    context = f"{rows} x {cols}, signed {signed}, offset {offset}, from {start}, {setting}"
                    turned[...] = 0
                    tersor.pack_bits(q, 4, word="int32", **layout, out=turned)
                    assert_same_bits(np.ascontiguousarray(turned), expected, context)
                    back = tersor.unpack_bits(turned, 4, rows, signed=signed, **layout)
                    assert_same_bits(back, q, context)


def test_what_does_not_fit_across_rows_is_found(settings: Any) -> None:
    for place in ((0, 0), (7, 63), (519, 1099), (512, 1024)):
        q = np.zeros((520, 1100), np.int8)
        q[place] = 8
        for _ in settings:
            with pytest.raises(ValueError, match=r"outside \[-8, 7\]"):
                tersor.pack_bits(q, 4, word="int32", offset=True, axis=0)


@pytest.mark.parametrize("items", [np.uint8, np.uint16, np.int32])
def test_turned_arrays_of_every_item(items: Any, each_level: Any) -> None:
    """Codes, halves and words that are read and written across their rows, in blocks and beside them."""
    if items == np.uint16:
        for rows, cols in ((7, 9), (8, 8), (40, 37)):
            w = np.random.default_rng(rows).standard_normal((cols, rows)).astype(np.float16)
            expected = tersor.quantize(np.ascontiguousarray(w.T), 4, granularity="group", group_size=4)
            for setting in each_level:
                turned = tersor.quantize(w.T, 4, granularity="group", group_size=4)
                assert_same_bits(turned.q, expected.q, f"{rows} x {cols}, {setting}")
        return
    for rows, cols in ((7, 9), (8, 8), (40, 37), (130, 70)):
        q = np.random.default_rng(rows).integers(0, 256, (rows, 4 * cols)).astype(np.uint8)
        turned = np.asfortranarray(q) if items == np.uint8 else q
        out = np.zeros((rows, cols), np.int32, order="F" if items == np.int32 else "C")
        for setting in each_level:
            tersor.pack_bits(turned, 8, word="int32", out=out)
            assert_same_bits(np.ascontiguousarray(out), q.view(np.int32), f"{rows} x {cols}, {setting}")
