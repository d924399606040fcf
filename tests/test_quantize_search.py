"""quantize by parts of ranges, against tersor.reference; and that they are what they claim."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest
import tersor
from conftest import FINDS_BAD_ACCESSES, FINDS_RACES
from layouts import Array, spec
from test_quantize_groups import CONVENTIONS, GRANULARITIES, DType, assert_quantized, has_codes, rows_that_differ

SEARCHES: tuple[dict[str, Any], ...] = (
    {"scale_method": "mse", "grid": 10},
    {"scale_method": "percentile", "percentile": 90},
)
ENTROPY: dict[str, Any] = {"scale_method": "entropy", "bins": 16}


def importance_of(w: Array) -> Array:
    """From 0 up, in the dtype of arithmetic."""
    dtype = np.float64 if w.dtype == np.float64 else np.float32
    return (np.arange(w.shape[-1]) % 7).astype(dtype)


@pytest.mark.parametrize("search", SEARCHES, ids=lambda search: search["scale_method"])
@pytest.mark.parametrize("convention", CONVENTIONS)
def test_every_rule(convention: str, search: dict[str, Any], dtype: DType, each_level: Any) -> None:
    w = rows_that_differ(dtype)
    for where, symmetric, bits in itertools.product(GRANULARITIES, (True, False), (3, 8)):
        if not has_codes(convention, bits, symmetric):
            continue
        options = {"bits": bits, "symmetric": symmetric, "convention": convention, **where, **search}
        expected = spec.quantize(w, **options)
        for setting in each_level:
            assert_quantized(tersor.quantize(w, **options), expected, f"{options}, {setting}")


def test_importance(dtype: DType, each_level: Any) -> None:
    w = rows_that_differ(dtype)
    for where, symmetric in itertools.product(GRANULARITIES, (True, False)):
        options = {"bits": 4, "symmetric": symmetric, "scale_method": "mse", "importance": importance_of(w), **where}
        expected = spec.quantize(w, **options)
        for setting in each_level:
            assert_quantized(tersor.quantize(w, **options), expected, f"{where}, {symmetric}, {setting}")


def test_entropy_by_groups(dtype: DType, each_level: Any) -> None:
    w = rows_that_differ(dtype)
    for where, (convention, symmetric) in itertools.product(
        GRANULARITIES, (("onnx", True), ("onnx", False), ("ggml", True))
    ):
        options = {"bits": 3, "symmetric": symmetric, "convention": convention, **where, **ENTROPY}
        expected = spec.quantize(w, **options)
        for setting in each_level:
            assert_quantized(tersor.quantize(w, **options), expected, f"{options}, {setting}")


@pytest.mark.parametrize("bins", [2, 17, None])
@pytest.mark.parametrize("sample", ["normal", "heavy", "positive", "far from zero", "few", "constant", "huge", "subnormal"])
def test_entropy(sample: str, bins: int | None, each_level: Any) -> None:
    """Of groups that a histogram suits and others."""
    random = np.random.default_rng(len(sample))
    w = random.standard_normal((6, 400)).astype(np.float32)
    w = {
        "normal": w,
        "heavy": w**3,
        "positive": np.abs(w),
        "far from zero": w - 1_000,
        "few": np.rint(w),
        "constant": np.float32([[0], [-0.0], [3], [-3], [1e-45], [3e38]]) * np.ones_like(w),
        "huge": np.clip(w.astype(np.float64) * 1e38, -3e38, 3e38),
        "subnormal": w * np.float32(1e-41),
    }[sample].astype(np.float32)
    w[0, :3] = np.nan, np.inf, -np.inf
    for bits, symmetric, x in itertools.product((2, 5), (True, False), (w, w.astype(np.float64) * 1e-300)):
        options = {"bits": bits, "symmetric": symmetric, "scale_method": "entropy", "bins": bins}
        expected = spec.quantize(x, **options)
        for setting in each_level:
            assert_quantized(tersor.quantize(x, **options), expected, f"{options}, {x.dtype}, {setting}")


def test_entropy_is_that_of_calibrators() -> None:
    """But for near divergences, which these compute in float32."""
    w = np.random.default_rng(4).standard_t(3, (24, 1_000)).astype(np.float32)
    for bits in (4, 8):
        t = tersor.quantize(w, bits, scale_method="entropy", bins=512)
        calibrator = tersor.Calibrator("entropy", bits=bits, axis=0, bins=512)
        calibrator.observe(w)
        scale, _ = calibrator.scale_and_zero_point()
        assert np.mean(t.scale == scale) >= 0.75, bits
        assert t.scale.mean() < 0.8 * tersor.quantize(w, bits).scale.mean(), bits


@pytest.mark.parametrize("strides", ["transposed", "every other"])
def test_strides(strides: str) -> None:
    w = np.random.default_rng(0).standard_normal((40, 64)).astype(np.float32)
    view = np.asfortranarray(w) if strides == "transposed" else np.repeat(w, 2, axis=1)[:, ::2]
    weights = np.repeat(importance_of(w), 3)[::3]
    searches = (*SEARCHES, ENTROPY, {"scale_method": "mse", "importance": weights})
    for where, search in itertools.product(GRANULARITIES, searches):
        expected = tersor.quantize(w, 4, **where, **search)
        assert_quantized(
            tersor.quantize(view, 4, **where, **search), (expected.q, expected.scale, None), f"{where}, {search}"
        )


def test_other_axes_before_and_after() -> None:
    w = np.random.default_rng(1).standard_normal((3, 4, 20, 5)).astype(np.float32)
    for axis, search in itertools.product((0, 1, 2, 3), (*SEARCHES, ENTROPY)):
        options = {"granularity": "group", "group_size": 7, "axis": axis, **search}
        assert_quantized(tersor.quantize(w, 4, **options), spec.quantize(w, 4, **options), str(options))


@pytest.mark.skipif(FINDS_BAD_ACCESSES or FINDS_RACES, reason="a sanitizer takes minutes for long groups")
@pytest.mark.parametrize(
    "shape, where",
    [
        ((3, 100_003), {"granularity": "tensor"}),
        ((3, 100_003), {"granularity": "row"}),
        ((2, 200_001), {"granularity": "group", "group_size": 90_000}),
        ((2_001, 70), {"granularity": "column"}),
        ((2, 2_001, 3, 11), {"granularity": "row", "axis": 1}),
        ((5, 20_001), {"granularity": "group", "group_size": 6_000}),
    ],
    ids=str,
)
def test_long_groups(shape: tuple[int, ...], where: dict[str, Any], each_level: Any) -> None:
    """That do not stay in the cache; and groups of several blocks that do."""
    w = np.random.default_rng(2).standard_normal(shape).astype(np.float32)
    weights = importance_of(w)
    for search in (
        {"scale_method": "mse", "grid": 4, "importance": weights},
        {"scale_method": "percentile"},
        {"scale_method": "entropy"},
    ):
        expected = spec.quantize(w, 4, symmetric=False, **where, **search)
        for setting in each_level:
            assert_quantized(tersor.quantize(w, 4, symmetric=False, **where, **search), expected, f"{search}, {setting}")


def test_mse_is_the_least_of_all_shares() -> None:
    """By the error of what dequantize gives, in float64; near ties aside, which sums in float32 may decide otherwise."""
    w = np.random.default_rng(3).standard_t(3, (200, 128)).astype(np.float32)

    def errors(t: tersor.Quantized) -> Array:
        return np.square(tersor.dequantize(t, dtype="float64") - w).sum(axis=1, keepdims=True)

    for bits, symmetric in itertools.product((2, 4, 6), (True, False)):
        found = errors(tersor.quantize(w, bits, symmetric=symmetric, scale_method="mse"))
        whole = tersor.quantize(w, bits, symmetric=symmetric)
        shares = []
        for i in range(80):
            share = np.float32(1 - i / 100)
            low = np.minimum(w.min(axis=1, keepdims=True), 0) * share
            high = np.maximum(w.max(axis=1, keepdims=True), 0) * share
            clipped = tersor.quantize(np.clip(w, low, high), bits, symmetric=symmetric)
            given = tersor.quantize(w, bits, scale=clipped.scale, zero_point=clipped.zero_point, signed=clipped.signed)
            shares.append(errors(given))
        assert (found <= np.min(shares, axis=0) * (1 + 1e-5)).all()
        assert found.sum() < errors(whole).sum()


def test_percentile_of_a_hundred_is_the_whole_range(dtype: DType) -> None:
    w = rows_that_differ(dtype)
    with np.errstate(invalid="ignore"):
        w = w[np.isfinite(w).all(axis=1)]
    for symmetric in (True, False):
        t = tersor.quantize(w, symmetric=symmetric)
        found = tersor.quantize(w, symmetric=symmetric, scale_method="percentile", percentile=100)
        assert_quantized(found, (t.q, t.scale, t.zero_point), str(symmetric))


def test_percentile_leaves_out_what_it_says() -> None:
    w = np.arange(1, 1001, dtype=np.float32).reshape(1, 1000)
    t = tersor.quantize(w, scale_method="percentile", percentile=99)
    assert t.scale[0, 0] == np.float32(990) / 127


def test_nothing_to_search() -> None:
    for search in (*SEARCHES, ENTROPY):
        for shape in ((0, 5), (5, 0), (0,)):
            w = np.empty(shape, np.float32)
            assert_quantized(tersor.quantize(w, 4, **search), spec.quantize(w, 4, **search), f"{shape}")
