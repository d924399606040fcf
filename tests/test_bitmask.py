"""bitmask: bool masks as bits, least significant first."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import tersor
from everywhere import OverlapRefused, SameBitsEverywhere
from layouts import ROW_SIZES, assert_same_bits, each_layout, spec
from operations import case_name, cases

DType = np.dtype[Any]


@pytest.mark.parametrize("operation, dtype", cases("bitmask"), ids=case_name)
class TestBitmaskEverywhere(SameBitsEverywhere, OverlapRefused):
    pass


def every_pattern() -> Any:
    """All 65,536 masks of 16 columns."""
    return (np.arange(1 << 16)[:, None] >> np.arange(16) & 1).astype(bool)


def test_every_pattern(each_level: Any) -> None:
    patterns = every_pattern()
    words = np.arange(1 << 16, dtype="<u2")
    for setting in each_level:
        as_rows = tersor.pack_mask(patterns)
        assert_same_bits(as_rows, words.view(np.uint8).reshape(-1, 2), setting)
        assert_same_bits(tersor.pack_mask(patterns.ravel()), words.view(np.uint8), setting)
        assert_same_bits(tersor.unpack_mask(as_rows, 16), patterns, setting)


@pytest.mark.parametrize("shift", range(1, 16))
def test_every_pattern_at_other_places(shift: int, each_level: Any) -> None:
    """Rows of 17 to 31 columns: the patterns lie across bytes and groups of lanes, and every row has a tail."""
    patterns = np.pad(every_pattern(), ((0, 0), (shift, 0)))
    expected = spec.pack_mask(patterns)
    for setting in each_level:
        packed = tersor.pack_mask(patterns)
        assert_same_bits(packed, expected, setting)
        assert_same_bits(tersor.unpack_mask(packed, 16 + shift), patterns, setting)


def test_each_single_bit(each_level: Any) -> None:
    for cols in (1, 7, 8, 9, 15, 16, 17, 63, 64, 65, 129):
        mask = np.eye(cols, dtype=bool)
        for setting in each_level:
            assert_same_bits(tersor.pack_mask(mask), spec.pack_mask(mask), f"{cols} columns, {setting}")
            assert_same_bits(tersor.pack_mask(~mask), spec.pack_mask(~mask), f"{cols} columns, {setting}")


def test_padding_is_written_as_zero(each_level: Any) -> None:
    for cols in ROW_SIZES:
        for setting in each_level:
            out = np.full((2, (cols + 7) // 8), 0xFF, np.uint8)
            tersor.pack_mask(np.ones((2, cols), bool), out=out)
            assert np.unpackbits(out, bitorder="little").sum() == 2 * cols, f"{cols} columns, {setting}"


def test_padding_is_not_read(each_level: Any) -> None:
    for cols in ROW_SIZES:
        packed = np.full((3, (cols + 7) // 8), 0xFF, np.uint8)
        for setting in each_level:
            assert_same_bits(tersor.unpack_mask(packed, cols), np.ones((3, cols), bool), f"{cols} columns, {setting}")


def test_unpacked_bytes_are_zero_or_one(each_level: Any) -> None:
    packed = np.arange(256, dtype=np.uint8)
    for setting in each_level:
        assert set(np.unique(tersor.unpack_mask(packed, 2048).view(np.uint8))) == {0, 1}, setting


def test_there_and_back(settings: Any) -> None:
    mask = np.random.default_rng(4).random((37, 4099)) < 0.3
    for name, arranged in each_layout(mask):
        for setting in settings:
            assert_same_bits(tersor.unpack_mask(tersor.pack_mask(arranged), 4099), mask, f"{name}, {setting}")


def test_frameworks_agree(framework: Any) -> None:
    mask = np.random.default_rng(5).random((5, 77)) < 0.5
    packed = tersor.pack_mask(framework.array(mask))
    assert_same_bits(framework.numpy(packed), spec.pack_mask(mask))
    assert_same_bits(framework.numpy(tersor.unpack_mask(packed, 77)), mask)


@pytest.mark.parametrize("cols", [71, 72, 81, 0, 800])
def test_columns_that_do_not_fit_the_bytes(cols: int) -> None:
    """10 bytes hold 73 to 80 columns."""
    with pytest.raises(ValueError, match=r"\b(bits|cols)\b"):
        tersor.unpack_mask(np.zeros((3, 10), np.uint8), cols)


@pytest.mark.parametrize("cols", range(73, 81))
def test_columns_that_fit_the_bytes(cols: int) -> None:
    assert tersor.unpack_mask(np.zeros((3, 10), np.uint8), cols).shape == (3, cols)


def test_count(settings: Any) -> None:
    """Padding, set here, is ignored."""
    rng = np.random.default_rng(6)
    for shape, cols in (((9,), 71), ((3, 1), 5), ((700, 401), 3205), ((1, 300_000), 2_399_999), ((0, 4), 32), ((4, 0), 0)):
        bits = rng.integers(0, 256, shape, np.uint8)
        expected = spec.count_mask(bits, cols)
        for name, arranged in each_layout(bits):
            for setting in settings:
                assert tersor.count_mask(arranged, cols) == expected, f"{shape}, {name}, {setting}"


def test_logic_in_place_of_either(each_level: Any) -> None:
    rng = np.random.default_rng(7)
    a, b = rng.integers(0, 256, (2, 50, 33), np.uint8)
    for setting in each_level:
        for name in ("and", "or", "xor"):
            combine, expected = getattr(tersor, f"{name}_masks"), getattr(np, f"bitwise_{name}")(a, b)
            for place in range(2):
                arrays = [a.copy(), b.copy()]
                assert combine(*arrays, out=arrays[place]) is arrays[place]
                assert_same_bits(arrays[place], expected, f"{name}, {setting}")
