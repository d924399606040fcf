"""quantize: fixed point, and symmetric int8 with a scale a row."""

from __future__ import annotations

from typing import Any

import ml_dtypes
import numpy as np
import pytest
import tersor
from conftest import QUANTIZE_STEP_TOLERANCE
from everywhere import InPlace, OverlapRefused, SameBitsEverywhere
from inputs import modest_values
from layouts import (
    FLOATS,
    LAYOUTS,
    assert_same_bits,
    canonical_nan,
    every_value,
    finite_special_values,
    random_values,
    round_once,
    spec,
    special_values,
    unsigned,
)
from operations import case_name, cases

DType = np.dtype[Any]


@pytest.mark.parametrize("operation, dtype", cases("quantize"), ids=case_name)
class TestQuantizeEverywhere(SameBitsEverywhere, OverlapRefused):
    pass


@pytest.mark.parametrize("operation, dtype", cases("quantize", in_place=True), ids=case_name)
class TestRoundFixedInPlace(InPlace):
    pass


class TestRoundFixed:
    def test_every_half_value(self, half_dtype: DType, each_level: Any) -> None:
        w = every_value(half_dtype)
        for bits in range(53):
            expected = canonical_nan(spec.round_fixed(w, bits))
            for setting in each_level:
                assert_same_bits(tersor.round_fixed(w, bits), expected, f"{bits} bits, {setting}")

    def test_special_and_random_values(self, dtype: DType, each_level: Any) -> None:
        w = np.concatenate([special_values(dtype), random_values(5000, dtype)])
        for bits in range(53):
            expected = canonical_nan(spec.round_fixed(w, bits))
            for setting in each_level:
                assert_same_bits(tersor.round_fixed(w, bits), expected, f"{bits} bits, {setting}")

    def test_every_exponent(self, dtype: DType, each_level: Any) -> None:
        """Random bit patterns: every exponent of the dtype, most of them far from 1."""
        patterns = np.random.default_rng(7).integers(0, 1 << 8 * dtype.itemsize, 20_000, np.uint64, endpoint=False)
        w = patterns.astype(unsigned(dtype)).view(dtype)
        for bits in (0, 1, 8, 15, 23, 24, 31, 52):
            expected = canonical_nan(spec.round_fixed(w, bits))
            for setting in each_level:
                assert_same_bits(tersor.round_fixed(w, bits), expected, f"{bits} bits, {setting}")

    @pytest.mark.parametrize("bits", [0, 1, 4, 8, 16])
    def test_ties_go_to_even(self, bits: int, dtype: DType, each_level: Any) -> None:
        ties = ((np.arange(-60, 60) + 0.5) * 2.0**-bits).astype(dtype)
        neighbours = [np.nextafter(ties.astype(np.float32), np.float32(side)).astype(dtype) for side in (-np.inf, np.inf)]
        w = np.concatenate([ties, *neighbours])
        expected = canonical_nan(spec.round_fixed(w, bits))
        assert (np.rint(ties.astype(np.float64) * 2.0**bits) % 2 == 0).all()
        for setting in each_level:
            assert_same_bits(tersor.round_fixed(w, bits), expected, setting)

    def test_default_is_8_bits(self) -> None:
        w = random_values(100, FLOATS["float32"])
        assert_same_bits(tersor.round_fixed(w), tersor.round_fixed(w, 8))

    def test_sign_of_zero_is_kept(self, dtype: DType) -> None:
        w = np.array([0.0, -0.0, 0.001, -0.001], dtype)
        assert_same_bits(tersor.round_fixed(w, 4), np.array([0.0, -0.0, 0.0, -0.0], dtype))


class TestQuantizeInt8:
    @pytest.mark.parametrize(
        "shape", [(5,), (6, 70), (3, 5, 33), (2, 3, 4, 65), (70_003, 3), (3, 70_003), (2, 66_000, 3)], ids=str
    )
    def test_axes(self, shape: tuple[int, ...], dtype: DType, settings: Any) -> None:
        w = random_values(shape, dtype, special=modest_values(dtype))
        for axis in range(-len(shape), len(shape)):
            expected_q, expected_scale = spec.quantize_int8(w, axis)
            for setting in settings:
                q, scale = tersor.quantize_int8(w, axis=axis)
                assert_same_bits(q, expected_q, f"axis {axis}, {setting}")
                assert_same_bits(scale, expected_scale, f"axis {axis}, {setting}")

    @pytest.mark.parametrize("axis", [0, 1, 2])
    def test_axes_in_every_layout(self, axis: int, dtype: DType, settings: Any) -> None:
        w = random_values((11, 13, 401), dtype, special=modest_values(dtype))
        expected_q, expected_scale = spec.quantize_int8(w, axis)
        for name, arrange in LAYOUTS.items():
            out = arrange(np.ones_like(expected_q)), arrange(np.ones_like(expected_scale))
            for setting in settings:
                tersor.quantize_int8(arrange(w), axis=axis, out=out)
                assert_same_bits(out[0], expected_q, f"{name}, {setting}")
                assert_same_bits(out[1], expected_scale, f"{name}, {setting}")

    @pytest.mark.parametrize(
        "rows, cols", [(1, 65_535), (1, 65_536), (15, 65_537), (16, 65_536), (17, 65_536), (1, 1_000_003)]
    )
    def test_few_long_rows(self, rows: int, cols: int, dtype: DType, settings: Any) -> None:
        """Long rows are cut into pieces; the greatest magnitude lies in the first, a middle and the last piece."""
        w = random_values((rows, cols), dtype, special=modest_values(dtype))
        for place in (0, cols // 2, cols - 1):
            w[:, place] = -50
            expected_q, expected_scale = spec.quantize_int8(w)
            for setting in settings:
                q, scale = tersor.quantize_int8(w)
                assert_same_bits(q, expected_q, f"greatest at {place}, {setting}")
                assert_same_bits(scale, expected_scale, f"greatest at {place}, {setting}")
            w[:, place] = 0

    def test_every_half_value(self, half_dtype: DType, each_level: Any) -> None:
        """Rows of 256 neighbours, and of 256 values that lie far apart."""
        neighbours = every_value(half_dtype).reshape(256, 256)
        for w in (
            neighbours,
            np.ascontiguousarray(neighbours.T),
            np.random.default_rng(0).permutation(neighbours.ravel()).reshape(-1, 64),
        ):
            expected_q, expected_scale = spec.quantize_int8(w)
            for setting in each_level:
                q, scale = tersor.quantize_int8(w)
                assert_same_bits(q, expected_q, setting)
                assert_same_bits(scale, expected_scale, setting)

    def test_rows_of_every_magnitude(self, dtype: DType, each_level: Any) -> None:
        """From subnormal rows, whose scale is coarse or underflows to 0, to rows that reach the dtype's greatest
        value."""
        finite = np.sort(np.unique(np.abs(finite_special_values(dtype))))
        ratios = np.linspace(-1, 1, 77)
        w = (finite.astype(np.float64)[:, None] * ratios).astype(dtype)
        tiny = np.abs(np.arange(-150, 151)).astype(unsigned(dtype)).view(dtype)
        expected = spec.quantize_int8(w), spec.quantize_int8(tiny)
        for setting in each_level:
            for values, (expected_q, expected_scale) in zip((w, tiny), expected, strict=True):
                q, scale = tersor.quantize_int8(values)
                assert_same_bits(q, expected_q, setting)
                assert_same_bits(scale, expected_scale, setting)

    def test_ties_go_to_even(self, dtype: DType, each_level: Any) -> None:
        halves = np.concatenate([np.arange(-63.5, 64.5, 0.5), [127.0]])  # the last makes the scale 1
        w = halves.astype(dtype)
        for setting in each_level:
            q, scale = tersor.quantize_int8(w)
            assert scale[0] == 1, setting
            assert_same_bits(q, np.rint(w.astype(np.float64)).astype(np.int8), setting)

    @pytest.mark.parametrize(
        "row, codes, scale",
        [
            ([0.0, -0.0, 0.0], [0, 0, 0], 1.0),
            ([np.nan, np.nan, np.nan], [0, 0, 0], 1.0),
            ([np.inf, -np.inf, np.nan], [127, -127, 0], 1.0),
            ([np.inf, -127.0, 1.0], [127, -127, 1], 1.0),
            ([np.nan, 254.0, -2.0], [0, 127, -1], 2.0),
            ([-np.inf, 0.0, 0.0], [-127, 0, 0], 1.0),
        ],
    )
    def test_rows_with_nan_and_infinity(
        self, row: list[float], codes: list[int], scale: float, dtype: DType, each_level: Any
    ) -> None:
        for repeat in (1, 5, 40):
            w = np.tile(np.array(row, dtype), repeat)
            for setting in each_level:
                q, got = tersor.quantize_int8(w)
                assert_same_bits(q, np.tile(np.array(codes, np.int8), repeat), setting)
                assert got.shape == (1,) and got[0] == scale, setting

    @pytest.mark.parametrize("shape", [(3, 0), (0, 3), (2, 0, 3), (0,)])
    def test_empty(self, shape: tuple[int, ...], dtype: DType) -> None:
        for axis in range(len(shape)):
            q, scale = tersor.quantize_int8(np.zeros(shape, dtype), axis=axis)
            expected_q, expected_scale = spec.quantize_int8(np.zeros(shape, dtype), axis)
            assert_same_bits(q, expected_q)
            assert_same_bits(scale, expected_scale)

    def test_frameworks_agree(self, framework: Any, dtype: DType) -> None:
        w = random_values((5, 77), dtype, special=modest_values(dtype))
        q, scale = tersor.quantize_int8(framework.array(w))
        expected_q, expected_scale = spec.quantize_int8(w)
        assert_same_bits(framework.numpy(q), expected_q)
        assert_same_bits(framework.numpy(scale), expected_scale)
        assert_same_bits(framework.numpy(tersor.dequantize_int8(q, scale)), spec.dequantize_int8(expected_q, expected_scale))


ALL_CODES = np.arange(-128, 128).astype(np.int8)


class TestDequantizeInt8:
    @pytest.mark.parametrize("scale_name", ["float32", "float64"])
    def test_every_code_with_special_scales(self, scale_name: str, dtype: DType, each_level: Any) -> None:
        scale = special_values(FLOATS[scale_name])[:, None]
        q = np.tile(ALL_CODES, (scale.size, 1))
        with np.errstate(all="ignore"):
            product = q.astype(scale.dtype) * scale
            expected = (
                round_once(product, dtype) if scale_name == "float64" and dtype != np.float64 else product.astype(dtype)
            )
        for setting in each_level:
            assert_same_bits(tersor.dequantize_int8(q, scale, dtype=dtype), canonical_nan(expected), setting)

    def test_rounds_once(self, half_dtype: DType, each_level: Any) -> None:
        """Just above a tie of the narrow dtype, by less than float32 can hold."""
        mantissa_bits = {"float16": 10, "bfloat16": 7}[half_dtype.name]
        scale = np.array([[1 + 2.0 ** -(mantissa_bits + 1) + 2.0**-40]])
        expected = np.array([[1 + 2.0**-mantissa_bits] * 70]).astype(half_dtype)
        for setting in each_level:
            assert_same_bits(tersor.dequantize_int8(np.ones((1, 70), np.int8), scale, dtype=half_dtype), expected, setting)

    @pytest.mark.parametrize(
        "scale_shape",
        [(3, 4, 1), (3, 1, 50), (1, 4, 50), (1, 1, 50), (3, 1, 1), (1, 1, 1), (50,), (1,), (4, 1), ()],
        ids=str,
    )
    def test_scale_broadcasts(self, scale_shape: tuple[int, ...], dtype: DType, each_level: Any) -> None:
        q = np.random.default_rng(0).integers(-128, 128, (3, 4, 50), np.int8)
        scale = np.asarray(np.random.default_rng(1).random(scale_shape)).astype(np.float32).reshape(scale_shape)
        expected = spec.dequantize_int8(q, scale, dtype)
        for name, arrange in LAYOUTS.items():
            for setting in each_level:
                assert_same_bits(tersor.dequantize_int8(arrange(q), scale, dtype=dtype), expected, f"{name}, {setting}")

    def test_default_dtype_is_the_scale_s(self) -> None:
        for scale in (np.ones((1, 1), np.float32), np.ones((1, 1), np.float64)):
            assert tersor.dequantize_int8(ALL_CODES[None], scale).dtype == scale.dtype

    @pytest.mark.parametrize("spelling", ["float16", np.float16, np.dtype(np.float16), "bfloat16", ml_dtypes.bfloat16])
    def test_dtype_by_any_name(self, spelling: Any) -> None:
        result = tersor.dequantize_int8(ALL_CODES[None], np.ones((1, 1), np.float32), dtype=spelling)
        assert result.dtype == np.dtype(spelling)

    def test_there_and_back_is_within_half_a_step(self, dtype: DType, settings: Any) -> None:
        w = random_values((64, 3001), dtype, special=np.array([], dtype))
        for setting in settings:
            q, scale = tersor.quantize_int8(w)
            error = np.abs(tersor.dequantize_int8(q, scale).astype(np.longdouble) - w.astype(np.longdouble)) / scale
            assert error.max() <= QUANTIZE_STEP_TOLERANCE[scale.dtype.name], setting

    def test_codes_come_back(self, each_level: Any) -> None:
        """Quantizing what dequantize gave finds the same codes: each row holds its own greatest code, +-127."""
        q = np.random.default_rng(0).integers(-127, 128, (200, 333)).astype(np.int8)
        q[:, 7] = 127
        scale = np.random.default_rng(1).random((200, 1)).astype(np.float32) + np.float32(0.01)
        for setting in each_level:
            again, _ = tersor.quantize_int8(tersor.dequantize_int8(q, scale))
            assert_same_bits(again, q, setting)
