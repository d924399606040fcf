"""prune by pattern: n of m, transposable 2:4, blocks, at every level and thread count."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest
import tersor
from layouts import LAYOUTS, Array, assert_same_bits, random_values, spec

DType = np.dtype[Any]
SHAPES = [(0,), (1,), (3,), (5, 37), (3, 0), (2, 3, 41), (9, 130), (70_001,)]


def few_values(shape: Any, dtype: DType, seed: int) -> Array:
    values = np.array([0.0, -0.0, 1.0, -1.0, 2.0, np.nan, np.inf], dtype)
    return np.asarray(values[np.random.default_rng(seed).integers(0, values.size, shape)])


def check_nm(w: Array, n: int, m: int, settings: Any, context: str = "") -> None:
    """The mask, its bits and the pruned array, at every setting."""
    mask = spec.mask_nm(w, n, m)
    bits, pruned = spec.pack_mask(mask), spec.apply_mask(w, mask)
    for setting in settings:
        where = f"{n}:{m}, {context}, {setting}"
        assert_same_bits(tersor.mask_nm(w, n, m), mask, where)
        assert_same_bits(tersor.mask_nm(w, n, m, packed=True), bits, where)
        assert_same_bits(tersor.prune_nm(w, n, m), pruned, where)


class TestNM:
    @pytest.mark.parametrize(
        "n, m", [(1, 2), (1, 4), (2, 4), (3, 4), (2, 3), (5, 7), (4, 8), (7, 16), (3, 24), (1, 32), (31, 32)]
    )
    def test_every_shape(self, n: int, m: int, dtype: DType, each_level: Any) -> None:
        for number, shape in enumerate(SHAPES):
            for w in (random_values(shape, dtype, number), few_values(shape, dtype, number)):
                check_nm(w, n, m, each_level, str(shape))

    def test_every_pair(self, each_level: Any) -> None:
        w = few_values((2, 211), np.dtype(np.float32), 1)
        for m in range(2, 33):
            for n in {1, m // 2, m - 1}:
                check_nm(w, n, m, each_level)

    @pytest.mark.parametrize("n", [1, 2, 3])
    def test_every_order_of_four(self, n: int, dtype: DType, each_level: Any) -> None:
        """All ways in which four magnitudes can be ordered, ties among them."""
        quads = np.array(list(itertools.product(range(4), repeat=4)), np.float32)
        w = (quads * np.array([1, -1, 1, -1], np.float32)).astype(dtype).reshape(-1)
        check_nm(w, n, 4, each_level)

    @pytest.mark.parametrize("m", [8, 16])
    def test_every_mask(self, m: int, each_level: Any) -> None:
        """All 2**8 and 2**16 patterns of large and small entries in a group."""
        patterns = (np.arange(1 << m)[:, None] >> np.arange(m) & 1).astype(np.float16).reshape(-1)
        check_nm(patterns, m // 2, m, each_level)

    def test_every_thread_count(self, dtype: DType, settings: Any) -> None:
        w = random_values((1201, 1003), dtype, 1)
        for n, m in ((2, 4), (3, 5), (4, 8)):
            check_nm(w, n, m, settings)

    @pytest.mark.parametrize("axis", [0, 1, 2, -3, -2])
    def test_every_axis_and_layout(self, axis: int, dtype: DType) -> None:
        w = random_values((13, 9, 11), dtype, 1)
        expected = spec.mask_nm(w, 2, 4, axis)
        for name, arrange in LAYOUTS.items():
            assert_same_bits(tersor.prune_nm(arrange(w), 2, 4, axis=axis), spec.apply_mask(w, expected), name)
            assert_same_bits(tersor.mask_nm(arrange(w), 2, 4, axis=axis, packed=True), spec.pack_mask(expected), name)

    def test_in_place(self, dtype: DType, each_level: Any) -> None:
        for setting in each_level:
            w = random_values((40, 1001), dtype, 1)
            expected = spec.apply_mask(w, spec.mask_nm(w, 2, 4))
            assert tersor.prune_nm(w, 2, 4, out=w) is w
            assert_same_bits(w, expected, setting)


class TestTransposable:
    def test_every_shape(self, dtype: DType, each_level: Any) -> None:
        for number, shape in enumerate([(4, 4), (1, 1), (3, 5), (2, 7, 9), (8, 70), (5, 0), (0, 4)]):
            for w in (random_values(shape, dtype, number), few_values(shape, dtype, number)):
                expected = spec.mask_transposable(w)
                for setting in each_level:
                    assert_same_bits(tersor.mask_nm(w, 2, 4, transposable=True), expected, f"{shape}, {setting}")
                    got = tersor.mask_nm(w, 2, 4, transposable=True, packed=True)
                    assert_same_bits(got, spec.pack_mask(expected), f"{shape}, {setting}")
                    assert_same_bits(
                        tersor.prune_nm(w, 2, 4, transposable=True), spec.apply_mask(w, expected), f"{shape}, {setting}"
                    )

    def test_is_2_of_4_both_ways(self, dtype: DType, settings: Any) -> None:
        w = random_values((1204, 1000), dtype, 1, np.array([], dtype))
        masks = set()
        for _ in settings:
            mask = tersor.mask_nm(w, 2, 4, transposable=True)
            masks.add(mask.tobytes())
            assert (mask.reshape(1204, 250, 4).sum(-1) == 2).all()
            assert (mask.reshape(301, 4, 1000).sum(1) == 2).all()
        assert len(masks) == 1

    def test_layouts(self, dtype: DType) -> None:
        w = random_values((9, 22), dtype, 1)
        expected = spec.apply_mask(w, spec.mask_transposable(w))
        for name, arrange in LAYOUTS.items():
            got = arrange(w)
            assert_same_bits(tersor.prune_nm(got, 2, 4, transposable=True), expected, name)
            assert_same_bits(tersor.prune_nm(got, 2, 4, transposable=True, out=got), expected, name)


def exact_sums(shape: Any, dtype: DType, seed: int) -> Array:
    """Small multiples of an eighth: sums and sums of squares do not round, in any order."""
    return (np.random.default_rng(seed).integers(-40, 41, shape) / 8).astype(dtype)


@pytest.mark.parametrize("norm", ["l1", "l2", "max"])
class TestBlocks:
    @pytest.mark.parametrize("block", [(1, 1), (1, 4), (4, 1), (4, 4), (3, 5), (16, 16), (2, 100), (100, 3)])
    def test_every_shape(self, block: tuple[int, int], norm: str, dtype: DType, each_level: Any) -> None:
        for number, shape in enumerate([(1, 1), (7, 9), (2, 5, 37), (64, 70), (5, 0), (0, 5)]):
            w = exact_sums(shape, dtype, number)
            for share in (0.0, 0.5, 0.9, 1.0):
                expected = spec.mask_blocks(w, block, share, norm)
                for setting in each_level:
                    context = f"{shape}, {share}, {setting}"
                    assert_same_bits(tersor.mask_blocks(w, block, share, norm=norm), expected, context)
                    got = tersor.mask_blocks(w, block, share, norm=norm, packed=True)
                    assert_same_bits(got, spec.pack_mask(expected), context)
                    pruned = tersor.prune_blocks(w, block, share, norm=norm)
                    assert_same_bits(pruned, spec.apply_mask(w, expected), context)

    def test_the_same_everywhere(self, norm: str, dtype: DType, settings: Any) -> None:
        """Also where sums round: bits do not depend on threads, level or layout."""
        w = random_values((203, 1003), dtype, 1, np.array([], dtype))
        results = set()
        for _ in settings:
            for arrange in LAYOUTS.values():
                results.add(tersor.mask_blocks(arrange(w), (4, 16), 0.6, norm=norm).tobytes())
        assert len(results) == 1

    def test_nan_stays_and_infinity_ranks_below_it(self, norm: str, dtype: DType) -> None:
        w = np.zeros((4, 8), dtype)
        w[0, 0], w[2, 5], w[1, 6] = np.inf, np.nan, 1
        kept = tersor.mask_blocks(w, (2, 2), 5 / 8, norm=norm)
        assert kept[::2, ::2].tolist() == [[True, False, False, True], [False, False, True, False]]
        assert int(tersor.mask_blocks(w, (2, 2), 7 / 8, norm=norm).sum()) == 4
        assert tersor.mask_blocks(w, (2, 2), 7 / 8, norm=norm)[2, 5]

    def test_in_place(self, norm: str, dtype: DType) -> None:
        w = exact_sums((40, 1001), dtype, 1)
        expected = spec.apply_mask(w, spec.mask_blocks(w, (4, 4), 0.5, norm))
        assert tersor.prune_blocks(w, (4, 4), 0.5, norm=norm, out=w) is w
        assert_same_bits(w, expected, "in place")
