"""softmax, log_softmax and logsumexp as torch operators, differentiable in x and in temperatures that are tensors.

First derivatives of CPU tensors come from tersor's own kernels. Where the derivative is itself differentiated, and on
other devices, the same formulas are written in torch's operations.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from tersor import _core
from tersor.torch._library import below_autograd, no_gradient, ops, plain, register

Temperature = float | Tensor


def _of_rows(temperature: Temperature) -> Any:
    return plain(temperature.detach()).to(torch.float64) if isinstance(temperature, Tensor) else temperature


def _softmax(x: Tensor, temperature: Temperature = 1.0, axis: int = -1) -> Tensor:
    x = plain(x)
    out = torch.empty_like(x)
    _core.softmax(x, _of_rows(temperature), axis, out)
    return out


def _log_softmax(x: Tensor, temperature: Temperature = 1.0, axis: int = -1) -> Tensor:
    x = plain(x)
    out = torch.empty_like(x)
    _core.log_softmax(x, _of_rows(temperature), axis, out)
    return out


def _empty_sums(x: Tensor, temperature: Temperature = 1.0, axis: int = -1, keepdim: bool = False) -> Tensor:
    shape = list(x.shape)
    place = axis % x.ndim if -x.ndim <= axis < x.ndim else axis
    shape[place : place + 1] = [1] if keepdim else []
    return x.new_empty(shape)


def _logsumexp(x: Tensor, temperature: Temperature = 1.0, axis: int = -1, keepdim: bool = False) -> Tensor:
    x = plain(x)
    out = _empty_sums(x, temperature, axis, keepdim)
    _core.logsumexp(x, _of_rows(temperature), axis, out)
    return out


def _backward(kernel: Callable[..., None]) -> Callable[..., Tensor]:
    def backward(grad: Tensor, other: Tensor, temperature: Temperature = 1.0, axis: int = -1) -> Tensor:
        other = plain(other)
        out = torch.empty_like(other)
        kernel(plain(grad), other, _of_rows(temperature), axis, out)
        return out

    return backward


# --- gradients in torch's operations, in float32 at least --------------------------------------------------------------


def _wide(tensor: Tensor) -> Tensor:
    return tensor if tensor.dtype == torch.float64 else tensor.float()


def _over_temperature(gradient: Tensor, temperature: Temperature) -> Tensor:
    """The gradient of x from that of x / T: 0 at the limits of T, where the result is constant but for ties."""
    if not isinstance(temperature, Tensor):
        return gradient / temperature if temperature else torch.zeros_like(gradient)
    t = temperature.to(gradient.dtype)
    return torch.where((t == 0) | t.isinf(), 0.0, gradient / t)


def _softmax_formula(grad: Tensor, y: Tensor, temperature: Temperature, axis: int) -> Tensor:
    weighted = _wide(grad) * _wide(y)
    return _over_temperature(weighted - _wide(y) * weighted.sum(axis, keepdim=True), temperature)


def _log_softmax_formula(grad: Tensor, y: Tensor, temperature: Temperature, axis: int) -> Tensor:
    g = _wide(grad)
    return _over_temperature(g - _wide(y).exp() * g.sum(axis, keepdim=True), temperature)


def _logsumexp_formula(grad: Tensor, x: Tensor, temperature: Temperature, axis: int) -> Tensor:
    g = _wide(grad if grad.ndim == x.ndim else grad.unsqueeze(axis))
    return _over_temperature(g * ops.softmax(_wide(x), temperature, axis), temperature)


def _gradient_of(name: str, formula: Callable[..., Tensor], arguments: tuple[Any, ...]) -> Tensor:
    grad, other = arguments[:2]
    if torch.is_grad_enabled() or grad.device.type == "cuda":
        return formula(*arguments).to(other.dtype)
    gradient: Tensor = getattr(ops, name)(*arguments)
    return gradient


def _gradients(ctx: Any, gradient: Tensor, x: Tensor, temperature: Temperature) -> tuple[Any, ...]:
    """Those of x, the temperature, and what else forward was given."""
    for_temperature = None
    if isinstance(temperature, Tensor) and ctx.needs_input_grad[1]:
        # d(x / T)/dT = -x / T**2. An entry of -inf has no share, and no part in this.
        wide = _wide(x)
        moved = torch.where(wide.isinf(), 0.0, wide * gradient).sum(ctx.axis, keepdim=True)
        t = temperature.to(wide.dtype)
        for_temperature = torch.where((t == 0) | t.isinf(), 0.0, -moved / t).sum_to_size(temperature.shape)
        for_temperature = for_temperature.to(temperature.dtype)
    return (gradient, for_temperature, *([None] * (len(ctx.needs_input_grad) - 2)))


def _function(name: str, formula: Callable[..., Tensor], of_result: bool) -> Any:
    """The autograd.Function of one of the operators, whose gradient is of its result or of its argument."""

    def forward(ctx: Any, x: Tensor, temperature: Temperature = 1.0, axis: int = -1, *others: Any) -> Any:
        with below_autograd():
            y = getattr(ops, name)(x, temperature, axis, *others)
        ctx.axis, ctx.temperature = axis, temperature
        is_tensor = isinstance(temperature, Tensor)
        needs_x = is_tensor or not of_result
        ctx.save_for_backward(x if needs_x else None, temperature if is_tensor else None, y if of_result else None)
        return y

    def backward(ctx: Any, gradient: Tensor) -> Any:
        x, temperature, y = ctx.saved_tensors
        temperature = ctx.temperature if temperature is None else temperature
        for_x = _gradient_of(f"{name}_backward", formula, (gradient, y if of_result else x, temperature, ctx.axis))
        return _gradients(ctx, for_x, x, temperature)

    methods = {"forward": staticmethod(forward), "backward": staticmethod(backward)}
    return type(f"Gradient_{name}", (torch.autograd.Function,), methods)


def _register(name: str, arguments: str, kernel: Any, fake: Any, gradient: Any) -> None:
    """Temperatures in tensors first: torch would take a tensor of one element for a float, and drop its gradient."""
    for overload, temperature in ((".rows", "Tensor temperature"), ("", "float temperature=1.0")):
        schema = f"{name}{overload}({arguments.format(temperature=temperature)}) -> Tensor"
        register(schema, kernel, fake=fake, gradient=gradient)


def _like_first(x: Tensor, *_: Any, **__: Any) -> Tensor:
    return torch.empty_like(x)


def _like_second(grad: Tensor, other: Tensor, *_: Any, **__: Any) -> Tensor:
    return torch.empty_like(other)


for _name, _kernel, _fake, _formula, _of_result, _more in (
    ("softmax", _softmax, _like_first, _softmax_formula, True, ""),
    ("log_softmax", _log_softmax, _like_first, _log_softmax_formula, True, ""),
    ("logsumexp", _logsumexp, _empty_sums, _logsumexp_formula, False, ", bool keepdim=False"),
):
    _register(
        f"{_name}_backward",
        f"Tensor grad, Tensor {'y' if _of_result else 'x'}, {{temperature}}, int axis=-1",
        _backward(getattr(_core, f"{_name}_backward")),
        _like_second,
        no_gradient(f"{_name}_backward", f"differentiate torch.ops.tersor.{_name} twice, or detach() the arguments"),
    )
    _register(
        _name,
        f"Tensor x, {{temperature}}, int axis=-1{_more}",
        _kernel,
        _fake,
        _function(_name, _formula, _of_result),
    )
