"""quantization_error: against tersor.reference, and the same bits everywhere."""

from __future__ import annotations

import itertools
from dataclasses import astuple
from typing import Any

import numpy as np
import pytest
import tersor
from layouts import FLOATS, LAYOUTS, assert_same_bits, random_values, spec
from test_quantize_groups import GRANULARITIES

DType = np.dtype[Any]
NAN = float("nan")


def assert_close(found: Any, expected: Any, context: str) -> None:
    """Sums of n terms of one sign round to n * 2**-53 at most, and those of products to as much of their magnitudes; the
    cosine of numbers and what stands for them is near 1."""
    for name in ("mse", "max", "sqnr", "cosine"):
        np.testing.assert_allclose(
            getattr(found, name), getattr(expected, name), rtol=1e-11, atol=1e-13, err_msg=f"{name}, {context}"
        )


@pytest.mark.parametrize("packed", [False, True], ids=["codes", "packed"])
def test_every_kind(packed: bool, dtype: DType, each_level: Any) -> None:
    w = np.random.default_rng(0).standard_normal((12, 83)).astype(dtype)
    for where, symmetric, scale_dtype in itertools.product(GRANULARITIES, (True, False), ("float32", "float16", "float64")):
        options = {"bits": 3, "symmetric": symmetric, "scale_dtype": scale_dtype, **where}
        codes, t = tersor.quantize(w, **options), tersor.quantize(w, packed=packed, **options)
        for per_group in (False, True):
            expected = spec.quantization_error(w, codes.q, t.scale, t.zero_point, bits=3, per_group=per_group, **where)
            for setting in each_level:
                found = tersor.quantization_error(w, t, per_group=per_group)
                assert_close(found, expected, f"{options}, {setting}")
                if per_group:
                    assert found.mse.shape == t.scale.shape and found.mse.dtype == np.float64
                else:
                    assert all(type(part) is float for part in astuple(found))


@pytest.mark.parametrize(
    "shape, where",
    [
        ((3, 50_003), {"granularity": "tensor"}),
        ((5, 30_011), {"granularity": "row"}),
        ((2, 50_001), {"granularity": "group", "group_size": 15_000}),
        ((700, 257), {"granularity": "group", "group_size": 32}),
        ((901, 300), {"granularity": "column"}),
        ((2, 601, 3, 11), {"granularity": "row", "axis": 1}),
    ],
    ids=str,
)
def test_same_bits(shape: tuple[int, ...], where: dict[str, Any], settings: Any) -> None:
    w = random_values(shape, FLOATS["float32"], 0, np.zeros(1, np.float32))
    t = tersor.quantize(w, 4, **where)
    expected = [
        spec.quantization_error(w, t.q, t.scale, bits=4, per_group=per_group, **where) for per_group in (False, True)
    ]
    first: Any = None
    for name in ("dense", "column order", "every second", "padded rows"):
        arranged, codes = LAYOUTS[name](w), LAYOUTS[name](t.q)
        same = tersor.Quantized(codes, t.scale, None, 4, t.shape, t.axis, t.group_size)
        for setting in settings:
            found = [astuple(tersor.quantization_error(arranged, same, per_group=per_group)) for per_group in (False, True)]
            first = first or found
            for part, wanted in zip(sum(found, ()), sum(first, ()), strict=True):
                assert_same_bits(np.asarray(part), np.asarray(wanted), f"{name}, {setting}")
    for found, wanted in zip(first, expected, strict=True):
        assert_close(tersor.QuantizationError(*found), wanted, "sums")


def error_of(w: Any, q: Any, **options: Any) -> tuple[float, ...]:
    w, q = np.array([w], np.float32), np.array([q], np.int8)
    t = tersor.Quantized(q, np.float32([[0.5]]), None, 8, w.shape)  # as one, so that nothing is a group too
    return astuple(tersor.quantization_error(w, t, **options))


@pytest.mark.parametrize(
    "w, q, expected",
    [
        ([1.0, -0.5], [2, -1], (0.0, 0.0, np.inf, 1.0)),
        ([0.0, 0.0], [0, 0], (0.0, 0.0, NAN, NAN)),
        ([0.0, 0.0], [2, 0], (0.5, 1.0, -np.inf, NAN)),
        ([1.0, 1.0], [0, 0], (1.0, 1.0, 0.0, NAN)),
        ([1.0, 0.0], [-2, 0], (2.0, 2.0, 10 * np.log10(0.25), -1.0)),
        ([np.nan, 1.0], [0, 2], (NAN, NAN, NAN, NAN)),
        ([np.inf, 1.0], [127, 2], (np.inf, np.inf, NAN, NAN)),
        ([], [], (NAN, NAN, NAN, NAN)),
    ],
    ids=str,
)
def test_what_is_special(w: Any, q: Any, expected: tuple[float, ...], each_level: Any) -> None:
    for _ in each_level:
        np.testing.assert_allclose(error_of(w, q), expected, rtol=1e-14)
        np.testing.assert_allclose(np.ravel(error_of(w, q, per_group=True)), expected, rtol=1e-14)


def test_torch_tensors() -> None:
    torch = pytest.importorskip("torch", reason="torch is not installed")
    w = torch.randn(5, 64, dtype=torch.bfloat16, generator=torch.Generator().manual_seed(0))
    t = tersor.quantize(w, 4, granularity="group", group_size=32, packed=True)
    found = tersor.quantization_error(w, t, per_group=True)
    assert found.sqnr.dtype == torch.float64 and found.sqnr.shape == (5, 2)
    wide = w.float()
    error = (wide - tersor.dequantize(t)).double().reshape(5, 2, 32)
    torch.testing.assert_close(found.mse, error.square().mean(-1))
