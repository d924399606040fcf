"""Gradients of softmax, log_softmax and logsumexp, against longdouble and against differences."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import tersor
from everywhere import InPlace, OverlapRefused, SameBitsEverywhere
from layouts import Array, assert_same_bits, random_values, spec, ulp
from operations import case_name
from test_softmax import named, rows_of

DType = np.dtype[Any]
NAMES = ("softmax_backward", "log_softmax_backward", "logsumexp_backward")
COLUMNS = [1, 2, 5, 16, 17, 63, 65, 1000, 1023, 1025, 4097, 70_000, 300_000]


@pytest.mark.parametrize("operation, dtype", named(*NAMES), ids=case_name)
class TestGradientsEverywhere(SameBitsEverywhere, OverlapRefused, InPlace):
    pass


@pytest.mark.parametrize("operation, dtype", named("softmax_backward", "log_softmax_backward"), ids=case_name)
def test_in_place_of_the_second(operation: Any, dtype: DType, settings: Any) -> None:
    arrays = operation.make((40, 1001), dtype)
    expected = operation.expected(arrays, (40, 1001), dtype)
    for setting in settings:
        y = arrays[1].copy()
        operation.run((arrays[0], y), (40, 1001), dtype, out=y)
        assert_same_bits(y, expected[0], setting)


# --- accuracy --------------------------------------------------------------------------------------------------------


def epsilon(dtype: DType) -> float:
    """Half an ULP of 1 in the dtype of arithmetic."""
    return 2.0**-53 if dtype == np.float64 else 2.0**-24


def sum_error(cols: int) -> float:
    """Of a float64 sum, relative to the terms' magnitudes: 64 additions in a lane, 4 across lanes, one for each block."""
    return (68 + -(-cols // 1024)) * 2.0**-53


def last_rounding(exact: Array, dtype: DType) -> Array:
    """To the dtype, by way of that of arithmetic."""
    return 0.5 * ulp(exact, dtype) + (0 if dtype.itemsize >= 4 else 0.5 * ulp(exact, np.dtype(np.float32)))


def assert_within(result: Array, exact: Array, bound: Array, context: object) -> None:
    error = np.abs(result.astype(np.longdouble) - exact)
    assert (error <= bound).all(), f"{context}: {float((error / bound).max())} times the bound"


@pytest.mark.parametrize("temperature", [1.0, 0.3, 20.0])
class TestAccuracy:
    def test_softmax(self, temperature: float, dtype: DType) -> None:
        for cols in COLUMNS:
            y = tersor.softmax(rows_of("normal", cols, dtype), temperature)
            grad = rows_of("normal", cols, dtype)[:, ::-1]
            p, g = y.astype(np.longdouble), grad.astype(np.longdouble)
            exact = p * (g - (g * p).sum(-1, keepdims=True)) / temperature
            # Three roundings in float64 before the last one, and the sum's.
            spread = p * (np.abs(g) + np.abs(g * p).sum(-1, keepdims=True)) / temperature
            bound = last_rounding(exact, dtype) + (4 * 2.0**-53 + sum_error(cols)) * spread
            assert_within(tersor.softmax_backward(grad, y, temperature), exact, bound, f"{cols} columns")

    def test_log_softmax(self, temperature: float, dtype: DType) -> None:
        for cols in COLUMNS:
            y = tersor.log_softmax(rows_of("normal", cols, dtype), temperature)
            grad = rows_of("normal", cols, dtype)[:, ::-1]
            p, g = np.exp(y.astype(np.longdouble)), grad.astype(np.longdouble)
            exact = (g - p * g.sum(-1, keepdims=True)) / temperature
            # exp is within an ULP of the dtype of arithmetic.
            spread = np.abs(p * g.sum(-1, keepdims=True)) / temperature
            of_sum = p * np.abs(g).sum(-1, keepdims=True) / temperature
            bound = last_rounding(exact, dtype) + 2 * epsilon(dtype) * spread
            bound = bound + (4 * 2.0**-53 + sum_error(cols)) * (of_sum + np.abs(g) / temperature)
            assert_within(tersor.log_softmax_backward(grad, y, temperature), exact, bound, f"{cols} columns")

    def test_logsumexp(self, temperature: float, dtype: DType) -> None:
        for kind in ("normal", "steep", "large offset"):
            for cols in COLUMNS:
                x = rows_of(kind, cols, dtype)
                grad = rows_of("normal", cols, dtype)[:, 0]
                z = x.astype(np.longdouble)
                logs = (z - z.max(-1, keepdims=True)) / temperature
                logs = logs - np.log(np.exp(logs).sum(-1, keepdims=True))
                exact = grad.astype(np.longdouble)[:, None] * np.exp(logs) / temperature
                # exp is within an ULP; its argument is wrong by the sum's 2**-27 (float64: 2**-50) and by two roundings.
                relative = 2 * epsilon(dtype) + (2.0**-50 if dtype == np.float64 else 2.0**-27) + 4 * 2.0**-53 * (1 - logs)
                bound = last_rounding(exact, dtype) + relative * np.abs(exact) * 1.0001
                result = tersor.logsumexp_backward(grad, x, temperature)
                assert_within(result, exact, bound + ulp(np.zeros(1), dtype), f"{kind}, {cols} columns")


class TestAgainstDifferences:
    """Central differences in float64: what is computed is a gradient, not only a formula."""

    @staticmethod
    def difference(function: Any, x: Array, direction: Array) -> float:
        step = 1e-5
        return float((function(x + step * direction) - function(x - step * direction)) / (2 * step))

    @pytest.mark.parametrize("axis", [0, 1])
    @pytest.mark.parametrize("temperature", [0.5, 3.0])
    def test_directions(self, axis: int, temperature: float) -> None:
        generator = np.random.default_rng(0)
        x, weights, direction = generator.standard_normal((3, 7, 9))
        of_sums = weights.sum(axis)
        for function, backward in (
            (
                lambda z: (tersor.softmax(z, temperature, axis=axis) * weights).sum(),
                lambda: tersor.softmax_backward(weights, tersor.softmax(x, temperature, axis=axis), temperature, axis=axis),
            ),
            (
                lambda z: (tersor.log_softmax(z, temperature, axis=axis) * weights).sum(),
                lambda: tersor.log_softmax_backward(
                    weights, tersor.log_softmax(x, temperature, axis=axis), temperature, axis=axis
                ),
            ),
            (
                lambda z: (tersor.logsumexp(z, temperature, axis=axis) * of_sums).sum(),
                lambda: tersor.logsumexp_backward(of_sums, x, temperature, axis=axis),
            ),
        ):
            assert (backward() * direction).sum() == pytest.approx(self.difference(function, x, direction), rel=1e-7)


# --- rules -----------------------------------------------------------------------------------------------------------


class TestEdges:
    @pytest.mark.parametrize("temperature", [0.0, np.inf, 5e-324])
    def test_limits_of_the_temperature_give_zeros(self, temperature: float, dtype: DType, each_level: Any) -> None:
        if dtype == np.float64 and temperature == 5e-324:
            return  # not a limit there
        x, grad = (random_values((5, 1100), dtype, special=np.zeros(1, dtype)) for _ in range(2))
        for setting in each_level:
            for got in (
                tersor.softmax_backward(grad, tersor.softmax(x, temperature), temperature),
                tersor.log_softmax_backward(grad, tersor.log_softmax(x, temperature), temperature),
                tersor.logsumexp_backward(grad[:, :1], x, temperature),
            ):
                assert_same_bits(got, np.zeros_like(x), setting)

    @pytest.mark.parametrize("temperature", [1e-4, 1.0, 1e4])
    def test_masked_classes_have_finite_gradients(self, temperature: float, dtype: DType) -> None:
        x = rows_of("some -inf", 1500, dtype)
        x[:, 0] = 0
        masked = np.isneginf(x)
        grad = np.where(masked, 0, rows_of("normal", 1500, dtype) * dtype.type(2**-6)).astype(dtype)
        for got in (
            tersor.softmax_backward(grad, tersor.softmax(x, temperature), temperature),
            tersor.log_softmax_backward(grad, tersor.log_softmax(x, temperature), temperature),
            tersor.logsumexp_backward(grad[:, 0], x, temperature),
        ):
            assert np.isfinite(got).all()
            assert not got[masked].any()

    def test_rows_with_nan(self, dtype: DType) -> None:
        x = random_values((3, 40), dtype, special=np.zeros(1, dtype))
        x[1, 7] = np.nan
        got = tersor.logsumexp_backward(np.ones(3, dtype), x)
        assert np.isnan(got[1]).all() and not np.isnan(got[::2]).any()

    def test_logarithms_above_zero_count_as_zero(self, dtype: DType) -> None:
        grad, y = np.array([1, 2], dtype), np.array([5, -np.inf], dtype)
        assert_same_bits(tersor.log_softmax_backward(grad, y), np.array([-2, 2], dtype))

    def test_temperatures_of_rows(self, dtype: DType, settings: Any) -> None:
        x, grad = (random_values((30, 200), dtype, special=np.zeros(1, dtype)) for _ in range(2))
        temperature = np.random.default_rng(0).uniform(0.1, 4, (30, 1))
        temperature[5] = 0
        y, logs = tersor.softmax(x, temperature), tersor.log_softmax(x, temperature)
        for backward, arrays in (
            (tersor.softmax_backward, (grad, y)),
            (tersor.log_softmax_backward, (grad, logs)),
            (tersor.logsumexp_backward, (grad[:, 0], x)),
        ):
            rows = [
                backward(np.array(first), second, float(t))
                for first, second, t in zip(*arrays, temperature[:, 0], strict=True)
            ]
            for setting in settings:
                assert_same_bits(backward(*arrays, temperature), np.stack(rows), setting)

    def test_like_the_reference(self, dtype: DType) -> None:
        x, grad = (random_values((6, 300), dtype, special=np.zeros(1, dtype)) for _ in range(2))
        y, logs = tersor.softmax(x, 0.7), tersor.log_softmax(x, 0.7)
        for name, arrays in (
            ("softmax_backward", (grad, y)),
            ("log_softmax_backward", (grad, logs)),
            ("logsumexp_backward", (grad[:, :1], x)),
        ):
            got, wanted = getattr(tersor, name)(*arrays, 0.7), getattr(spec, name)(*arrays, 0.7)
            error = np.abs(got.astype(np.float64) - wanted.astype(np.float64))
            largest = np.abs(wanted.astype(np.float64)).max(-1, keepdims=True)
            assert (error <= 4 * ulp(largest, dtype)).all(), name
