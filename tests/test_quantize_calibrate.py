"""Calibrator: ranges of batches, exact merges, and what other libraries find of the same numbers."""

from __future__ import annotations

import io
import itertools
import math
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import tersor
from layouts import FLOATS, LAYOUTS, Array, random_values, spec
from tersor._calibration import BinnedCounts, entropy_bounds, least_exponent

METHODS = ("minmax", "moving_average", "percentile", "entropy", "mse")
MERGED = tuple(method for method in METHODS if method != "moving_average")


def batches(dtype: Any = np.float32, count: int = 6) -> list[Array]:
    """Of growing and shrinking ranges, with numbers that are passed over."""
    generator = np.random.default_rng(0)
    made = [(generator.standard_normal((9, 5, 7)) * 10.0 ** generator.integers(-3, 3)).astype(dtype) for _ in range(count)]
    made[1][0, 0, 0], made[2][1, 2, 3], made[3][0, 1, 1] = np.nan, np.inf, -np.inf
    made[4] = np.abs(made[4])
    return made


def observed(parts: Any, **options: Any) -> tersor.Calibrator:
    calibrator = tersor.Calibrator(**options)
    for part in parts:
        calibrator.observe(part)
    return calibrator


def assert_same_state(found: tersor.Calibrator, expected: tersor.Calibrator) -> None:
    state, wanted = found.state_dict(), expected.state_dict()
    assert state.keys() == wanted.keys()
    for name, part in state.items():
        np.testing.assert_array_equal(part, wanted[name], err_msg=name)


class TestRanges:
    @pytest.mark.parametrize("axis", [None, 0, 1, 2, -1])
    def test_minmax(self, axis: int | None, dtype: Any, each_level: Any) -> None:
        parts = batches(dtype)
        joined = np.concatenate(parts, axis=1 if axis == 0 else 0).astype(np.float64)
        finite = np.where(np.isfinite(joined), joined, np.nan)
        others = None if axis is None else tuple(i for i in range(3) if i != axis % 3)
        for _ in each_level:
            low, high = observed(parts, axis=axis).range()
            np.testing.assert_array_equal(low, np.atleast_1d(np.nanmin(finite, axis=others)))
            np.testing.assert_array_equal(high, np.atleast_1d(np.nanmax(finite, axis=others)))

    def test_large_batches_of_any_layout(self, settings: Any) -> None:
        x = random_values((700, 3, 257), FLOATS["float32"], 0, np.float32([np.nan, np.inf]))
        finite = np.where(np.isfinite(x), x, 0).astype(np.float64)
        for (name, arrange), axis in itertools.product(LAYOUTS.items(), (None, 0, 1, 2)):
            others = None if axis is None else tuple(i for i in range(3) if i != axis)
            arranged = arrange(x)
            for setting in settings:
                low, high = observed([arranged], axis=axis).range()
                np.testing.assert_array_equal(low, np.atleast_1d(finite.min(axis=others)), err_msg=f"{name}, {setting}")
                np.testing.assert_array_equal(high, np.atleast_1d(finite.max(axis=others)), err_msg=f"{name}, {setting}")

    def test_moving_average_like_torch(self) -> None:
        torch = pytest.importorskip("torch", reason="torch is not installed")
        from torch.ao.quantization.observer import MovingAverageMinMaxObserver

        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # that torch moves them to torchao
            observer = MovingAverageMinMaxObserver(averaging_constant=0.1)
        calibrator = tersor.Calibrator("moving_average", momentum=0.9)
        for batch in np.random.default_rng(0).standard_normal((20, 64)).astype(np.float32):
            observer(torch.from_numpy(batch))
            calibrator.observe(torch.from_numpy(batch))
        low, high = calibrator.range()
        np.testing.assert_allclose([low[0], high[0]], [observer.min_val, observer.max_val], rtol=1e-5)

    @pytest.mark.parametrize("symmetric", [True, False])
    @pytest.mark.parametrize("percentile", [50.0, 90.0, 99.0, 99.99, 100.0])
    def test_percentile_is_within_a_bin(self, percentile: float, symmetric: bool) -> None:
        x = np.random.default_rng(0).standard_normal(20_000).astype(np.float32) + np.float32(0.5)
        calibrator = observed(np.split(x, 10), method="percentile", percentile=percentile, symmetric=symmetric)
        (low,), (high,) = calibrator.range()
        width = 2.0 ** calibrator.state_dict()["exponent"][0]
        if symmetric:
            exact = np.sort(np.abs(x))[math.ceil(percentile / 100 * x.size) - 1]
            assert exact <= max(high, -low) <= exact + width
            return
        beyond = (100 - percentile) / 200
        ordered = np.sort(x)
        outer = max(math.ceil((1 - beyond) * x.size - 1e-6), 1) - 1
        assert ordered[outer] <= high <= ordered[outer] + width
        assert ordered[-1 - outer] - width <= low <= ordered[-1 - outer]

    def test_mse_cuts_outliers_off(self) -> None:
        x = np.concatenate([np.random.default_rng(0).standard_normal(100_000), [30.0]]).astype(np.float32)
        for symmetric in (True, False):
            calibrator = observed([x], method="mse", bits=4, symmetric=symmetric)
            scale, zero_point = calibrator.scale_and_zero_point()
            whole = tersor.quantize(x, 4, granularity="tensor", symmetric=symmetric)
            cut = tersor.quantize(x, 4, granularity="tensor", scale=scale, zero_point=zero_point)
            assert tersor.quantization_error(x, cut).mse < tersor.quantization_error(x, whole).mse / 2


class TestMerging:
    @pytest.mark.parametrize("axis", [None, 1])
    @pytest.mark.parametrize("method", MERGED)
    def test_merged_is_observed_at_once(self, method: str, axis: int | None) -> None:
        parts = batches()
        options = {"method": method, "axis": axis, "bins": 64}
        expected = observed([np.concatenate(parts)], **options)
        for order in itertools.islice(itertools.permutations(range(6)), 0, 720, 90):
            assert_same_state(observed([parts[i] for i in order], **options), expected)
            first, second = observed([parts[i] for i in order[:2]], **options), tersor.Calibrator(**options)
            first.merge(second)  # which saw nothing
            second.merge(observed([parts[i] for i in order[2:]], **options))
            first.merge(second)
            assert_same_state(first, expected)

    def test_counts_are_those_of_the_numbers(self) -> None:
        parts = batches()
        calibrator = observed(parts, method="entropy", bins=50)
        state = calibrator.state_dict()
        exponent, _, counts = spec.binned_counts(np.concatenate(parts), 50)
        assert state["exponent"][0] == exponent
        np.testing.assert_array_equal(state["counts"][0, : counts.size], counts)
        assert not state["counts"][0, counts.size :].any()

    @pytest.mark.parametrize("method", METHODS)
    def test_states_are_stored(self, method: str) -> None:
        options = {"method": method, "axis": 1, "bins": 100}
        calibrator = observed(batches(), **options)
        buffer = io.BytesIO()
        np.savez(buffer, **calibrator.state_dict())
        buffer.seek(0)
        loaded = tersor.Calibrator(**options)
        loaded.load_state_dict(np.load(buffer))
        assert_same_state(loaded, calibrator)
        for part in (loaded, calibrator):
            part.observe(batches()[0])
        assert_same_state(loaded, calibrator)

    @pytest.mark.parametrize(
        "numbers", [[0.0], [-0.0, 0.0], [5e-324, -5e-324], [1e308, -1e308], [3.0], [1e-300, 1e300], [-7.0, -6.0]]
    )
    def test_awkward_numbers(self, numbers: list[float]) -> None:
        calibrator = observed([np.array(numbers)], method="percentile", percentile=100, symmetric=False, bins=16)
        assert calibrator.state_dict()["counts"].sum() == len(numbers)
        low, high = calibrator.range()
        assert (low[0], high[0]) == (min(numbers), max(numbers))

    @pytest.mark.parametrize("method", ["percentile", "entropy", "mse"])
    def test_one_number_far_from_zero(self, method: str) -> None:
        for number in (3.0, -1e10, 0.0):
            low, high = observed([np.full((2, 5), number)], method=method).range()
            assert max(-low[0], high[0]) == abs(number), number

    def test_infinities_beyond_the_greatest_numbers(self) -> None:
        greatest = np.finfo(np.float64).max
        calibrator = observed([np.array([greatest, -greatest, np.inf, -np.inf])], method="entropy", bins=16)
        assert calibrator.state_dict()["counts"].sum() == 2

    def test_exponent_is_the_least(self) -> None:
        generator = np.random.default_rng(0)
        for _ in range(500):
            low, high = sorted((generator.standard_normal(2) * 10.0 ** generator.integers(-5, 5, 2)).tolist())
            exponent = least_exponent(low, high, 37)
            assert BinnedCounts.empty(low, high, 37).counts.size <= 37
            assert math.floor(high / 2.0 ** (exponent - 1)) - math.floor(low / 2.0 ** (exponent - 1)) >= 37


def histograms(bins: int) -> list[Array]:
    """Around zero, of samples of several shapes."""
    generator = np.random.default_rng(0)
    samples = [
        generator.standard_normal(50_000),
        generator.standard_normal(50_000) ** 3,
        np.abs(generator.standard_normal(50_000)),
        generator.standard_t(2, 50_000),
        np.concatenate([generator.standard_normal(50_000), [40.0] * 5]),
    ]
    return [np.histogram(x, bins, (-np.abs(x).max(), np.abs(x).max()))[0] for x in samples]


def test_entropy_bounds() -> None:
    for counts in [*histograms(64), np.zeros(64, np.int64), np.ones(6, np.int64)]:
        for levels in (8, 16, 64):
            assert entropy_bounds(counts, levels) == spec.entropy_bounds(counts, levels)


class TestOnnxruntime:
    @pytest.mark.parametrize("levels", [8, 64, 128])
    def test_entropy_thresholds(self, levels: int) -> None:
        """The same edges of the same histograms; its divergences are float32."""
        pytest.importorskip("onnxruntime", reason="onnxruntime is not installed")
        pytest.importorskip("scipy", reason="scipy is not installed")
        from onnxruntime.quantization.calibrate import HistogramCollector

        collector = HistogramCollector("entropy", False, 256, levels, 99.99, "same")
        for counts in histograms(256):
            edges = np.arange(counts.size + 1, dtype=np.float32)  # which name themselves
            expected = collector.get_entropy_threshold((counts, edges, edges[0], edges[-1]), levels)
            assert entropy_bounds(counts, levels) == tuple(int(edge) for edge in expected)

    def test_entropy_of_batches(self) -> None:
        x = np.random.default_rng(0).standard_t(2, 50_000).astype(np.float32)
        (low,), (high,) = observed(np.split(x, 10), method="entropy").range()
        assert x.min() < low < -3 and 3 < high < x.max()


@pytest.mark.parametrize("convention", ["tersor", "compressed-tensors", "onnx", "torch", "gptq", "awq"])
@pytest.mark.parametrize("symmetric", [True, False])
def test_scales_are_those_of_quantize(convention: str, symmetric: bool) -> None:
    """Of the numbers themselves, where the range is theirs; for channels of either axis."""
    x = np.random.default_rng(0).standard_normal((40, 6)).astype(np.float32) + np.float32(0.3)
    for axis, granularity in ((None, "tensor"), (0, "row"), (1, "column")):
        parts = np.split(x, 2, axis=1 if axis == 0 else 0)
        calibrator = observed(parts, axis=axis, symmetric=symmetric)
        scale, zero_point = calibrator.scale_and_zero_point(convention)
        expected = tersor.quantize(x, granularity=granularity, symmetric=symmetric, convention=convention)
        np.testing.assert_array_equal(scale, expected.scale)
        assert (zero_point is None) == symmetric
        if not symmetric:
            np.testing.assert_array_equal(zero_point, expected.zero_point)
        again = tersor.quantize(
            x, granularity=granularity, scale=scale, zero_point=zero_point, convention=convention, signed=expected.signed
        )
        np.testing.assert_array_equal(again.q, expected.q)


@pytest.mark.parametrize(
    "call, error, message",
    [
        (lambda: tersor.Calibrator("median"), ValueError, "method must be one of"),
        (lambda: tersor.Calibrator(bits=9), ValueError, r"bits must lie in \[2, 8\], got 9"),
        (lambda: tersor.Calibrator(bins=1), ValueError, "bins must lie in"),
        (lambda: tersor.Calibrator(bins=1.5), TypeError, "bins must be an integer"),
        (lambda: tersor.Calibrator(percentile=0), ValueError, "percentile must lie in"),
        (lambda: tersor.Calibrator(momentum=1), ValueError, "momentum must lie in"),
        (lambda: tersor.Calibrator().range(), ValueError, "observe a batch"),
        (lambda: observed([np.float32([np.nan])]).range(), ValueError, "finite number in each channel"),
        (lambda: tersor.Calibrator().observe([1.0]), TypeError, r"batch.*numpy\.asarray"),
        (lambda: tersor.Calibrator().observe(np.ones(3, np.int32)), TypeError, "astype"),
        (lambda: tersor.Calibrator(axis=1).observe(np.ones(3, np.float32)), np.exceptions.AxisError, "axis"),
        (lambda: observed([np.ones((2, n), np.float32) for n in (3, 4)], axis=1), ValueError, "4 channels.*had 3"),
        (lambda: observed([np.ones(3, np.float32), np.ones((3, 1), np.float32)], axis=0), ValueError, "2 dimensions.*had 1"),
        (lambda: tersor.Calibrator().merge(3), TypeError, "other must be a Calibrator"),
        (lambda: tersor.Calibrator("mse").merge(tersor.Calibrator("entropy")), ValueError, "other has method='entropy'"),
        (lambda: tersor.Calibrator("mse").merge(tersor.Calibrator("mse", bins=9)), ValueError, "other has bins=9"),
        (
            lambda: tersor.Calibrator("moving_average").merge(tersor.Calibrator("moving_average")),
            ValueError,
            "order of batches",
        ),
        (lambda: tersor.Calibrator().load_state_dict({"low": [1.0]}), ValueError, "state has no ndim, high"),
        (
            lambda: tersor.Calibrator("mse").load_state_dict(observed(batches(), method="mse", bins=9).state_dict()),
            ValueError,
            r"counts of state has shape \(1, 9\)",
        ),
    ],
    ids=range(19),
)
def test_refusals(call: Callable[[], Any], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        call()
