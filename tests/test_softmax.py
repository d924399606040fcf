"""softmax with temperature, against the same function in a wider type."""

from __future__ import annotations

from typing import Any

import mpmath
import numpy as np
import pytest
import tersor
from conftest import ROW_SUM_TOLERANCE, TOLERANCE
from everywhere import InPlace, OverlapRefused, SameBitsEverywhere
from inputs import logit_values
from layouts import FLOATS, LAYOUTS, Array, assert_same_bits, canonical_nan, random_values, ulp, unsigned
from operations import case_name, cases

DType = np.dtype[Any]
COLUMNS = [
    1,
    2,
    3,
    7,
    15,
    16,
    17,
    31,
    33,
    63,
    64,
    65,
    127,
    513,
    1000,
    1023,
    1024,
    1025,
    2048,
    4097,
    32_000,
    65_537,
    131_071,
    131_072,
    262_144,
]


def named(*names: str) -> list[Any]:
    """Of the family's operations those that a file is about."""
    return [case for case in cases("softmax") if case[0].name in names]


@pytest.mark.parametrize("operation, dtype", named("softmax"), ids=case_name)
class TestSoftmaxEverywhere(SameBitsEverywhere, OverlapRefused, InPlace):
    pass


# --- the reference in a wider type -----------------------------------------------------------------------------------


def halves(value: Array) -> tuple[Array, Array]:
    """A longdouble as a sum of two of 32 bits each, whose products are exact (Veltkamp)."""
    spread = value * np.longdouble(2**32 + 1)
    high = spread - (spread - value)
    return high, value - high


def quotient_and_rest(z: Array, top: Array, t: Array) -> tuple[Array, Array]:
    """(z - top) / t, and what rounding took from it: an argument of 700 rounded to 64 bits is 0.3 ULP of float64 in exp."""
    difference = z - top
    moved = difference - z
    lost = (z - (difference - moved)) - (top + moved)
    quotient = difference / t
    (q_high, q_low), (t_high, t_low) = halves(quotient), halves(t)
    rest = (((difference - q_high * t_high) - q_high * t_low) - q_low * t_high) - q_low * t_low
    correction = (rest + lost) / t
    return quotient, np.where(np.isfinite(correction), correction, 0)


def exact_softmax(x: Array, temperature: Any = 1.0, axis: int = -1) -> Array:
    """reference.softmax before its last rounding: float64 for the narrower dtypes, longdouble for float64."""
    wide = np.longdouble if x.dtype == np.float64 else np.float64
    z = x.astype(wide)
    t = np.asarray(temperature, wide)
    top = z.max(axis=axis, keepdims=True)
    with np.errstate(all="ignore"):
        if wide is np.longdouble:
            quotient, rest = quotient_and_rest(z, top, t)
            exponential = np.exp(quotient) * (1 + rest)
        else:
            exponential = np.exp((z - top) / t)
        exponential = np.where(np.isinf(t), np.where(z == -np.inf, 0, np.exp(z - z)), exponential)
        exponential = np.where(t == 0, np.where(np.isnan(top), np.nan, z == top), exponential)
        exponential = np.where(np.isneginf(top), np.nan, exponential).astype(wide)
        return exponential / exponential.sum(axis=axis, keepdims=True)


def assert_close(result: Array, exact: Array, context: object = "") -> float:
    """Within the table's bound of the exact values, NaN where they are NaN. Returns the largest error in ULP of the
    result's dtype."""
    dtype = result.dtype
    assert result.shape == exact.shape
    got = result.astype(exact.dtype)
    np.testing.assert_array_equal(np.isnan(got), np.isnan(exact), err_msg=str(context))
    assert_same_bits(
        np.where(np.isnan(got), result, dtype.type(0)), np.where(np.isnan(got), canonical_nan(result), dtype.type(0))
    )
    finite = ~np.isnan(exact)
    got, exact = got[finite], exact[finite]
    if not exact.size:
        return 0.0
    assert (got >= 0).all() and not np.signbit(got).any(), f"{context}: negative, or -0.0"
    error = np.abs(got - exact)
    worst = int(np.argmax(error / TOLERANCE["softmax", dtype.name].bound(exact, dtype)))
    in_ulp = float(error[worst] / ulp(exact, dtype)[worst])
    allowed = TOLERANCE["softmax", dtype.name].bound(exact, dtype)[worst]
    assert error[worst] <= allowed, f"{context}: {in_ulp:.3f} ULP, got {got[worst]!r}, exact {exact[worst]!r}"
    return in_ulp


def assert_sums_to_one(result: Array, axis: int = -1) -> None:
    total = result.astype(np.longdouble).sum(axis=axis)
    assert np.abs(total[~np.isnan(total)] - 1).max(initial=0) <= ROW_SUM_TOLERANCE


def rows_of(kind: str, cols: int, dtype: DType) -> Array:
    """A few rows of one kind of input; kinds are clipped to what the dtype holds."""
    generator = np.random.default_rng(cols)
    rows = 1 if cols > 8192 else 3
    normal = generator.standard_normal((rows, cols))
    greatest = float(np.finfo(dtype).max) if dtype.name != "bfloat16" else 3e38
    values = {
        "normal": normal,
        "steep": normal * 30,
        "wide": generator.uniform(-1e4, 1e4, (rows, cols)),
        "large offset": np.minimum(1e6, greatest / 2) + normal,
        "negative offset": -np.minimum(1e6, greatest / 2) + normal * 5,
        "close": 1 + normal * 1e-3,
        "equal": np.full((rows, cols), 3.25),
        "one stands out": np.where(np.arange(cols) == cols // 3, 20.0, normal),
        "descending": np.linspace(0, -110, cols) * np.ones((rows, 1)),
        "some -inf": np.where(generator.random((rows, cols)) < 0.4, -np.inf, normal),
        "tiny": normal * 1e-30,
        "steps": normal + 37 * (np.arange(cols) // 1000 % 13 - 6),
        "high steps": normal + np.minimum(3e5, greatest / 4) * (np.arange(cols) // 1500 % 3),
    }[kind]
    return values.astype(dtype)


KINDS = [
    "normal",
    "steep",
    "wide",
    "large offset",
    "negative offset",
    "close",
    "equal",
    "one stands out",
    "descending",
    "some -inf",
    "tiny",
    "steps",
    "high steps",
]
TEMPERATURES = [1.0, 0.7, 4.0, 1e-4, 1e-2, 50.0, 1e4, 3.0, 1 / 3]


class TestAccuracy:
    @pytest.mark.parametrize("kind", KINDS)
    def test_within_the_bound(self, kind: str, dtype: DType, record_property: Any) -> None:
        worst = 0.0
        for cols in COLUMNS:
            x = rows_of(kind, cols, dtype)
            for temperature in TEMPERATURES if cols < 5000 else (1.0, 0.7, 1e-4):
                result = tersor.softmax(x, temperature)
                worst = max(worst, assert_close(result, exact_softmax(x, temperature), f"{cols} columns, T = {temperature}"))
                if dtype.itemsize >= 4:
                    assert_sums_to_one(result)
        record_property(f"largest error in ULP of {dtype.name}", worst)

    def test_float32_arguments_across_the_range_of_exp(self, record_property: Any) -> None:
        """Two columns, 0 and -d: every d of a fine grid up to where float32 underflows, and the float32 values next to
        multiples of ln 2, where a range reduction changes its integer part."""
        grid = np.linspace(0, 110, 1_100_001)
        near_multiples = (np.arange(1, 150)[:, None] * np.log(2) * (1 + np.arange(-40, 41) * 2.0**-25)).ravel()
        near_halves = ((np.arange(0, 150)[:, None] + 0.5) * np.log(2) * (1 + np.arange(-40, 41) * 2.0**-25)).ravel()
        d = np.concatenate([grid, near_multiples, near_halves]).astype(np.float32)
        x = np.stack([np.zeros_like(d), -d], axis=-1)
        record_property("largest error in ULP of float32", assert_close(tersor.softmax(x), exact_softmax(x)))

    @pytest.mark.parametrize("offset", [1.0, 100.0, 12345.67, 1e6, 3e7])
    def test_difference_that_float32_cannot_hold(self, offset: float) -> None:
        """The row's maximum is large and its other entries small: x - max has more bits than a float32, and half an
        ULP of a difference of 80 would be 32 ULP of the result."""
        small = np.random.default_rng(1).standard_normal((2000, 15)).astype(np.float32) * np.float32(1e-3)
        x = np.concatenate([np.full((2000, 1), np.float32(offset)), small], axis=-1)
        for temperature in (offset / 80, offset / 30, offset / 3, offset):
            assert_close(tersor.softmax(x, temperature), exact_softmax(x, temperature), f"T = {temperature}")

    @pytest.mark.parametrize(
        "temperature",
        [1e37, 3e38, 1e39, 2.0**179, 2.0**180, 1e300, 2.0**-149, 1e-40, 2.0**-126, 2.0**-100, 1.1e-30, 1e-20],
    )
    def test_extreme_temperatures_float32(self, temperature: float) -> None:
        """x / T is moderate although x or T is not; x - max itself may overflow."""
        x = (np.random.default_rng(2).uniform(-1, 1, (50, 65)) * min(temperature * 20, 3.4e38)).astype(np.float32)
        assert_close(tersor.softmax(x, temperature), exact_softmax(x, temperature))

    @pytest.mark.parametrize("temperature", [5e-324, 1e-310, 1e-300, 1e-200, 1e200, 2.0**999, 2.0**1000, 1e307, 1.7e308])
    def test_extreme_temperatures_float64(self, temperature: float) -> None:
        """1 / T overflows where T is subnormal."""
        x = np.random.default_rng(2).uniform(-1, 1, (50, 65)) * min(temperature * 20, 1.7e308)
        x[:, 3] = 0.0
        assert_close(tersor.softmax(x, temperature), exact_softmax(x, temperature))

    def test_float64_against_mpmath(self) -> None:
        mpmath.mp.prec = 200
        generator = np.random.default_rng(3)
        for scale, temperature in [(1, 1.0), (100, 1.0), (300, 0.7), (1e4, 30.0), (1e-3, 1e-5), (1, 1e3)]:
            x = generator.uniform(-scale, scale, 40)
            exponentials = [mpmath.exp((mpmath.mpf(v) - mpmath.mpf(x.max())) / mpmath.mpf(temperature)) for v in x]
            total = mpmath.fsum(exponentials)
            for got, exponential in zip(tersor.softmax(x, temperature), exponentials, strict=True):
                exact = exponential / total
                step = float(ulp(np.array(float(exact)), np.dtype(np.float64)))
                assert abs(mpmath.mpf(float(got)) - exact) <= 2 * step, (scale, temperature, got, exact)

    def test_longdouble_is_wider_than_float64(self) -> None:
        """What the float64 tests rest on."""
        assert np.finfo(np.longdouble).nmant >= 63


class TestSpecialRows:
    """Each rule alone in a row, at several lengths and places, between ordinary rows that it must not touch."""

    @pytest.mark.parametrize("cols", [1, 2, 5, 16, 17, 64, 100, 1025, 5000])
    def test_infinities_and_nan(self, cols: int, dtype: DType, each_level: Any) -> None:
        ordinary = random_values((1, cols), dtype, special=np.array([], dtype))
        rows = []
        for value in (np.nan, np.inf, -np.inf):
            for place in {0, cols // 2, cols - 1}:
                row = ordinary.copy()
                row[0, place] = value
                rows += [row, ordinary]
        rows += [np.full((1, cols), value, dtype) for value in (np.nan, np.inf, -np.inf)] + [ordinary]
        x = np.concatenate(rows)
        for temperature in (1.0, 0.0, np.inf, 0.3):
            expected = tersor.softmax(x, temperature)
            assert_close(expected, exact_softmax(x, temperature), f"T = {temperature}")
            for setting in each_level:
                assert_same_bits(tersor.softmax(x, temperature), expected, f"T = {temperature}, {setting}")

    def test_named_results(self, dtype: DType) -> None:
        inf, nan = np.inf, np.nan
        for row, temperature, expected in [
            ([-inf, -inf, -inf], 1.0, [nan, nan, nan]),
            ([inf, 0, 0], 1.0, [nan, nan, nan]),
            ([nan, 0, 0], 1.0, [nan, nan, nan]),
            ([-inf, 0, -inf], 1.0, [0, 1, 0]),
            ([-inf, 2, 2], 1.0, [0, 0.5, 0.5]),
            ([1, 3, 2], 0.0, [0, 1, 0]),
            ([3, 3, 2], 0.0, [0.5, 0.5, 0]),
            ([inf, 3, inf], 0.0, [0.5, 0, 0.5]),
            ([-inf, -inf, 1], 0.0, [0, 0, 1]),
            ([-inf, -inf, -inf], 0.0, [nan, nan, nan]),
            ([1, nan, 2], 0.0, [nan, nan, nan]),
            ([0.0, -0.0, -1], 0.0, [0.5, 0.5, 0]),
            ([1, 1000, -1000, 5], inf, [0.25, 0.25, 0.25, 0.25]),
            ([1, -inf, 3], inf, [0.5, 0, 0.5]),
            ([1, inf, 3], inf, [nan, nan, nan]),
            ([nan, 1, 3], inf, [nan, nan, nan]),
            ([-inf, -inf], inf, [nan, nan]),
            ([7], 1.0, [1]),
            ([7, -0.0], -0.0, [1, 0]),
        ]:
            result = tersor.softmax(np.array(row, dtype), temperature)
            assert_same_bits(result, canonical_nan(np.array(expected, dtype)), f"{row}, T = {temperature}")

    @pytest.mark.parametrize("ties", [1, 2, 3, 10, 100, 1000])
    def test_ties_share(self, ties: int, dtype: DType, each_level: Any) -> None:
        x = np.zeros((4, 1000), dtype)
        x[:, :ties] = 5
        x = np.random.default_rng(ties).permuted(x, axis=-1)
        exact = exact_softmax(x, 0.0)
        for setting in each_level:
            result = tersor.softmax(x, 0.0)
            assert_close(result, exact, setting)
            assert (result[x == 0] == 0).all() or ties == 1000
            assert len(np.unique(result[x == 5])) == 1

    def test_smallest_temperatures(self, dtype: DType, each_level: Any) -> None:
        """Down to the least float64: where any difference over T is too much for exp, the result is that of T = 0;
        differences as small as T itself still count."""
        x = np.array([1.0, 1.0, 0.5, 0.0, -3.0], dtype)
        least = np.array([1], unsigned(dtype)).view(dtype)[0]
        fine = np.array([0, 1, 2, 3], unsigned(dtype)).view(dtype)  # the dtype's smallest steps
        for setting in each_level:
            for temperature in (
                5e-324,
                1e-310,
                1e-200,
                2.0**-181,
                2.0**-180,
                2.0**-179,
                2.0**-101,
                2.0**-100,
                1e-40,
                1e-20,
            ):
                assert_same_bits(tersor.softmax(x, temperature), tersor.softmax(x, 0.0), f"{temperature}, {setting}")
                result = tersor.softmax(fine, temperature)
                assert_close(result, exact_softmax(fine, temperature), f"smallest steps, {temperature}, {setting}")
            assert_close(
                tersor.softmax(fine, float(least)),
                exact_softmax(fine, float(least)),
                f"T = the smallest step, {setting}",
            )

    def test_subnormal_results_are_kept(self, each_level: Any) -> None:
        for dtype, depth in ((np.float32, 95.0), (np.float64, 730.0)):
            x = np.array([0.0, -depth], dtype)
            for setting in each_level:
                result = tersor.softmax(x)
                assert 0 < result[1] < np.finfo(dtype).tiny, setting
                assert_close(result, exact_softmax(x), setting)


class TestTemperature:
    def test_one_a_row(self, dtype: DType, settings: Any) -> None:
        x = random_values((60, 900), dtype, special=logit_values(dtype))
        temperature = np.random.default_rng(0).uniform(0.05, 4, (60, 1))
        temperature[7], temperature[11] = 0, np.inf
        assert_close(tersor.softmax(x, temperature), exact_softmax(x, temperature))
        each_row = [tersor.softmax(row, float(t)) for row, t in zip(x, temperature[:, 0], strict=True)]
        for setting in settings:
            assert_same_bits(tersor.softmax(x, temperature), np.stack(each_row), setting)

    @pytest.mark.parametrize(
        "shape, axis",
        [
            ((3, 4, 1), -1),
            ((1, 4, 1), -1),
            ((3, 1, 1), -1),
            ((4, 1), -1),
            ((1,), -1),
            ((), -1),
            ((1, 4, 35), 0),
            ((4, 35), 0),
            ((35,), 0),
            ((3, 1, 35), 1),
        ],
    )
    def test_broadcasts(self, shape: tuple[int, ...], axis: int, dtype: DType, each_level: Any) -> None:
        x = random_values((3, 4, 35), dtype, special=logit_values(dtype))
        temperature = np.asarray(np.random.default_rng(0).uniform(0.1, 4, shape))
        expected = tersor.softmax(x, temperature, axis=axis)
        assert_close(expected, exact_softmax(x, temperature, axis))
        for name, arrange in LAYOUTS.items():
            for setting in each_level:
                result = tersor.softmax(arrange(x), arrange(temperature), axis=axis)
                assert_same_bits(result, expected, f"{name}, {setting}")

    @pytest.mark.parametrize("kind", ["float32", "float16", "float64", "int64", "int32"])
    def test_dtypes(self, kind: str) -> None:
        x = random_values((5, 40), FLOATS["float32"], special=np.array([], np.float32))
        temperature = np.array([[1], [2], [3], [4], [5]])
        assert_same_bits(tersor.softmax(x, temperature.astype(kind)), tersor.softmax(x, temperature.astype(np.float64)))

    @pytest.mark.parametrize("temperature", [2, np.float32(2), np.float64(2), np.int64(2), np.array(2.0), np.array([2.0])])
    def test_scalars(self, temperature: Any) -> None:
        x = random_values((5, 40), FLOATS["float32"], special=np.array([], np.float32))
        assert_same_bits(tersor.softmax(x, temperature), tersor.softmax(x, 2.0))

    @pytest.mark.parametrize("bad", [-1.0, -1e-300, -np.inf, np.nan])
    def test_negative_and_nan(self, bad: float, settings: Any) -> None:
        x = np.zeros((500, 700), np.float32)
        each_row = np.ones((500, 1))
        each_row[499] = bad
        for _ in settings:
            for temperature in (bad, each_row):
                with pytest.raises(ValueError, match=r"temperature.*>= 0"):
                    tersor.softmax(x, temperature)

    @pytest.mark.parametrize("shape", [(5,), (2, 5), (3, 5), (2, 1, 1), (4, 1), (1, 1, 1)])
    def test_shapes_that_do_not_fit(self, shape: tuple[int, ...]) -> None:
        with pytest.raises(ValueError, match="temperature"):
            tersor.softmax(np.zeros((3, 5), np.float32), np.ones(shape))


class TestAxis:
    @pytest.mark.parametrize("shape", [(7,), (5, 40), (3, 20, 9), (2, 3, 4, 17), (1, 1), (3, 1, 5), (600, 130)], ids=str)
    def test_every_axis_in_every_layout(self, shape: tuple[int, ...], dtype: DType, each_level: Any) -> None:
        x = random_values(shape, dtype, special=logit_values(dtype))
        for axis in range(-len(shape), len(shape)):
            rows = np.ascontiguousarray(np.moveaxis(x, axis, -1))
            expected = np.moveaxis(tersor.softmax(rows), -1, axis)
            assert_close(expected, exact_softmax(x, 1.0, axis))
            for name, arrange in LAYOUTS.items():
                for setting in each_level:
                    assert_same_bits(tersor.softmax(arrange(x), axis=axis), expected, f"axis {axis}, {name}, {setting}")

    @pytest.mark.parametrize("shape", [(0,), (0, 3), (3, 0), (2, 0, 3)])
    def test_empty(self, shape: tuple[int, ...], dtype: DType) -> None:
        for axis in range(len(shape)):
            assert_same_bits(tersor.softmax(np.zeros(shape, dtype), axis=axis), np.zeros(shape, dtype))


class TestExactProperties:
    def test_equal_entries_get_equal_results(self, dtype: DType, settings: Any) -> None:
        x = np.random.default_rng(0).integers(-5, 6, (40, 3333)).astype(dtype)
        for setting in settings:
            result = tersor.softmax(x, 0.8)
            for row, probabilities in zip(x, result, strict=True):
                for value in np.unique(row):
                    assert len(np.unique(probabilities[row == value])) == 1, setting

    def test_rows_do_not_depend_on_their_neighbours(self, dtype: DType, settings: Any) -> None:
        x = random_values((301, 257), dtype, special=logit_values(dtype))
        order = np.random.default_rng(0).permutation(301)
        alone = np.stack([tersor.softmax(row) for row in x])
        for setting in settings:
            assert_same_bits(tersor.softmax(x), alone, setting)
            assert_same_bits(tersor.softmax(x[order]), alone[order], setting)


class TestLongRows:
    """Rows that several threads share, and rows too long for scratch, take another road to the same bits."""

    @pytest.mark.parametrize("rows, cols", [(1, 131_072), (3, 140_001), (15, 131_073), (16, 131_073), (2, 530_000)])
    def test_same_bits_as_rows_alone(self, rows: int, cols: int, dtype: DType, settings: Any) -> None:
        x = random_values((rows, cols), dtype, special=logit_values(dtype))
        x[0, ::7] *= dtype.type(40)  # blocks of one row lie far apart
        temperature = np.linspace(0.5, 2, rows)[:, None]
        filled = np.concatenate([x, np.zeros((20, cols), dtype)])  # among many rows each one stays whole
        expected = tersor.softmax(filled, np.concatenate([temperature, np.ones((20, 1))]))[:rows]
        assert_close(expected, exact_softmax(x, temperature))
        for setting in settings:
            assert_same_bits(tersor.softmax(x, temperature), expected, setting)
            in_place = x.copy()
            tersor.softmax(in_place, temperature, out=in_place)
            assert_same_bits(in_place, expected, f"in place, {setting}")

    def test_special_rows_among_them(self, dtype: DType, settings: Any) -> None:
        x = random_values((6, 131_100), dtype, special=np.array([], dtype))
        x[0, 70_000], x[1, 131_099], x[2, :], x[3, 1:], x[4, 5000] = np.nan, np.inf, -np.inf, -np.inf, -np.inf
        for temperature in (1.0, 0.0, np.inf, np.array([[1], [0], [np.inf], [0.5], [0], [2]])):
            exact = exact_softmax(x, temperature)
            expected = None
            for setting in settings:
                result = tersor.softmax(x, temperature)
                expected = result if expected is None else expected
                assert_same_bits(result, expected, setting)
            assert_close(result, exact)


def test_frameworks_agree(framework: Any, dtype: DType) -> None:
    x = random_values((5, 77), dtype, special=logit_values(dtype))
    temperature = np.linspace(0.5, 2, 5)[:, None]
    for t in (0.7, temperature):
        given = framework.array(t) if isinstance(t, np.ndarray) else t
        assert_same_bits(framework.numpy(tersor.softmax(framework.array(x), given)), tersor.softmax(x, t))
