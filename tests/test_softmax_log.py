"""log_softmax and logsumexp, against the same functions in a wider type."""

from __future__ import annotations

from typing import Any

import mpmath
import numpy as np
import pytest
import tersor
from conftest import TOLERANCE
from everywhere import InPlace, OverlapRefused, SameBitsEverywhere
from inputs import logit_values
from layouts import Array, assert_same_bits, canonical_nan, random_values, spec, ulp
from operations import case_name
from test_softmax import COLUMNS, KINDS, named, rows_of

DType = np.dtype[Any]
NAMES = ("log_softmax", "logsumexp")
inf, nan = np.inf, np.nan


@pytest.mark.parametrize("operation, dtype", named(*NAMES), ids=case_name)
class TestLogarithmsEverywhere(SameBitsEverywhere, OverlapRefused):
    pass


@pytest.mark.parametrize("operation, dtype", named("log_softmax"), ids=case_name)
class TestLogSoftmaxInPlace(InPlace):
    pass


# --- accuracy --------------------------------------------------------------------------------------------------------


def exact_logs(x: Array, temperature: Any, axis: int = -1) -> tuple[Array, Array]:
    """log_softmax and logsumexp with kept dimensions: longdouble for float64, float64 for what is narrower."""
    wide = np.longdouble if x.dtype == np.float64 else np.float64
    z, t = x.astype(wide), np.asarray(temperature, wide)
    top = z.max(axis=axis, keepdims=True)
    log = np.log(np.exp((z - top) / t).sum(axis=axis, keepdims=True))
    return (z - top) / t - log, top / t + log


def assert_close(result: Array, exact: Array, context: object) -> None:
    dtype = result.dtype
    with np.errstate(over="ignore"):
        narrow = exact.astype(dtype)
    outside = ~np.isfinite(narrow)
    assert_same_bits(result[outside], narrow[outside], context)
    error = np.abs(result.astype(exact.dtype) - exact)[~outside]
    bound = TOLERANCE["logarithms", dtype.name].bound(exact[~outside], dtype)
    assert (error <= bound).all(), f"{context}: {float((error / bound).max())} times the bound"


class TestAccuracy:
    @pytest.mark.parametrize("kind", [kind for kind in KINDS if kind != "some -inf"])
    def test_within_the_bound(self, kind: str, dtype: DType) -> None:
        for cols in COLUMNS:
            x = rows_of(kind, cols, dtype)
            for temperature in (1.0, 0.7, 1e-4, 50.0, 1e4) if cols < 5000 else (1.0, 0.7):
                logs, sums = exact_logs(x, temperature)
                assert_close(tersor.log_softmax(x, temperature), logs, f"{cols} columns, T = {temperature}")
                assert_close(tersor.logsumexp(x, temperature, keepdims=True), sums, f"{cols} columns, T = {temperature}")

    def test_shares_near_one(self, dtype: DType) -> None:
        """Logarithms as small as the sum's own error: absolute errors count, not relative ones."""
        depth = np.linspace(0, 20, 2001)
        x = np.stack([np.zeros_like(depth), -depth], -1).astype(dtype)
        assert_close(tersor.log_softmax(x), exact_logs(x, 1.0)[0], "0 and -d")

    def test_masked_entries(self, dtype: DType) -> None:
        x = rows_of("some -inf", 3000, dtype)
        x[:, 0] = 1
        masked = np.isneginf(x)
        result = tersor.log_softmax(x, 0.7)
        assert np.isneginf(result[masked]).all()
        for row, got, hidden in zip(x, result, masked, strict=True):
            assert_close(got[~hidden], exact_logs(row[~hidden], 0.7)[0], "what is not masked")
            assert_close(tersor.logsumexp(row, 0.7, keepdims=True), exact_logs(row[~hidden], 0.7)[1], "its sum")

    def test_float64_against_mpmath(self) -> None:
        mpmath.mp.prec = 200
        generator = np.random.default_rng(3)
        for scale, temperature in [(1, 1.0), (100, 1.0), (300, 0.7), (1e4, 30.0), (1e-3, 1e-5), (1, 1e3)]:
            x = generator.uniform(-scale, scale, 40)
            exact = mpmath.log(mpmath.fsum(mpmath.exp(mpmath.mpf(v) / mpmath.mpf(temperature)) for v in x))
            bound = TOLERANCE["logarithms", "float64"]
            for got, wanted in [(tersor.logsumexp(x, temperature), exact)] + [
                (log, mpmath.mpf(v) / mpmath.mpf(temperature) - exact)
                for v, log in zip(x, tersor.log_softmax(x, temperature), strict=True)
            ]:
                step = float(ulp(np.array(float(wanted)), np.dtype(np.float64)))
                assert abs(mpmath.mpf(float(got)) - wanted) <= bound.own_ulp * step + bound.number

    @pytest.mark.parametrize("temperature", [1e37, 2.0**179, 2.0**-149, 1e-40, 2.0**-100, 1e-20])
    def test_extreme_temperatures(self, temperature: float) -> None:
        x = (np.random.default_rng(2).uniform(-1, 1, (50, 65)) * min(temperature * 20, 3.4e38)).astype(np.float32)
        logs, sums = exact_logs(x, temperature)
        assert_close(tersor.log_softmax(x, temperature), logs, temperature)
        assert_close(tersor.logsumexp(x, temperature, keepdims=True), sums, temperature)

    @pytest.mark.parametrize("temperature", [5e-324, 1e-310, 1e-200, 2.0**999, 1e307])
    def test_extreme_temperatures_float64(self, temperature: float) -> None:
        x = np.random.default_rng(2).uniform(-1, 1, (50, 65)) * min(temperature * 20, 1.7e308)
        logs, sums = exact_logs(x, temperature)
        assert_close(tersor.log_softmax(x, temperature), logs, temperature)
        assert_close(tersor.logsumexp(x, temperature, keepdims=True), sums, temperature)


# --- rules -----------------------------------------------------------------------------------------------------------


class TestSpecialRows:
    def test_named_results(self, dtype: DType, each_level: Any) -> None:
        half, quarter = float(np.log(0.5)), float(np.log(0.25))
        rows: list[tuple[list[float], float, list[float], float]] = [
            ([-inf, -inf], 1.0, [nan, nan], -inf),
            ([inf, 0], 1.0, [nan, nan], inf),
            ([inf, -inf], 1.0, [nan, nan], inf),
            ([nan, 0], 1.0, [nan, nan], nan),
            ([nan, inf], 1.0, [nan, nan], nan),
            ([nan, -inf], 1.0, [nan, nan], nan),
            ([-inf, 3], 1.0, [-inf, 0], 3),
            ([-inf, 3, 3], 1.0, [-inf, half, half], 3 - half),
            ([3, 3, 2], 0.0, [half, half, -inf], inf),
            ([-3, -4], 0.0, [0, -inf], -inf),
            ([0, -1, 0], 0.0, [half, -inf, half], -half),
            ([inf, 1, inf], 0.0, [half, -inf, half], inf),
            ([-inf, -inf], 0.0, [nan, nan], -inf),
            ([nan, 1], 0.0, [nan, nan], nan),
            ([1, 1000, -5, 2], inf, [quarter] * 4, -quarter),
            ([1, -inf, 7], inf, [half, -inf, half], -half),
            ([1, inf], inf, [nan, nan], nan),
            ([-inf, -inf], inf, [nan, nan], -inf),
            ([7], 0.5, [0], 14),
        ]
        for setting in each_level:
            for row, temperature, logs, value in rows:
                for repeats in (1, 700):  # within a block and over several
                    x = np.array(row, dtype)
                    x = np.concatenate([x, np.full(repeats * 3, -inf, dtype)]) if repeats > 1 else x
                    padded = np.array([*logs, *([nan if nan in logs else -inf] * (x.size - len(row)))])
                    context = f"{row}, T = {temperature}, {x.size} columns, {setting}"
                    got = tersor.log_softmax(x, temperature)
                    assert_same_bits(got, canonical_nan(padded.astype(dtype)), context)
                    assert_same_bits(got, canonical_nan(spec.log_softmax(x, temperature)), f"reference, {context}")
                    assert_same_bits(tersor.logsumexp(x, temperature), canonical_nan(np.array(value, dtype)), context)
                    assert_same_bits(
                        canonical_nan(spec.logsumexp(x, temperature)), canonical_nan(np.array(value, dtype)), context
                    )

    def test_rows_without_entries(self, dtype: DType) -> None:
        assert tersor.log_softmax(np.empty((3, 0), dtype)).shape == (3, 0)
        assert_same_bits(tersor.logsumexp(np.empty((3, 0), dtype)), np.full(3, -inf, dtype))
        assert tersor.logsumexp(np.empty((0, 3), dtype)).shape == (0,)


class TestArguments:
    @pytest.mark.parametrize("axis", [0, 1, 2, -1, -3])
    def test_axes(self, axis: int, dtype: DType, settings: Any) -> None:
        x = random_values((4, 30, 65), dtype, special=logit_values(dtype))
        moved = np.ascontiguousarray(np.moveaxis(x, axis, -1))
        logs, sums = tersor.log_softmax(moved, 0.7), tersor.logsumexp(moved, 0.7)
        for setting in settings:
            assert_same_bits(tersor.log_softmax(x, 0.7, axis=axis), np.moveaxis(logs, -1, axis), setting)
            assert_same_bits(tersor.logsumexp(x, 0.7, axis=axis), sums, setting)
            kept = tersor.logsumexp(x, 0.7, axis=axis, keepdims=True)
            assert_same_bits(kept, np.expand_dims(sums, axis), setting)
            out = np.empty(kept.shape, dtype)
            assert tersor.logsumexp(x, 0.7, axis=axis, out=out) is out
            assert_same_bits(out, kept, setting)

    def test_one_temperature_a_row(self, dtype: DType, settings: Any) -> None:
        x = random_values((60, 900), dtype, special=logit_values(dtype))
        temperature = np.random.default_rng(0).uniform(0.05, 4, (60, 1))
        temperature[7], temperature[11] = 0, inf
        logs = np.stack([tersor.log_softmax(row, float(t)) for row, t in zip(x, temperature[:, 0], strict=True)])
        sums = np.stack([tersor.logsumexp(row, float(t)) for row, t in zip(x, temperature[:, 0], strict=True)])
        for setting in settings:
            assert_same_bits(tersor.log_softmax(x, temperature), logs, setting)
            assert_same_bits(tersor.logsumexp(x, temperature), sums, setting)

    def test_rows_that_threads_share(self, dtype: DType, settings: Any) -> None:
        """Few and long: cut into pieces, with the bits of whole rows."""
        x = random_values((1, 300_000), dtype, special=logit_values(dtype))
        tersor.set_num_threads(1)
        logs, sums = tersor.log_softmax(x, 1.3), tersor.logsumexp(x, 1.3)
        for setting in settings:
            assert_same_bits(tersor.log_softmax(x, 1.3), logs, setting)
            assert_same_bits(tersor.logsumexp(x, 1.3), sums, setting)
