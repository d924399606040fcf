"""select: order statistics against a sort, at every level and thread count."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import tersor
from layouts import FLOATS, LAYOUTS, Array, random_values, spec, special_values

DType = np.dtype[Any]

# Few, the bound below which all elements are collected, more than that, several brackets deep, the bound from which on
# samples are those of large arrays.
SIZES = [1, 2, 17, 63, 64, 65, 117, 200, 2_049, 5_003, 70_001, (1 << 17) - 1, 1 << 17, 300_007]


def two_values(shape: Any, dtype: DType, seed: int) -> Array:
    return np.random.default_rng(seed).integers(0, 2, shape).astype(dtype)


def subnormals(shape: Any, dtype: DType, seed: int) -> Array:
    return np.random.default_rng(seed).integers(0, 60, shape).astype(f"u{dtype.itemsize}").view(dtype)


def mostly_nan(shape: Any, dtype: DType, seed: int) -> Array:
    values = random_values(shape, dtype, seed, np.array([], dtype))
    values[np.random.default_rng(seed).random(shape) < 0.7] = np.nan
    return values


def one_bucket(shape: Any, dtype: DType, seed: int) -> Array:
    """All in one narrow range but for two far away: what a histogram of the leading bits would not tell apart."""
    bits = np.random.default_rng(seed).integers(0, 100, shape).astype(f"u{dtype.itemsize}")
    values = (np.array(1, dtype).view(bits.dtype) + bits).view(dtype)
    values.flat[:2] = np.array([0, 1e4], dtype)[: values.size]
    return values


INPUTS: dict[str, Callable[..., Array]] = {
    "special": lambda shape, dtype, seed: random_values(shape, dtype, seed),
    "normal": lambda shape, dtype, seed: random_values(shape, dtype, seed, np.array([], dtype)),
    "sorted": lambda shape, dtype, seed: np.sort(random_values(shape, dtype, seed, np.array([], dtype))),
    "reversed": lambda shape, dtype, seed: np.sort(random_values(shape, dtype, seed, np.array([], dtype)))[::-1],
    "all equal": lambda shape, dtype, seed: np.full(shape, -1.5, dtype),
    "all zero": lambda shape, dtype, seed: np.zeros(shape, dtype),
    "two values": two_values,
    "subnormal": subnormals,
    "mostly NaN": mostly_nan,
    "one bucket": one_bucket,
}


def widened(w: Array) -> Array:
    with np.errstate(invalid="ignore"):  # signalling NaN
        return w.astype(np.float64)


def ranks(size: int) -> list[int]:
    return sorted({1, size, max(1, size // 2), max(1, size // 3), max(1, size - 1), min(size, 2)})


def same_up_to_zeros(got: float, wanted: float) -> bool:
    """NumPy's sort leaves zeros of both signs in any order."""
    return math.isnan(got) if math.isnan(wanted) else got == wanted


def same_number(got: float, wanted: float) -> bool:
    return math.isnan(got) if math.isnan(wanted) else (got, math.copysign(1, got)) == (wanted, math.copysign(1, wanted))


@pytest.mark.parametrize("kind", INPUTS)
class TestKth:
    def test_every_size(self, kind: str, dtype: DType, each_level: Any) -> None:
        for size in SIZES:
            w = INPUTS[kind](size, dtype, size)
            by_value, by_magnitude = np.sort(widened(w)), np.sort(np.abs(widened(w)))
            for setting in each_level:
                for k in ranks(size):
                    context = f"{k} of {size}, {setting}"
                    assert tersor.kth_magnitude(w, k) == pytest.approx(by_magnitude[k - 1], rel=0, abs=0, nan_ok=True), (
                        context
                    )
                    assert tersor.kth_value(w, k) == pytest.approx(by_value[k - 1], rel=0, abs=0, nan_ok=True), context

    def test_every_thread_count(self, kind: str, dtype: DType, settings: Any) -> None:
        w = INPUTS[kind](1_200_011, dtype, 5)
        by_magnitude = np.sort(np.abs(widened(w)))
        for setting in settings:
            for k in (1, 600_000, 1_200_011):
                assert same_up_to_zeros(tersor.kth_magnitude(w, k), by_magnitude[k - 1]), f"{k}, {setting}"


class TestKthSpecials:
    def test_the_sign_of_zero_and_the_place_of_nan(self, dtype: DType, each_level: Any) -> None:
        w = np.tile(special_values(dtype), 3)
        for setting in each_level:
            for k in range(1, w.size + 1):
                assert same_number(tersor.kth_value(w, k), spec.kth_value(w, k)), f"value {k}, {setting}"
                assert same_number(tersor.kth_magnitude(w, k), spec.kth_magnitude(w, k)), f"magnitude {k}, {setting}"

    @pytest.mark.parametrize("name", ["float16", "bfloat16"])
    def test_every_16_bit_value(self, name: str) -> None:
        w = np.random.default_rng(0).permutation(np.arange(1 << 16, dtype=np.uint16)).view(FLOATS[name])
        by_value = np.sort(widened(w))
        for k in range(1, w.size + 1, 499):
            assert same_up_to_zeros(tersor.kth_value(w, k), by_value[k - 1])


class TestSeveralArrays:
    def test_as_one(self, dtype: DType, settings: Any) -> None:
        shapes = [(300, 700), (0,), (1,), (), (13, 5, 7), (200_003,)]
        arrays = [random_values(shape, dtype, i) for i, shape in enumerate(shapes)]
        joined = np.concatenate([array.ravel() for array in arrays])
        arrays[0] = LAYOUTS["column order"](arrays[0])
        for setting in settings:
            for k in ranks(joined.size):
                assert same_number(tersor.kth_magnitude(arrays, k), spec.kth_magnitude(joined, k)), f"{k}, {setting}"
                assert same_number(tersor.kth_value(tuple(arrays), k), spec.kth_value(joined, k)), f"{k}, {setting}"

    def test_torch_tensors(self) -> None:
        torch = pytest.importorskip("torch")
        arrays = [torch.arange(5, dtype=torch.bfloat16), -torch.arange(3, 9, dtype=torch.bfloat16)]
        assert tersor.kth_magnitude(arrays, 6) == 4.0
        assert tersor.kth_value(arrays, 1) == -8.0


class TestLayouts:
    @pytest.mark.parametrize("layout", LAYOUTS)
    def test_every_layout(self, layout: str, dtype: DType, each_level: Any) -> None:
        for shape in ((6, 5, 67), (301, 97), (70_001,)):
            w = random_values(shape, dtype)
            arranged = LAYOUTS[layout](w)
            for setting in each_level:
                for k in (1, w.size // 2, w.size):
                    assert same_number(tersor.kth_value(arranged, k), spec.kth_value(w, k)), f"{shape}, {k}, {setting}"


class TestQuantile:
    @pytest.mark.parametrize("size", [1, 2, 3, 1000, 70_001])
    def test_equals_numpy_in_float64(self, size: int, dtype: DType) -> None:
        w = random_values(size, dtype, size, np.array([], dtype))
        for q in (0.0, 1.0, 0.5, 0.25, 1 / 3, 0.1, 0.9999, np.nextafter(1, 0)):
            got = tersor.quantile(w, q)
            assert isinstance(got, float)
            assert got == spec.quantile(w, q)

    def test_an_array_of_them(self) -> None:
        w = random_values(5000, np.dtype(np.float64), 1, np.array([]))
        q = np.array([[0.1, 0.5], [0.7, 1.0]])
        got = tersor.quantile(w, q)
        assert got.dtype == np.float64
        np.testing.assert_array_equal(got, np.quantile(w, q))
        assert tersor.quantile(w, []).shape == (0,)

    def test_nan_anywhere_is_nan(self) -> None:
        w = random_values(100_000, np.dtype(np.float32), 1, np.array([], np.float32))
        w[77_777] = np.nan
        assert math.isnan(tersor.quantile(w, 0.5))

    def test_infinities(self) -> None:
        w = np.array([-np.inf, 1, 2, np.inf], np.float32)
        assert tersor.quantile(w, 0) == -np.inf
        assert tersor.quantile(w, 1) == np.inf
        assert tersor.quantile(w, 0.5) == 1.5


class TestMagnitudeThreshold:
    @pytest.mark.parametrize("sparsity", [0.0, 0.1, 0.5, 0.9, 0.99999, 1.0])
    def test_prunes_that_share(self, sparsity: float, dtype: DType) -> None:
        w = random_values(20_001, dtype, 3, np.array([], dtype))
        threshold = tersor.magnitude_threshold(w, sparsity)
        assert threshold == spec.magnitude_threshold(w, sparsity)
        kept = int(tersor.mask_threshold(w, threshold).sum())
        assert kept == int((np.abs(widened(w)) >= threshold).sum()) >= w.size - round(sparsity * w.size)

    def test_over_a_model(self) -> None:
        layers = [random_values((40, 50), np.dtype(np.float32), i, np.array([], np.float32)) * 10**i for i in range(3)]
        joined = np.concatenate([layer.ravel() for layer in layers])
        assert tersor.magnitude_threshold(layers, 0.5) == spec.magnitude_threshold(joined, 0.5)
