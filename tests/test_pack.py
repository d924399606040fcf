"""pack: two signed nibbles a byte, and codes of any few bits."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import tersor
from everywhere import OverlapRefused, SameBitsEverywhere
from layouts import LAYOUTS, ROW_SIZES, assert_same_bits, each_layout, large_size, spec
from operations import case_name, cases

INVALID = [value for value in range(-128, 128) if not -8 <= value <= 7]


@pytest.mark.parametrize("operation, dtype", cases("pack"), ids=case_name)
class TestPackEverywhere(SameBitsEverywhere, OverlapRefused):
    pass


def every_pair() -> Any:
    """All 256 pairs of nibbles, the first of each in the low nibble of bytes 0 to 255."""
    low, high = np.arange(256) & 15, np.arange(256) >> 4
    return ((np.stack([low, high], axis=-1).ravel() ^ 8) - 8).astype(np.int8)


def test_every_pair(each_level: Any) -> None:
    pairs, expected = every_pair(), np.arange(256, dtype=np.uint8)
    for setting in each_level:
        assert_same_bits(tersor.pack_int4(pairs), expected, setting)
        assert_same_bits(tersor.unpack_int4(expected, 512), pairs, setting)


def test_every_pair_at_every_place(each_level: Any) -> None:
    """Rows that start with 0 to 63 other columns: each pair meets each lane, and odd starts put a pair across two
    bytes."""
    for before in range(64):
        q = np.concatenate([np.full(before, -3, np.int8), every_pair()])
        expected = spec.pack_int4(q)
        for setting in each_level:
            assert_same_bits(tersor.pack_int4(q), expected, f"after {before}, {setting}")
            assert_same_bits(tersor.unpack_int4(expected, q.size), q, f"after {before}, {setting}")


@pytest.mark.parametrize("cols", [64 * 3 + 1, 64 * 2 + 32, 63])
def test_every_invalid_value_at_every_place(level: str, cols: int) -> None:
    q = np.zeros(cols, np.int8)
    for place in range(cols):
        for value in INVALID if place % 7 == 0 or place >= cols - 64 else (-128, -9, 8, 127):
            q[place] = value
            with pytest.raises(ValueError, match="outside"):
                tersor.pack_int4(q)
        q[place] = 0
    tersor.pack_int4(q)


def test_invalid_value_in_any_row_and_chunk(settings: Any) -> None:
    """Found wherever it lies, with any number of threads; q is as it was."""
    shape = (50, 20_001)
    for row, col in [(0, 0), (0, 20_000), (23, 7), (49, 20_000), (49, 0)]:
        q = np.zeros(shape, np.int8)
        q[row, col] = 8
        before = q.copy()
        for setting in settings:
            with pytest.raises(ValueError, match=r"q holds values outside \[-8, 7\]"):
                tersor.pack_int4(q)
            assert_same_bits(q, before, setting)


def test_invalid_value_in_any_layout(each_level: Any) -> None:
    for place in (0, 1, 500, 1000):
        q = np.zeros((3, 1001), np.int8)
        q[1, place] = -9
        for arrange in LAYOUTS.values():
            arranged = arrange(q)
            for _ in each_level:
                with pytest.raises(ValueError, match="outside"):
                    tersor.pack_int4(arranged)


def test_invalid_values_around_the_array_are_not_read(each_level: Any) -> None:
    for cols in ROW_SIZES:
        memory = np.full((3, cols + 2), 99, np.int8)
        q = memory[:, 1:-1]
        q[...] = 7
        for setting in each_level:
            assert_same_bits(tersor.pack_int4(q), spec.pack_int4(q), f"{cols} columns, {setting}")


def test_padding_nibble(each_level: Any) -> None:
    for cols in (1, 3, 31, 33, 65, 129):
        for setting in each_level:
            packed = tersor.pack_int4(np.full((2, cols), -1, np.int8), out=np.full((2, (cols + 1) // 2), 0xAA, np.uint8))
            assert (packed[:, -1] == 0x0F).all(), f"{cols} columns, {setting}"
            packed[:, -1] |= 0x70
            assert_same_bits(tersor.unpack_int4(packed, cols), np.full((2, cols), -1, np.int8), f"{cols} columns, {setting}")


def test_there_and_back(settings: Any) -> None:
    q = np.random.default_rng(4).integers(-8, 8, (37, 4099), np.int8)
    for name, arranged in each_layout(q):
        for setting in settings:
            assert_same_bits(tersor.unpack_int4(tersor.pack_int4(arranged), 4099), q, f"{name}, {setting}")


def test_large_all_extreme(settings: Any) -> None:
    q = np.where(np.arange(large_size(2)) % 3 == 0, -8, 7).astype(np.int8)
    expected = spec.pack_int4(q)
    for setting in settings:
        assert_same_bits(tersor.pack_int4(q), expected, setting)


def test_frameworks_agree(framework: Any) -> None:
    q = np.random.default_rng(5).integers(-8, 8, (5, 77), np.int8)
    packed = tersor.pack_int4(framework.array(q))
    assert_same_bits(framework.numpy(packed), spec.pack_int4(q))
    assert_same_bits(framework.numpy(tersor.unpack_int4(packed, 77)), q)


@pytest.mark.parametrize("cols", [17, 18, 21, 0, 200])
def test_columns_that_do_not_fit_the_bytes(cols: int) -> None:
    """10 bytes hold 19 or 20 columns."""
    with pytest.raises(ValueError, match=r"\b(p|cols)\b"):
        tersor.unpack_int4(np.zeros((3, 10), np.uint8), cols)


@pytest.mark.parametrize("cols", [19, 20])
def test_columns_that_fit_the_bytes(cols: int) -> None:
    assert tersor.unpack_int4(np.zeros((3, 10), np.uint8), cols).shape == (3, cols)


# --- any number of bits ------------------------------------------------------------------------------------------------


def codes_of(bits: int, signed: bool, shape: tuple[int, ...], seed: int = 0) -> Any:
    low = -(2 ** (bits - 1)) if signed else 0
    dtype = np.int8 if signed else np.uint8
    return np.random.default_rng(seed).integers(low, low + 2**bits, shape).astype(dtype)


@pytest.mark.parametrize("bits", range(1, 9))
class TestEveryNumberOfBits:
    @pytest.mark.parametrize("signed", [True, False], ids=["int8", "uint8"])
    def test_every_row_size(self, bits: int, signed: bool, each_level: Any) -> None:
        for cols in (*range(75), 127, 128, 129, 300):
            q = codes_of(bits, signed, (3, cols), cols)
            for word in ("uint8", "int32"):
                for padded in (False, True):
                    expected = spec.pack_bits(q, bits, word, padded)
                    for setting in each_level:
                        context = f"{cols} columns, {word}, padded {padded}, {setting}"
                        packed = tersor.pack_bits(q, bits, word=word, padded=padded)
                        assert_same_bits(packed, expected, context)
                        assert_same_bits(tersor.unpack_bits(packed, bits, cols, signed=signed, padded=padded), q, context)

    def test_every_pair_at_every_place(self, bits: int, each_level: Any) -> None:
        """All pairs of neighbours, each at every place within eight codes, which are whole bytes."""
        pairs = np.stack(np.meshgrid(*[np.arange(2**bits, dtype=np.uint8)] * 2), axis=-1).reshape(-1)
        for before in range(8):
            q = np.concatenate([np.zeros(before, np.uint8), pairs])
            expected = spec.pack_bits(q, bits)
            for setting in each_level:
                assert_same_bits(tersor.pack_bits(q, bits), expected, f"{before} before, {setting}")
                assert_same_bits(tersor.unpack_bits(expected, bits, q.size, signed=False), q, f"{before}, {setting}")

    def test_all_that_does_not_fit_is_found(self, bits: int, each_level: Any) -> None:
        for dtype, values in ((np.int8, range(-128, 128)), (np.uint8, range(256))):
            low = -(2 ** (bits - 1)) if dtype == np.int8 else 0
            for place in (0, 63, 64, 69):
                q = np.zeros((2, 70), dtype)
                for value in values:
                    q[1, place] = value
                    if low <= value < low + 2**bits:
                        continue
                    for _ in each_level:
                        with pytest.raises(ValueError, match="outside"):
                            tersor.pack_bits(q, bits)

    def test_long_rows(self, bits: int, settings: Any) -> None:
        for shape in ((700_003,), (3, 300_000), (5000, 96)):
            q = codes_of(bits, True, shape)
            for word, padded in (("uint8", False), ("int32", True)):
                expected = spec.pack_bits(q, bits, word, padded)
                for setting in settings:
                    packed = tersor.pack_bits(q, bits, word=word, padded=padded)
                    assert_same_bits(packed, expected, f"{shape}, {word}, {setting}")
                    assert_same_bits(tersor.unpack_bits(packed, bits, shape[-1], padded=padded), q, f"{shape}, {setting}")

    def test_padded_words_of_compressed_tensors(self, bits: int) -> None:
        pytest.importorskip("compressed_tensors", reason="compressed-tensors is not installed")
        import torch
        from compressed_tensors.compressors.quantized_compressors.pack_quantized import pack_to_int32, unpack_from_int32

        q = codes_of(bits, True, (5, 77))
        packed = tersor.pack_bits(q, bits, word="int32", padded=True, offset=True)
        assert_same_bits(packed, pack_to_int32(torch.from_numpy(q), bits).numpy())
        assert_same_bits(unpack_from_int32(torch.from_numpy(packed), bits, torch.Size(q.shape)).numpy(), q)


# --- other orders, offsets and axes --------------------------------------------------------------------------------------


@pytest.mark.parametrize("order", ["low_first", "high_first", "awq", "halves"])
class TestOrders:
    @pytest.mark.parametrize("word", ["uint8", "int32"])
    def test_every_row_size(self, order: str, word: str, each_level: Any) -> None:
        for signed, offset in ((False, False), (True, False), (True, True)):
            for cols in (*range(70), 127, 129, 4095, 4096, 4097, 9000):
                q = codes_of(4, signed, (3, cols), cols)
                layout = {"order": order, "offset": offset}
                expected = spec.pack_bits(q, 4, word, **layout)
                for setting in each_level:
                    context = f"{cols} columns, signed {signed}, offset {offset}, {setting}"
                    assert_same_bits(tersor.pack_bits(q, 4, word=word, **layout), expected, context)
                    assert_same_bits(tersor.unpack_bits(expected, 4, cols, signed=signed, **layout), q, context)

    def test_every_pair_at_every_place(self, order: str, each_level: Any) -> None:
        """All pairs of neighbours, each at every place of a run."""
        pairs = np.stack(np.meshgrid(*[np.arange(16, dtype=np.uint8)] * 2), axis=-1).reshape(-1)
        for before in range(32):
            q = np.concatenate([np.zeros(before, np.uint8), pairs])
            expected = spec.pack_bits(q, 4, order=order)
            for setting in each_level:
                assert_same_bits(tersor.pack_bits(q, 4, order=order), expected, f"{before} before, {setting}")
                back = tersor.unpack_bits(expected, 4, q.size, signed=False, order=order)
                assert_same_bits(back, q, f"{before}, {setting}")

    def test_every_axis_and_stride(self, order: str, settings: Any) -> None:
        q = codes_of(4, True, (40, 6, 50))
        for axis in (0, 1, 2, -1, -2, -3):
            layout = {"order": order, "offset": True, "axis": axis}
            expected = spec.pack_bits(q, 4, "int32", **layout)
            for setting in settings:
                context = f"axis {axis}, {setting}"
                assert_same_bits(tersor.pack_bits(q, 4, word="int32", **layout), expected, context)
                out = np.full(tuple(2 * length for length in expected.shape), 77, np.int32)[::2, ::2, 1::2]
                tersor.pack_bits(q, 4, word="int32", **layout, out=out)
                assert_same_bits(np.ascontiguousarray(out), expected, context)
                assert_same_bits(tersor.unpack_bits(out, 4, q.shape[axis], **layout), q, context)

    def test_what_does_not_fit_is_found(self, order: str) -> None:
        for offset in (False, True):
            for value in (-128, -9, 8, 127):
                for place in (0, 31, 32, 69):
                    q = np.zeros((2, 70), np.int8)
                    q[1, place] = value
                    with pytest.raises(ValueError, match=r"outside \[-8, 7\]"):
                        tersor.pack_bits(q, 4, order=order, offset=offset)


@pytest.mark.parametrize("start", [0, 4, 16, 48])
def test_past_the_caches_from_any_place(start: int, settings: Any) -> None:
    """Outputs too large for a cache, whose lines begin after some words, or some bytes, or never with a word."""
    cols = 1 << 16
    q = np.random.default_rng(start).integers(-8, 8, (300, cols)).astype(np.int8).repeat(2, axis=0)
    nibbles = (q.view(np.uint8) ^ 8) & 0x0F
    expected = (nibbles[:, ::2] | nibbles[:, 1::2] << 4).view(np.int32)
    words = np.zeros(expected.nbytes + 64, np.uint8)[start : start + expected.nbytes].view(np.int32).reshape(expected.shape)
    back = np.zeros(q.size + 64, np.int8)[start : start + q.size].reshape(q.shape)
    for setting in settings:
        tersor.pack_bits(q, 4, word="int32", offset=True, out=words)
        assert np.array_equal(words, expected), setting
        tersor.unpack_bits(words, 4, cols, offset=True, out=back)
        assert np.array_equal(back, q), setting


@pytest.mark.parametrize("bits", range(1, 9))
def test_offset_at_every_number_of_bits(bits: int, each_level: Any) -> None:
    for padded in (False, True):
        for cols in (1, 7, 33, 64, 77, 5000):
            q = codes_of(bits, True, (3, cols))
            expected = spec.pack_bits(q, bits, "int32", padded, offset=True)
            moved = (q.astype(np.int16) + 2 ** (bits - 1)).astype(np.uint8)
            assert_same_bits(expected, spec.pack_bits(moved, bits, "int32", padded))
            for setting in each_level:
                packed = tersor.pack_bits(q, bits, word="int32", padded=padded, offset=True)
                assert_same_bits(packed, expected, f"{cols} columns, {setting}")
                assert_same_bits(tersor.unpack_bits(packed, bits, cols, padded=padded, offset=True), q, f"{cols}, {setting}")
