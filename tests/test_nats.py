"""Entropy, mutual information and divergence against mpmath, SciPy and scikit-learn; the bound of the logarithm."""

from __future__ import annotations

import math
from typing import Any

import mpmath
import numpy as np
import pytest
import scipy.stats
import sklearn.metrics
import tersor
from layouts import FLOATS, LAYOUTS, Array, assert_same_bits, random_values, spec
from tersor import _core

DType = np.dtype[Any]


def normal(shape: Any, dtype: DType, seed: int = 0) -> Array:
    return random_values(shape, dtype, seed, np.array([], dtype))


def wide(x: Array) -> Array:
    with np.errstate(invalid="ignore"):  # signalling NaN
        return x.astype(np.float64)


# --- logarithms ------------------------------------------------------------------------------------------------------


def logarithm_error(x: float) -> float:
    """In ULP of the exact result."""
    with mpmath.workprec(200):
        exact = mpmath.log(mpmath.mpf(x))
        step = math.ulp(float(exact)) if exact else math.ulp(0.0)
        return float(abs(mpmath.mpf(_core.natural_logarithm(x)) - exact) / step)


class TestLogarithm:
    """What counts and probabilities go through: within 1 ULP, the bound that ops/logarithm.h states."""

    def test_one_ulp(self) -> None:
        generator = np.random.default_rng(0)
        near_one = 1 + generator.standard_normal(4000) * 10.0 ** generator.uniform(-16, -1, 4000)
        around_the_cut = np.array([math.sqrt(0.5), math.sqrt(2)])[:, None] * (1 + generator.uniform(-1e-3, 1e-3, 1000))
        everywhere = generator.integers(1, 0x7FEFFFFFFFFFFFFF, 4000).view(np.float64)
        ratios = generator.integers(1, 10_000, 4000) / generator.integers(1, 10_000, 4000)
        worst = max(
            logarithm_error(float(x)) for x in np.concatenate([near_one, around_the_cut.ravel(), everywhere, ratios])
        )
        assert 0.5 < worst < 1.0

    def test_exact_ones(self) -> None:
        assert _core.natural_logarithm(1.0) == 0.0
        for x in (5e-324, 2.2e-308, 1.7976931348623157e308, 2.0, 0.5):
            assert logarithm_error(x) < 1.0


# --- nats ------------------------------------------------------------------------------------------------------------

NATS = {"rtol": 1e-12, "atol": 1e-13}


class TestEntropy:
    @pytest.mark.parametrize("kind", ["uniform", "quantile"])
    def test_like_scipy(self, kind: str, dtype: DType, each_level: Any) -> None:
        x = normal(20_001, dtype, 1)
        counts = tersor.histogram(x, 40, kind=kind)[0]
        for setting in each_level:
            np.testing.assert_allclose(
                tersor.entropy(x, 40, kind=kind), scipy.stats.entropy(counts), err_msg=setting, **NATS
            )
        assert tersor.entropy(x, 40, kind=kind) == pytest.approx(spec.entropy(x, spec.bin_edges(x, 40, kind)), rel=1e-12)

    def test_along_an_axis(self, dtype: DType, settings: Any) -> None:
        x = normal((70, 5, 33), dtype, 1)
        for axis in (0, 1, 2, -1):
            rows = np.moveaxis(x, axis, -1)
            expected = [tersor.entropy(np.ascontiguousarray(row), 6) for row in rows.reshape(-1, rows.shape[-1])]
            for setting in settings:
                for name, arrange in LAYOUTS.items():
                    found = tersor.entropy(arrange(x), 6, axis=axis)
                    assert_same_bits(found, np.array(expected).reshape(rows.shape[:-1]), f"{axis}, {name}, {setting}")

    def test_known_values(self) -> None:
        x = np.arange(8, dtype=np.float32)
        assert tersor.entropy(x, 8) == pytest.approx(math.log(8), abs=1e-15)
        assert tersor.entropy(np.ones(9), 5) == 0.0
        assert tersor.entropy(np.ones(0, np.float32), 5) == 0.0
        assert tersor.entropy(x, [10, 11]) == 0.0  # nothing is counted
        assert tersor.entropy(x, 2, range=(0, 3.9999)) == pytest.approx(math.log(2), abs=1e-15)
        assert tersor.entropy(np.array([[0.0, 5.0], [1.0, np.nan]]), [0, 1, 2], axis=0).tolist() == [math.log(2), 0.0]


class TestMutualInformation:
    @pytest.mark.parametrize("kind", ["uniform", "quantile"])
    def test_like_scikit_learn(self, kind: str, dtype: DType, settings: Any) -> None:
        x = normal((1500, 11), dtype, 1)
        labels = np.random.default_rng(2).integers(-3, 4, 1500)
        x[:, 3] = (labels + 0.01 * normal(1500, FLOATS["float64"], 4)).astype(dtype)
        target = wide(x[:, 3]) ** 2 + 0.1 * normal(1500, FLOATS["float64"], 3)
        columns = [spec.bins_of(column, spec.bin_edges(column, 8, kind)) for column in x.T]
        of_target = spec.bins_of(target, spec.bin_edges(target, 8, kind))
        for y, classes in ((labels, labels), (target, of_target)):
            expected = [sklearn.metrics.mutual_info_score(column, classes) for column in columns]
            for setting in settings:
                found = tersor.mutual_information(x, y, 8, kind=kind)
                np.testing.assert_allclose(found, expected, err_msg=setting, **NATS)
        assert found[3] > 0.8

    def test_like_the_specification(self) -> None:
        x, y = normal(300, FLOATS["float32"], 1), normal(300, FLOATS["float32"], 2)
        labels = np.random.default_rng(2).integers(0, 3, 300)
        for kind in ("uniform", "quantile"):
            for target in (y, labels, x):
                found = tersor.mutual_information(x, target, 5, kind=kind)
                assert isinstance(found, float)
                assert found == pytest.approx(spec.mutual_information(x, target, 5, kind), rel=1e-12, abs=1e-13)

    def test_of_itself_is_the_entropy(self, dtype: DType) -> None:
        x = normal(4000, dtype, 1)
        assert tersor.mutual_information(x, x, 12) == pytest.approx(tersor.entropy(x, 12), rel=1e-14)

    @pytest.mark.parametrize("scale", [1, 7, 1001])
    def test_of_independent_variables_is_zero(self, scale: int) -> None:
        """Every pair as often as the margins say: each term is exactly 0."""
        x = np.repeat(np.repeat(np.arange(3.0), [1, 2, 5]), 7 * scale)
        y = np.tile(np.repeat(np.arange(4), [1, 1, 2, 3]), 8 * scale)
        assert tersor.mutual_information(x, y, 3) == 0.0

    def test_is_never_negative(self, each_level: Any) -> None:
        generator = np.random.default_rng(0)
        for setting in each_level:
            x = generator.integers(0, 3, (2_000, 200)).astype(np.float32)
            found = tersor.mutual_information(x, generator.integers(0, 2, 2000), 3)
            assert (found >= 0).all() and (found < 0.01).all(), setting
        assert math.copysign(1, tersor.mutual_information(np.ones(5), np.arange(5), 3)) == 1

    @pytest.mark.parametrize("label_dtype", [np.int64, np.int8, np.uint8, np.bool_])
    def test_labels_of_every_dtype_and_stride(self, label_dtype: Any) -> None:
        labels = np.random.default_rng(0).integers(0, 2, 500).astype(label_dtype)
        x = (normal(500, FLOATS["float32"]) + labels).astype(np.float32)
        expected = tersor.mutual_information(x, labels.astype(np.int64), 5)
        for arrange in LAYOUTS.values():
            assert tersor.mutual_information(arrange(x), arrange(labels), 5) == expected
        far = np.array([-(2**63), 2**63 - 1], np.int64)[labels.astype(np.int64)]
        assert tersor.mutual_information(x, far, 5) == expected

    def test_given_edges_leave_samples_out(self) -> None:
        x = np.array([0.0, 1.0, 0.0, 1.0, 9.0, np.nan], np.float32)
        labels = np.array([0, 1, 0, 1, 0, 1])
        assert tersor.mutual_information(x, labels, [0, 0.5, 2]) == pytest.approx(math.log(2), abs=1e-15)
        assert tersor.mutual_information(x, x[::-1].copy(), [20, 30]) == 0.0

    def test_nothing(self) -> None:
        assert tersor.mutual_information(np.ones((0, 4), np.float32), np.ones(0, np.int64), 3).tolist() == [0.0] * 4
        assert tersor.mutual_information(np.ones((4, 0), np.float32), np.ones(4, np.int64), 3).shape == (0,)


class TestDivergence:
    def test_like_scipy(self, dtype: DType, settings: Any) -> None:
        generator = np.random.default_rng(0)
        for size in (1, 2, 100, 4096, 4097, 50_000):
            p, q = (generator.random(size) ** 3 + 1e-4 for _ in "pq")
            p[: size // 3] = 0
            p, q = (p / p.sum()).astype(dtype), (q / q.sum()).astype(dtype)
            if abs(wide(p).sum() - 1) > 1e-6 or abs(wide(q).sum() - 1) > 1e-6 or (q == 0).any():
                continue  # too small for a 16-bit dtype
            there = p > 0
            with mpmath.workprec(120):
                exact = mpmath.fsum(
                    mpmath.mpf(a) * mpmath.log(mpmath.mpf(a) / mpmath.mpf(b))
                    for a, b in zip(wide(p)[there].tolist(), wide(q)[there].tolist(), strict=True)
                )
            for setting in settings:
                found = tersor.divergence(p, q)
                assert abs(found - float(exact)) <= 1e-15 * (1 + float(exact)), setting
                assert_same_bits(np.float64(tersor.divergence(LAYOUTS["reversed"](p)[:], q)), np.float64(found))
            if dtype == np.float64:
                assert found == pytest.approx(scipy.stats.entropy(p, q), rel=1e-12, abs=1e-13)
                assert found == pytest.approx(spec.divergence(p, q), rel=1e-12, abs=1e-13)

    def test_shapes_and_layouts(self, settings: Any) -> None:
        p = np.random.default_rng(0).random((60, 7, 41))
        p /= p.sum()
        q = np.roll(p, 1)
        expected = tersor.divergence(p, q)
        entropy = tersor.distribution_entropy(p)
        for first, second in zip(LAYOUTS, [*LAYOUTS][3:] + [*LAYOUTS][:3], strict=True):
            for setting in settings:
                assert tersor.divergence(LAYOUTS[first](p), LAYOUTS[second](q)) == expected, f"{first}, {setting}"
                assert tersor.distribution_entropy(LAYOUTS[first](p)) == entropy, f"{first}, {setting}"

    def test_zeros(self) -> None:
        p, q = np.array([0.5, 0.5, 0.0, 0.0]), np.array([0.5, 0.25, 0.0, 0.25])
        assert tersor.divergence(p, q) == pytest.approx(0.5 * math.log(2), abs=1e-16)
        assert tersor.divergence(q, p) == math.inf
        assert tersor.divergence(p, p) == 0.0
        assert tersor.divergence(np.array([1.0, 0.0]), np.array([-0.0, 1.0])) == math.inf

    def test_great_quotients(self) -> None:
        """p / q overflows, or falls below the normal numbers."""
        tiny = 5e-324
        found = tersor.divergence(np.array([1.0, tiny]), np.array([tiny, 1.0]))
        assert found == pytest.approx(-math.log(tiny), rel=1e-15)

    def test_entropy_of_a_distribution(self, dtype: DType) -> None:
        for size in (1, 2, 64):
            p = np.full(size, 1 / size, dtype)
            assert tersor.distribution_entropy(p) == pytest.approx(math.log(size), abs=1e-15)
        p = np.array([0.5, 0.25, 0.25, 0.0], dtype)
        assert tersor.distribution_entropy(p) == pytest.approx(spec.distribution_entropy(p), rel=1e-15)
        p = np.random.default_rng(0).dirichlet(np.ones(1000))
        assert tersor.distribution_entropy(p) == pytest.approx(float(scipy.stats.entropy(p)), rel=1e-12)

    @pytest.mark.parametrize(
        "name, off", [("float64", 0.9e-6), ("float32", 0.9e-6), ("float16", 2**-9), ("bfloat16", 2**-6)]
    )
    def test_sums_within_the_tolerance_are_taken(self, name: str, off: float) -> None:
        p = np.array([0.5, 0.5 + off], FLOATS[name])
        exact = spec.distribution_entropy(p)
        assert tersor.distribution_entropy(p) == pytest.approx(exact, rel=1e-14)
