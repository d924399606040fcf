"""prune by rank: exact shares by scores, products and chance, at every level and thread count. For magnitudes see
test_prune.py."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import tersor
from layouts import FLOATS, LAYOUTS, Array, assert_same_bits, each_layout, random_values, spec, special_values

DType = np.dtype[Any]
SHAPES = [(), (0,), (7,), (3, 0), (5, 37), (2, 3, 41), (70_001,), (300, 257)]
SHARES = [0.0, 0.3, 0.5, 0.97, 1.0]
AXES = {"tensor": None, "row": -1, "column": -2}


def plain(shape: Any, dtype: DType, seed: int) -> Array:
    return random_values(shape, dtype, seed, np.array([], dtype))


def few_values(shape: Any, dtype: DType, seed: int) -> Array:
    """Many ties, zeros of both signs and NaN among them."""
    values = np.array([0.0, -0.0, 1.0, -1.0, 2.0, np.nan, np.inf], dtype)
    return np.asarray(values[np.random.default_rng(seed).integers(0, values.size, shape)])


SCORES: dict[str, Callable[..., Array]] = {"special": random_values, "plain": plain, "few values": few_values}


def scopes_of(shape: Any) -> list[str]:
    return [scope for scope, axis in AXES.items() if axis is None or len(shape) >= -axis]


def check(call: Callable[..., Any], mask: Callable[..., Any], w: Array, expected: Array, context: str) -> None:
    """A criterion in its three forms, and in place."""
    assert_same_bits(mask(packed=False), expected, context)
    if w.ndim:
        assert_same_bits(mask(packed=True), spec.pack_mask(expected), context)
    pruned = spec.apply_mask(w, expected)
    assert_same_bits(call(w), pruned, context)
    in_place = w.copy()
    assert call(in_place, out=in_place) is in_place
    assert_same_bits(in_place, pruned, context)


@pytest.mark.parametrize("kind", SCORES)
class TestScores:
    @pytest.mark.parametrize("scores_name", FLOATS)
    def test_every_shape_and_scope(self, kind: str, dtype: DType, scores_name: str, each_level: Any) -> None:
        for number, shape in enumerate(SHAPES):
            w = random_values(shape, dtype, number)
            scores = SCORES[kind](shape, np.dtype(FLOATS[scores_name]), number + 100)
            for scope in scopes_of(shape):
                share = SHARES[(number + len(scope)) % len(SHARES)]
                expected = spec.mask_ranked(scores, share, AXES[scope])
                for setting in each_level:
                    check(
                        lambda x, out=None, s=scores, p=share, c=scope: tersor.prune_scores(x, s, p, scope=c, out=out),
                        lambda packed, s=scores, p=share, c=scope: tersor.mask_scores(s, p, scope=c, packed=packed),
                        w,
                        expected,
                        f"{shape}, {scope}, {share}, {setting}",
                    )

    def test_every_thread_count(self, kind: str, dtype: DType, settings: Any) -> None:
        w, scores = random_values((1201, 1003), dtype, 1), SCORES[kind]((1201, 1003), dtype, 2)
        expected = {scope: spec.mask_ranked(scores, 0.7, AXES[scope]) for scope in ("tensor", "row")}
        for setting in settings:
            for scope, mask in expected.items():
                assert_same_bits(
                    tersor.prune_scores(w, scores, 0.7, scope=scope), spec.apply_mask(w, mask), f"{scope}, {setting}"
                )

    def test_every_layout(self, kind: str, dtype: DType) -> None:
        w, scores = random_values((6, 5, 67), dtype, 1), SCORES[kind]((6, 5, 67), dtype, 2)
        names = list(LAYOUTS)
        for scope, axis in AXES.items():
            expected = spec.apply_mask(w, spec.mask_ranked(scores, 0.4, axis))
            for i, name in enumerate(names):
                arranged = LAYOUTS[name](w), LAYOUTS[names[(i + 2) % len(names)]](scores)
                assert_same_bits(tersor.prune_scores(*arranged, 0.4, scope=scope), expected, f"{name}, {scope}")


class TestScoresOfAModel:
    def test_as_one(self, settings: Any) -> None:
        shapes = [(30, 70), (0,), (1,), (), (13, 5, 7), (20_003,)]
        layers = [random_values(shape, np.dtype(np.float32), i) for i, shape in enumerate(shapes)]
        scores = [few_values(shape, np.dtype(np.float64), i) for i, shape in enumerate(shapes)]
        flat = spec.mask_ranked(np.concatenate([s.ravel() for s in scores]), 0.55)
        ends = np.cumsum([layer.size for layer in layers])
        masks = [part.reshape(shape) for part, shape in zip(np.split(flat, ends[:-1]), shapes, strict=True)]
        for setting in settings:
            got = tersor.mask_scores(scores, 0.55, scope="global")
            pruned = tersor.prune_scores(layers, scores, 0.55, scope="global")
            for i, layer in enumerate(layers):
                assert_same_bits(got[i], masks[i], f"{i}, {setting}")
                assert_same_bits(pruned[i], spec.apply_mask(layer, masks[i]), f"{i}, {setting}")

    def test_scores_that_are_the_weights(self) -> None:
        w = plain(1000, np.dtype(np.float32), 3)
        expected = spec.apply_mask(w, spec.mask_ranked(w, 0.5))
        assert tersor.prune_scores(w, w, 0.5, out=w) is w
        assert_same_bits(w, expected, "in place")


class TestProducts:
    def test_taylor(self, dtype: DType, each_level: Any) -> None:
        for number, shape in enumerate(SHAPES):
            w, gradient = random_values(shape, dtype, number), random_values(shape, dtype, number + 50)
            for other in (gradient, gradient.astype(spec.arithmetic_dtype(dtype))):
                for scope in scopes_of(shape):
                    expected = spec.mask_ranked(spec.product_scores(w, other), 0.6, AXES[scope])
                    for setting in each_level:
                        check(
                            lambda x, out=None, g=other, c=scope: tersor.prune_taylor(x, g, 0.6, scope=c, out=out),
                            lambda packed, x=w, g=other, c=scope: tersor.mask_taylor(x, g, 0.6, scope=c, packed=packed),
                            w,
                            expected,
                            f"{shape}, {scope}, {other.dtype}, {setting}",
                        )

    def test_wanda(self, dtype: DType, each_level: Any) -> None:
        for number, shape in enumerate(SHAPES):
            if not shape:
                continue
            w, norm = random_values(shape, dtype, number), np.abs(random_values(shape[-1:], dtype, number + 50))
            for other in (norm, norm.astype(spec.arithmetic_dtype(dtype))):
                for scope in scopes_of(shape):
                    expected = spec.mask_ranked(spec.product_scores(w, other), 0.6, AXES[scope])
                    for setting in each_level:
                        check(
                            lambda x, out=None, n=other, c=scope: tersor.prune_wanda(x, n, 0.6, scope=c, out=out),
                            lambda packed, x=w, n=other, c=scope: tersor.mask_wanda(x, n, 0.6, scope=c, packed=packed),
                            w,
                            expected,
                            f"{shape}, {scope}, {other.dtype}, {setting}",
                        )

    def test_every_thread_count(self, dtype: DType, settings: Any) -> None:
        w, gradient = random_values((1201, 1003), dtype, 1), random_values((1201, 1003), dtype, 2)
        norm = np.abs(random_values((1003,), dtype, 3))
        taylor = spec.apply_mask(w, spec.mask_ranked(spec.product_scores(w, gradient), 0.5))
        wanda = spec.apply_mask(w, spec.mask_ranked(spec.product_scores(w, norm), 0.5, -1))
        for setting in settings:
            assert_same_bits(tersor.prune_taylor(w, gradient, 0.5), taylor, f"taylor, {setting}")
            assert_same_bits(tersor.prune_wanda(w, norm, 0.5), wanda, f"wanda, {setting}")

    def test_strided_operands(self, dtype: DType) -> None:
        w, gradient = random_values((6, 5, 67), dtype, 1), random_values((6, 5, 67), dtype, 2)
        expected = spec.apply_mask(w, spec.mask_ranked(spec.product_scores(w, gradient), 0.4))
        for name, arrange in LAYOUTS.items():
            assert_same_bits(tersor.prune_taylor(w, arrange(gradient), 0.4), expected, name)
            assert_same_bits(tersor.prune_taylor(arrange(w), gradient, 0.4), expected, name)

    def test_norms_of_several_layers(self) -> None:
        dtype = np.dtype(np.float32)
        layers, norms = (
            [plain((40, 50), dtype, 1), plain((30, 20), dtype, 2)],
            [plain((50,), dtype, 3), plain((20,), dtype, 4)],
        )
        scores = np.concatenate([spec.product_scores(w, n).ravel() for w, n in zip(layers, norms, strict=True)])
        flat = spec.mask_ranked(scores, 0.5)
        first, second = tersor.mask_wanda(layers, norms, 0.5, scope="global")
        assert_same_bits(np.concatenate([first.ravel(), second.ravel()]), flat, "two layers")


class TestRandom:
    @pytest.mark.parametrize(
        "counter, key, words",
        [
            # The known answers of Random123's kat_vectors for philox4x32 with 10 rounds, those of counters below 2**64.
            (0, 0, [0x6627E8D5, 0xE169C58D, 0xBC57AC4C, 0x9B00DBD8]),
        ],
    )
    def test_the_generator_is_philox(self, counter: int, key: int, words: list[int]) -> None:
        assert spec.philox(np.array([counter], np.uint64), key)[0].tolist() == words

    @pytest.mark.parametrize("seed", [0, 1, 2**32, 2**64 - 1])
    def test_every_shape_and_scope(self, seed: int, dtype: DType, each_level: Any) -> None:
        for number, shape in enumerate(SHAPES):
            w = random_values(shape, dtype, number)
            for scope in scopes_of(shape):
                scores = spec.random_scores(shape, seed)
                if scope == "column":
                    by_columns = spec.random_scores((*shape[:-2], shape[-1], shape[-2]), seed)
                    scores = np.swapaxes(by_columns, -1, -2)
                expected = spec.mask_ranked(scores, 0.4, AXES[scope])
                for setting in each_level:
                    check(
                        lambda x, out=None, c=scope: tersor.prune_random(x, 0.4, seed=seed, scope=c, out=out),
                        lambda packed, x=w, c=scope: tersor.mask_random(x, 0.4, seed=seed, scope=c, packed=packed),
                        w,
                        expected,
                        f"{shape}, {scope}, {setting}",
                    )

    def test_every_thread_count_and_layout(self, settings: Any) -> None:
        w = random_values((1201, 1003), np.dtype(np.float32), 1)
        scores = spec.random_scores(w.shape, 77)
        for scope in ("tensor", "row"):
            expected = spec.apply_mask(w, spec.mask_ranked(scores, 0.5, AXES[scope]))
            for name, arranged in each_layout(w):
                for setting in settings:
                    got = tersor.prune_random(arranged, 0.5, seed=77, scope=scope)
                    assert_same_bits(got, expected, f"{name}, {scope}, {setting}")

    def test_layers_get_different_numbers(self) -> None:
        layers = [np.ones(1000, np.float32), np.ones(1000, np.float32)]
        first, second = tersor.mask_random(layers, 0.5, seed=5, scope="global")
        assert_same_bits(
            np.concatenate([first, second]), spec.mask_ranked(spec.random_scores((2000,), 5), 0.5), "two layers"
        )
        assert (first != second).any()

    def test_entries_are_chosen_evenly(self) -> None:
        """Counts over 200 seeds of 64 places are binomial; five standard deviations hold for all of them."""
        chosen = sum(tersor.mask_random(np.ones(64, np.float32), 0.5, seed=seed).astype(int) for seed in range(200))
        assert np.abs(chosen - 100).max() < 5 * np.sqrt(200 * 0.25)


class TestMean:
    def test_is_the_threshold_of_the_mean(self, dtype: DType, settings: Any) -> None:
        for number, shape in enumerate([(7,), (5, 37), (2, 3, 41), (1201, 1003)]):
            w = plain(shape, dtype, number)
            # An integer of few bits sums without rounding, in any order.
            w = (np.round(w * 64) / 64).astype(dtype)
            threshold = spec.mean_threshold(w, 0.75)
            expected = spec.mask_threshold(w, threshold)
            for setting in settings:
                for name, arrange in LAYOUTS.items():
                    assert_same_bits(tersor.mask_mean(arrange(w), 0.75), expected, f"{shape}, {name}, {setting}")
                assert_same_bits(tersor.mask_mean(w, 0.75, packed=True), spec.pack_mask(expected), f"{shape}, {setting}")
                assert_same_bits(tersor.prune_mean(w, 0.75), spec.prune_threshold(w, threshold), f"{shape}, {setting}")

    def test_the_same_mean_everywhere(self, dtype: DType, settings: Any) -> None:
        """And within n roundings of the exact one."""
        from tersor import _core

        for shape in ((3, 5), (1201, 1003), (70_001,), (17, 33, 65)):
            w = plain(shape, dtype, 3)
            exact = float(np.abs(w.astype(np.longdouble)).mean())
            means = set()
            for _ in settings:
                means |= {_core.mean_threshold(arrange(w), 1.0) for arrange in LAYOUTS.values()}
            assert len(means) == 1
            assert abs(means.pop() - exact) <= w.size * 2.0**-53 * exact

    def test_empty_and_zero(self, dtype: DType) -> None:
        assert tersor.prune_mean(np.zeros((0, 3), dtype), 1.0).shape == (0, 3)
        assert_same_bits(tersor.mask_mean(np.zeros(9, dtype), 1.0), np.ones(9, np.bool_), "all zero")
        w = special_values(dtype)
        with pytest.raises(ValueError, match="w is not finite"):
            tersor.prune_mean(w, 1.0)


class TestCubicSparsity:
    def test_the_curve(self) -> None:
        for step in range(-50, 300, 7):
            share = min(max((step - 10) / 190, 0), 1)
            expected = 0.9 + (0.2 - 0.9) * (1 - share) ** 3
            assert tersor.cubic_sparsity(step, begin=10, end=200, final=0.9, initial=0.2) == pytest.approx(
                expected, rel=1e-15
            )
        assert tersor.cubic_sparsity(200, begin=10, end=200, final=0.9, initial=0.2) == 0.9
        assert tersor.cubic_sparsity(10, begin=10, end=200, final=0.9, initial=0.2) == pytest.approx(0.2, rel=1e-15)
