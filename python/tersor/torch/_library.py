"""How an operator is made known to torch: schema, kernel, fake kernel for tracing, gradient.

``torch.library.register_autograd`` would do for the gradients, but adds 6 us to every call, whether a gradient is wanted
or not. The autograd kernel here calls the kernel at once where nothing but the device's own key is left to dispatch to.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch

LIBRARY = torch.library.Library("tersor", "DEF")
ops = torch.ops.tersor

Kernel = Callable[..., Any]
Gradient = type[torch.autograd.Function]

below_autograd = torch._C._AutoDispatchBelowAutograd
_AFTER_AUTOGRAD = torch._C._after_autograd_keyset
_DEVICES = ("CPU", "CUDA")
_DEVICE_KEYS = tuple(getattr(torch._C.DispatchKey, device) for device in _DEVICES)
_is_plain: dict[int, bool] = {}


def _nothing_left(keyset: Any) -> bool:
    """Whether no mode, tensor subclass, functorch layer or negative bit waits between autograd and the device."""
    raw = keyset.raw_repr()
    if raw not in _is_plain:
        _is_plain[raw] = (keyset & _AFTER_AUTOGRAD).highestPriorityTypeId() in _DEVICE_KEYS
    return _is_plain[raw]


def _with_gradient(op: Any, kernel: Kernel, gradient: Gradient) -> Kernel:
    is_grad_enabled = torch.is_grad_enabled
    tensor = torch.Tensor

    def autograd_kernel(keyset: Any, *args: Any) -> Any:
        if is_grad_enabled() and any(isinstance(arg, tensor) and arg.requires_grad for arg in args):
            return gradient.apply(*args)
        if _nothing_left(keyset):
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
    torch.library.register_fake(f"tersor::{name}", fake, lib=LIBRARY)
    if gradient is None:
        LIBRARY.impl(name, torch.library.fallthrough_kernel, "Autograd")
    else:
        op = getattr(getattr(ops, base), overload or "default")
        LIBRARY.impl(name, _with_gradient(op, kernel, gradient), "Autograd", with_keyset=True)


def constant(tensor: torch.Tensor) -> torch.Tensor:
    """The tensor without its gradient, for kernels whose outputs are constants."""
    return tensor.detach() if tensor.requires_grad else tensor


def no_gradient(name: str, reason: str) -> Gradient:
    """A Function that works forwards, and says backwards why there is no gradient."""

    class NoGradient(torch.autograd.Function):
        @staticmethod
        def forward(ctx: Any, *args: Any) -> Any:
            with below_autograd():
                return getattr(ops, name)(*args)

        @staticmethod
        def backward(ctx: Any, *gradients: Any) -> Any:
            raise NotImplementedError(f"tersor::{name} has no gradient: {reason}")

    return NoGradient
