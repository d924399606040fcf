"""fake_quantize and its gradients: every rule against tersor.reference, torch's own operators, and training."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest
import tersor
from layouts import FLOATS, Array, assert_same_bits, canonical_nan, random_values, spec
from test_quantize_groups import CONVENTIONS, GRANULARITIES, ROUNDINGS, has_codes, rows_that_differ

DType = np.dtype[Any]


def options_of_every_kind() -> list[dict[str, Any]]:
    return [
        *({"symmetric": symmetric, **where} for symmetric, where in itertools.product((True, False), GRANULARITIES)),
        *({"rounding": rounding, "seed": 5, **where} for rounding, where in zip(ROUNDINGS, GRANULARITIES, strict=False)),
        *({"scale_dtype": dtype, "symmetric": False, **GRANULARITIES[3]} for dtype in FLOATS.values()),
    ]


@pytest.mark.parametrize("convention", CONVENTIONS)
class TestEveryRule:
    def test_numbers(self, convention: str, dtype: DType, each_level: Any) -> None:
        """Those of dequantize, whatever the scales are made of or given as, and in place too."""
        w = rows_that_differ(dtype)
        for options in options_of_every_kind():
            options = {"bits": 8 if convention == "bitsandbytes" else 5, "convention": convention, **options}
            if not has_codes(convention, options["bits"], options.get("symmetric", True)):
                continue
            expected = canonical_nan(spec.fake_quantize(w, **options))
            for setting in each_level:
                assert_same_bits(tersor.fake_quantize(w, **options), expected, f"{options}, {setting}")
            t = tersor.quantize(w, **options)
            assert_same_bits(tersor.dequantize(t, dtype=dtype), expected, f"{options}, by codes")
            given = {name: value for name, value in options.items() if name not in ("symmetric", "scale_dtype")}
            given |= {"scale": t.scale, "zero_point": t.zero_point, "signed": t.signed}
            found = w.copy()
            assert tersor.fake_quantize(found, **given, out=found) is found
            assert_same_bits(found, expected, f"{options}, given scales in place")

    def test_gradients(self, convention: str, dtype: DType, each_level: Any) -> None:
        """Sums to 83 * 2**-53 of the magnitudes added up, and the rounding to float32; scales cut half of the range off."""
        w, grad = rows_that_differ(dtype), random_values((12, 83), dtype, 1, np.zeros(1, dtype))
        w[9:11] = w[1:3]  # the greatest and the least numbers, which alone would make up sums
        w[8] = 0  # special values
        for options in options_of_every_kind():
            scales = {name: value for name, value in options.items() if name not in ("rounding", "seed")}
            bits = 8 if convention == "bitsandbytes" else 3
            if not has_codes(convention, bits, options.get("symmetric", True)):
                continue
            t = tersor.quantize(w, bits, convention=convention, **scales)
            scale = (t.scale.astype(np.float64) / 2).astype(t.scale.dtype)
            given = {name: value for name, value in options.items() if name not in ("symmetric", "scale_dtype")}
            given |= {"bits": bits, "convention": convention, "signed": t.signed, "gradient_scale": 0.25}
            expected = spec.fake_quantize_backward(grad, w, scale, t.zero_point, **given)
            for setting in each_level:
                found = tersor.fake_quantize_backward(grad, w, scale, t.zero_point, **given)
                assert_same_bits(found[0], canonical_nan(expected[0]), f"{options}, {setting}")
                for sums, wanted in zip(found[1:], expected[1:], strict=True):
                    assert (sums is None) == (wanted is None)
                    if wanted is not None:
                        assert sums.dtype == wanted.dtype
                        np.testing.assert_allclose(sums, wanted, rtol=2.0**-22, atol=1e-6, err_msg=f"{options}, {setting}")


@pytest.mark.parametrize(
    "shape, where",
    [
        ((3, 50_003), {"granularity": "tensor"}),
        ((5, 30_011), {"granularity": "row"}),
        ((2, 50_001), {"granularity": "group", "group_size": 15_000}),
        ((901, 300), {"granularity": "column"}),
        ((2, 601, 3, 11), {"granularity": "row", "axis": 1}),
    ],
    ids=str,
)
def test_same_bits_of_long_groups(shape: tuple[int, ...], where: dict[str, Any], settings: Any) -> None:
    w, grad = (random_values(shape, FLOATS["float32"], seed, np.zeros(1, np.float32)) for seed in (0, 1))
    w.ravel()[[0, w.size // 2, -1]] = -50, 60, 70
    numbers = spec.fake_quantize(w, symmetric=False, **where)
    t = tersor.quantize(w / 2, 4, symmetric=False, **where)
    expected = spec.fake_quantize_backward(grad, w, t.scale, t.zero_point, bits=4, **where)
    first = None
    for arranged, with_grad in ((w, grad), (np.asfortranarray(w), np.asfortranarray(grad))):
        for setting in settings:
            assert_same_bits(tersor.fake_quantize(arranged, symmetric=False, **where), numbers, setting)
            found = tersor.fake_quantize_backward(with_grad, arranged, t.scale, t.zero_point, bits=4, **where)
            first = first or found
            for part, same in zip(found, first, strict=True):
                assert_same_bits(part, same, setting)
    for part, wanted in zip(first or (), expected, strict=True):
        np.testing.assert_allclose(part, wanted, rtol=1e-6, atol=1e-3)


def test_gradients_are_slopes() -> None:
    """By finite differences, where the number changes with the scale or zero point and codes do not: fake_quantize less what
    x contributes, (round(x / s) - x / s) * s, has the slope that LSQ takes. Checked in its own formula, in float64."""
    generator = np.random.default_rng(0)
    w, grad = generator.standard_normal((1, 400)), generator.standard_normal((1, 400))
    scale, zero, least, most, step = 0.31, 3, 0, 7, 1e-6

    def surrogate(scale: float, zero: float) -> float:
        """Rounding replaced by adding the constant that it added."""
        quotient = w / scale
        rounding = np.rint(w / 0.31) - w / 0.31
        code = quotient + rounding + zero
        clamped = np.where(code < least - 1e-3, least, np.where(code > most + 1e-3, most, code))
        return float((grad * (clamped - zero) * scale).sum())

    _, of_scale, of_zero = tersor.fake_quantize_backward(
        grad, w, np.array([[scale]]), np.array([[zero]], np.uint8), bits=3, granularity="tensor"
    )
    by_scale = (surrogate(scale + step, zero) - surrogate(scale - step, zero)) / (2 * step)
    by_zero = (surrogate(scale, zero + step) - surrogate(scale, zero - step)) / (2 * step)
    np.testing.assert_allclose([of_scale.item(), of_zero.item()], [by_scale, by_zero], rtol=1e-6)


def test_empty_arrays() -> None:
    for shape in ((0,), (3, 0), (0, 5)):
        w = np.empty(shape, np.float32)
        assert tersor.fake_quantize(w).shape == shape
        scale = tersor.quantize(w).scale
        grad_w, grad_scale, _ = tersor.fake_quantize_backward(w, w, scale)
        assert (grad_w.shape, grad_scale.shape) == (shape, scale.shape)
    number = np.array(3, np.float32)
    assert tersor.fake_quantize(number, granularity="tensor") == 3


# --- torch ---------------------------------------------------------------------------------------------------------------


def per_channel(rows: Array, scale: Array, zero_point: Array) -> tuple[Any, ...]:
    torch = pytest.importorskip("torch", reason="torch is not installed")
    return tuple(torch.from_numpy(np.ascontiguousarray(part)) for part in (rows, scale.ravel(), zero_point.ravel()))


@pytest.mark.parametrize("signed", [True, False])
class TestLikeTorch:
    """With convention="torch": the operators of torch 2.13 on the CPU."""

    def rows(self) -> tuple[Array, Array, Array, Array]:
        generator = np.random.default_rng(3)
        w = (generator.standard_normal((16, 200)) * 10.0 ** generator.uniform(-3, 2, (16, 1))).astype(np.float32)
        t = tersor.quantize(w, symmetric=False, convention="torch")
        return w, generator.standard_normal((16, 200)).astype(np.float32), t.scale * np.float32(0.7), t.zero_point

    def test_per_channel(self, signed: bool) -> None:
        w, grad, scale, zero_point = self.rows()
        zero_point = zero_point.astype(np.int16) - (128 if signed else 0)
        least, most = (-128, 127) if signed else (0, 255)
        x, s, z = per_channel(w, scale, zero_point.astype(np.int32))
        import torch

        x.requires_grad_()
        expected = torch.fake_quantize_per_channel_affine(x, s, z, 0, least, most)
        zero = zero_point.astype(np.int8 if signed else np.uint8)
        given = {"convention": "torch", "signed": signed}
        found = tersor.fake_quantize(w, scale=scale, zero_point=zero, **given)
        assert_same_bits(found, expected.detach().numpy())
        expected.backward(torch.from_numpy(grad))
        assert_same_bits(tersor.fake_quantize_backward(grad, w, scale, zero, **given)[0], x.grad.numpy() + 0)

    def test_per_tensor(self, signed: bool) -> None:
        w, _, scale, _ = self.rows()
        import torch

        least, most = (-128, 127) if signed else (0, 255)
        zero = np.full((1, 1), 5, np.int8 if signed else np.uint8)
        expected = torch.fake_quantize_per_tensor_affine(torch.from_numpy(w), float(scale[0, 0]), 5, least, most)
        given = {"convention": "torch", "signed": signed, "granularity": "tensor"}
        assert_same_bits(tersor.fake_quantize(w, scale=scale[:1], zero_point=zero, **given), expected.numpy())

    def test_learnable(self, signed: bool) -> None:
        """Its sums are float32: 200 additions of at most 255 * |grad| each."""
        import torch

        w, grad, scale, zero_point = self.rows()
        zero_point = zero_point.astype(np.float32) - (128 if signed else 0)
        least, most = (-128, 127) if signed else (0, 255)
        parts = [part.requires_grad_() for part in per_channel(w, scale, zero_point)]
        out = torch._fake_quantize_learnable_per_channel_affine(*parts, 0, least, most, 0.5)
        out.backward(torch.from_numpy(grad))
        zero = zero_point.astype(np.int8 if signed else np.uint8)
        given = {"convention": "torch", "signed": signed}
        assert_same_bits(tersor.fake_quantize(w, scale=scale, zero_point=zero, **given), out.detach().numpy())
        grads = tersor.fake_quantize_backward(grad, w, scale, zero, gradient_scale=0.5, **given)
        grad_w, grad_scale, grad_zero = grads
        assert_same_bits(grad_w, parts[0].grad.numpy() + 0)
        np.testing.assert_allclose(grad_scale.ravel(), parts[1].grad.numpy(), rtol=1e-4, atol=1e-2)
        np.testing.assert_allclose(grad_zero.ravel(), parts[2].grad.numpy(), rtol=1e-4, atol=1e-4)


class TestTraining:
    def test_scale_and_zero_point_are_trained(self) -> None:
        """From far off, gradient descent on both comes to where the error is less than half."""
        torch = pytest.importorskip("torch", reason="torch is not installed")
        import tersor.torch  # noqa: F401

        ops = torch.ops.tersor
        generator = torch.Generator().manual_seed(0)
        w = torch.rand(1, 512, generator=generator) * 2 - 0.5
        scale = torch.tensor([[0.5]], requires_grad=True)
        zero_point = torch.tensor([[0.0]], requires_grad=True)
        optimizer = torch.optim.Adam([{"params": [scale], "lr": 0.01}, {"params": [zero_point], "lr": 0.05}])

        def loss() -> Any:
            return (ops.fake_quantize.scaled(w, scale, zero_point, 4) - w).pow(2).mean()

        before = loss().item()
        for _ in range(150):
            optimizer.zero_grad()
            loss().backward()
            optimizer.step()
        assert loss().item() < before / 2
        assert zero_point.item() > 0.5

    def test_compiled(self) -> None:
        torch = pytest.importorskip("torch", reason="torch is not installed")
        import tersor.torch  # noqa: F401

        ops = torch.ops.tersor
        w = torch.linspace(-2, 2, 60).reshape(3, 20).requires_grad_()
        scale = torch.full((3, 1), 0.1, requires_grad=True)
        step = torch.compile(
            lambda w, s: ops.fake_quantize.scaled(w, s, None, 4).pow(2).sum(), fullgraph=True, backend="aot_eager"
        )
        expected = torch.autograd.grad(ops.fake_quantize.scaled(w, scale, None, 4).pow(2).sum(), (w, scale))
        for found, wanted in zip(torch.autograd.grad(step(w, scale), (w, scale)), expected, strict=True):
            assert torch.equal(found, wanted)

    def test_dtypes_of_gradients(self) -> None:
        torch = pytest.importorskip("torch", reason="torch is not installed")
        import tersor.torch  # noqa: F401

        for dtype in (torch.float16, torch.bfloat16, torch.float64):
            w = torch.linspace(-2, 2, 60).reshape(3, 20).to(dtype).requires_grad_()
            scale = torch.full((3, 1), 0.125, dtype=dtype, requires_grad=True)
            zero_point = torch.full((3, 1), 2.4, dtype=dtype, requires_grad=True)
            torch.ops.tersor.fake_quantize.scaled(w, scale, zero_point, 4).sum().backward()
            assert [part.grad.dtype for part in (w, scale, zero_point)] == [dtype] * 3
            out, made, _ = torch.ops.tersor.fake_quantize(w, 4)
            assert out.requires_grad and not made.requires_grad
