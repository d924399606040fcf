"""fake_quantize as torch operators, differentiable in numbers, scales and zero points."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

import tersor
from tersor._groups import code_dtype, groups_of, is_signed, scale_dtype_name
from tersor.quantize_fake import fake_quantize_with_scales
from tersor.torch._library import below_autograd, constant, no_gradient, ops, plain, register

# The options that all operators here share, in the order that they take them.
_SHARED = (8, "row", -1, 128, None, "tersor", None, 0)
_NAMES = ("bits", "granularity", "axis", "group_size", "signed", "convention", "rounding", "seed")
_OPTIONS = (
    "int bits=8, str granularity='row', int axis=-1, int group_size=128, bool? signed=None, str convention='tersor', "
    "str? rounding=None, int seed=0"
)


def _all(options: tuple[Any, ...], *defaults: Any) -> tuple[Any, ...]:
    """Those that are given, and defaults for the others."""
    return options + (*_SHARED, *defaults)[len(options) :]


def _codes(zero_point: Tensor | None, options: tuple[Any, ...]) -> Tensor | None:
    """Zero points that are trained are floating: rounded half to even, and clamped to the codes."""
    if zero_point is None or not zero_point.is_floating_point():
        return zero_point
    bits, signed = options[0], is_signed(options[4], False, options[5], options[0])
    least = -(2 ** (bits - 1)) if signed else 0
    return constant(zero_point).round().clamp(least, least + 2**bits - 1).to(getattr(torch, code_dtype(signed)))


# --- by scales of its own --------------------------------------------------------------------------------------------


def _fake_quantize(w: Tensor, *options: Any) -> tuple[Tensor, Tensor, Tensor]:
    bits, granularity, axis, group_size, signed, convention, rounding, seed, symmetric, dtype = _all(options, True, None)
    where = (bits, granularity, axis, group_size)
    out, scale, zero_point = fake_quantize_with_scales(
        plain(w), *where, symmetric, signed, convention, rounding, seed, dtype, None, None, None
    )
    return out, scale, w.new_empty(0, dtype=torch.uint8) if zero_point is None else zero_point


def _empty(w: Tensor, *options: Any) -> tuple[Tensor, Tensor, Tensor]:
    bits, granularity, axis, group_size, signed, convention, _, _, symmetric, dtype = _all(options, True, None)
    shape = groups_of(w.shape, granularity, group_size, axis).scale_shape
    scale = w.new_empty(shape, dtype=dtype or getattr(torch, scale_dtype_name(w, None, convention)))
    if symmetric:
        return torch.empty_like(w), scale, w.new_empty(0, dtype=torch.uint8)
    zero_point = w.new_empty(shape, dtype=getattr(torch, code_dtype(is_signed(signed, False, convention, bits))))
    return torch.empty_like(w), scale, zero_point


class _FakeQuantize(torch.autograd.Function):
    """Scales that are made of the numbers are constants to it."""

    @staticmethod
    def forward(ctx: Any, w: Tensor, *options: Any) -> Any:
        with below_autograd():
            out, scale, zero_point = ops.fake_quantize(w, *options)
        ctx.save_for_backward(w, scale, zero_point)
        ctx.mark_non_differentiable(scale, zero_point)
        ctx.options = options
        return out, scale, zero_point

    @staticmethod
    def backward(ctx: Any, gradient: Tensor, *_: Any) -> Any:
        w, scale, zero_point = ctx.saved_tensors
        zero_point = zero_point if zero_point.numel() else None
        for_w = ops.fake_quantize_backward(gradient, w, scale, zero_point, *_all(ctx.options)[:8])[0]
        return for_w, *(None for _ in ctx.options)


# --- by given scales -------------------------------------------------------------------------------------------------


def _fake_quantize_scaled(w: Tensor, scale: Tensor, zero_point: Tensor | None = None, *options: Any) -> Tensor:
    *shared, _gradient_scale = _all(options, 1.0)
    given = dict(zip(_NAMES, shared, strict=True))
    zero_point = _codes(zero_point, tuple(shared))
    return tersor.fake_quantize(plain(w), scale=plain(scale), zero_point=zero_point, **given)  # type: ignore[no-any-return]


class _FakeQuantizeScaled(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, w: Tensor, scale: Tensor, zero_point: Tensor | None = None, *options: Any) -> Any:
        with below_autograd():
            out = ops.fake_quantize.scaled(w, scale, zero_point, *options)
        ctx.save_for_backward(w, scale, zero_point)
        ctx.options = options
        return out

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Any:
        w, scale, zero_point = ctx.saved_tensors
        of_w, of_scale, of_zero_point = ops.fake_quantize_backward(gradient, w, scale, zero_point, *ctx.options)
        trained = zero_point is not None and zero_point.is_floating_point()
        for_zero_point = of_zero_point.to(zero_point.dtype) if trained else None
        return of_w, of_scale.to(scale.dtype), for_zero_point, *(None for _ in ctx.options)


# --- gradients -------------------------------------------------------------------------------------------------------


def _backward(
    grad: Tensor, w: Tensor, scale: Tensor, zero_point: Tensor | None = None, *options: Any
) -> tuple[Tensor, Tensor, Tensor]:
    *shared, gradient_scale = _all(options, 1.0)
    given = dict(zip(_NAMES, shared, strict=True))
    parts = plain(grad), plain(w), plain(scale), _codes(zero_point, tuple(shared))
    of_w, of_scale, of_zero_point = tersor.fake_quantize_backward(*parts, gradient_scale=gradient_scale, **given)
    return of_w, of_scale, of_scale.new_empty(0) if of_zero_point is None else of_zero_point


def _empty_gradients(
    grad: Tensor, w: Tensor, scale: Tensor, zero_point: Tensor | None = None, *options: Any
) -> tuple[Tensor, Tensor, Tensor]:
    of_scale = w.new_empty(scale.shape, dtype=torch.float64 if scale.dtype == torch.float64 else torch.float32)
    return torch.empty_like(w), of_scale, of_scale.new_empty(0) if zero_point is None else torch.empty_like(of_scale)


# The overload with scales first, since torch would take a scale of one entry for an integer.
register(
    f"fake_quantize.scaled(Tensor w, Tensor scale, Tensor? zero_point=None, {_OPTIONS}, float gradient_scale=1.0) -> Tensor",
    _fake_quantize_scaled,
    fake=lambda w, *_: torch.empty_like(w),
    gradient=_FakeQuantizeScaled,
)
register(
    f"fake_quantize(Tensor w, {_OPTIONS}, bool symmetric=True, ScalarType? scale_dtype=None) -> "
    "(Tensor out, Tensor scale, Tensor zero_point)",
    _fake_quantize,
    fake=_empty,
    gradient=_FakeQuantize,
)
register(
    f"fake_quantize_backward(Tensor grad, Tensor w, Tensor scale, Tensor? zero_point=None, {_OPTIONS}, "
    "float gradient_scale=1.0) -> (Tensor grad_w, Tensor grad_scale, Tensor grad_zero_point)",
    _backward,
    fake=_empty_gradients,
    gradient=no_gradient("fake_quantize_backward", "detach what it is called with"),
)
