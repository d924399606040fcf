"""How an operator is made known to torch: schema, kernel, fake kernel for tracing, gradient.

``torch.library.register_autograd`` would do for the gradients, but adds 6 us to every call, whether a gradient is wanted
or not. The autograd kernel here calls the kernel at once where nothing but the device's own key is left to dispatch to.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch

from tersor._arguments import packed_shape

_library: Any = torch.library  # Any, since torch's own annotations here are few
_C: Any = torch._C

LIBRARY = _library.Library("tersor", "DEF")
ops = torch.ops.tersor

Kernel = Callable[..., Any]
Gradient = Any  # a subclass of torch.autograd.Function

below_autograd = _C._AutoDispatchBelowAutograd
_DEVICES = ("CPU", "CUDA")
_DEVICE_KEYS = tuple(getattr(_C.DispatchKey, device) for device in _DEVICES)
_is_plain: dict[int, bool] = {}


def _nothing_left(keyset: Any) -> bool:
    """Whether no mode, tensor subclass, functorch layer or negative bit waits between autograd and the device."""
    plain: bool = (keyset & _C._after_autograd_keyset).highestPriorityTypeId() in _DEVICE_KEYS
    _is_plain[keyset.raw_repr()] = plain
    return plain


def _with_gradient(op: Any, kernel: Kernel, gradient: Gradient) -> Kernel:
    is_grad_enabled, any_requires_grad = torch.is_grad_enabled, _C._any_requires_grad

    def autograd_kernel(keyset: Any, *args: Any) -> Any:
        if is_grad_enabled() and any_requires_grad(*args):
            return gradient.apply(*args)
        plain = _is_plain.get(keyset.raw_repr())
        if plain or (plain is None and _nothing_left(keyset)):
            return kernel(*args)
        with below_autograd():
            return op(*args)

    return autograd_kernel


def register(schema: str, kernel: Kernel, fake: Kernel, gradient: Gradient | None = None) -> None:
    """Register one operator. ``fake`` makes empty outputs; without a gradient the outputs are constants to autograd."""
    LIBRARY.define(schema)
    name = schema.partition("(")[0]
    base, _, overload = name.partition(".")
    for device in _DEVICES:
        LIBRARY.impl(name, kernel, device)
    _library.register_fake(f"tersor::{name}", fake, lib=LIBRARY)
    if gradient is None:
        LIBRARY.impl(name, _library.fallthrough_kernel, "Autograd")
    else:
        op = getattr(getattr(ops, base), overload or "default")
        LIBRARY.impl(name, _with_gradient(op, kernel, gradient), "Autograd", with_keyset=True)


def plain(tensor: torch.Tensor) -> torch.Tensor:
    """The tensor as the plain one that tersor reads; torch gives a result the subclass back."""
    if type(tensor) is torch.Tensor or type(tensor) is torch.nn.Parameter:
        return tensor
    return tensor.as_subclass(torch.Tensor)


def dense(tensor: torch.Tensor) -> torch.Tensor:
    """A plain tensor in C order, for what the kernels read from end to end."""
    return plain(tensor).contiguous()


def constant(tensor: torch.Tensor) -> torch.Tensor:
    """A plain tensor without its gradient, for kernels whose outputs are constants."""
    return plain(tensor.detach() if tensor.requires_grad else tensor)


def no_gradient(name: str, reason: str) -> Gradient:
    """A Function that works forwards, and says backwards why there is no gradient."""

    def forward(ctx: Any, *args: Any) -> Any:
        with below_autograd():
            return getattr(ops, name)(*args)

    def backward(ctx: Any, *gradients: Any) -> Any:
        raise NotImplementedError(f"tersor::{name} has no gradient: {reason}")

    methods = {"forward": staticmethod(forward), "backward": staticmethod(backward)}
    return type(f"NoGradient_{name}", (torch.autograd.Function,), methods)


def empty_mask(w: torch.Tensor, packed: bool) -> torch.Tensor:
    """An output for the mask of w, or for its bits."""
    if packed:
        return w.new_empty(packed_shape(w.shape, 8), dtype=torch.uint8)
    return torch.empty_like(w, dtype=torch.bool)
