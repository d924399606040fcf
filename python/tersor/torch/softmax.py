"""softmax as a torch operator, differentiable in x and in temperatures that are tensors."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from tersor import _core
from tersor.torch._library import below_autograd, ops, plain, register


def _softmax(x: Tensor, temperature: float = 1.0, axis: int = -1) -> Tensor:
    x = plain(x)
    out = torch.empty_like(x)
    _core.softmax(x, temperature, axis, out)
    return out


def _softmax_rows(x: Tensor, temperature: Tensor, axis: int = -1) -> Tensor:
    x = plain(x)
    out = torch.empty_like(x)
    _core.softmax(x, plain(temperature.detach()).to(torch.float64), axis, out)
    return out


def _gradient_of_logits(y: Tensor, gradient: Tensor, axis: int) -> Tensor:
    """The gradient of x / T, in float32 at least: ``y * (g - sum(g * y))``."""
    weighted = gradient * y
    return weighted - y * weighted.sum(axis, keepdim=True)


def _wide(tensor: Tensor) -> Tensor:
    return tensor if tensor.dtype == torch.float64 else tensor.float()


class _Softmax(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, temperature: float = 1.0, axis: int = -1) -> Any:
        with below_autograd():
            y = ops.softmax(x, temperature, axis)
        ctx.save_for_backward(y)
        ctx.temperature, ctx.axis = temperature, axis
        return y

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Any:
        (y,) = ctx.saved_tensors
        if ctx.temperature == 0:  # constant but where two entries are equal
            return torch.zeros_like(gradient), None, None
        logits = _gradient_of_logits(_wide(y), _wide(gradient), ctx.axis)
        return (logits / ctx.temperature).to(y.dtype), None, None


class _SoftmaxRows(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, temperature: Tensor, axis: int = -1) -> Any:
        with below_autograd():
            y = ops.softmax(x, temperature, axis)
        ctx.save_for_backward(x, temperature, y)
        ctx.axis = axis
        return y

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Any:
        x, temperature, y = ctx.saved_tensors
        t = temperature.to(_wide(y).dtype)
        logits = _gradient_of_logits(_wide(y), _wide(gradient), ctx.axis)
        for_x = torch.where(t == 0, 0.0, logits / t)
        for_temperature = None
        if ctx.needs_input_grad[1]:
            # d(x / T)/dT = -x / T**2. An entry of -inf has y = 0 and takes no part.
            moved = torch.where(y == 0, 0.0, for_x * _wide(x)).sum(ctx.axis, keepdim=True)
            for_temperature = torch.where(t == 0, 0.0, -moved / t).sum_to_size(temperature.shape).to(temperature.dtype)
        return for_x.to(x.dtype), for_temperature, None


# First, since torch would take a tensor of one element for a float, and drop its gradient.
register(
    "softmax.rows(Tensor x, Tensor temperature, int axis=-1) -> Tensor",
    _softmax_rows,
    fake=lambda x, temperature, axis=-1: torch.empty_like(x),
    gradient=_SoftmaxRows,
)
register(
    "softmax(Tensor x, float temperature=1.0, int axis=-1) -> Tensor",
    _softmax,
    fake=lambda x, temperature=1.0, axis=-1: torch.empty_like(x),
    gradient=_Softmax,
)
