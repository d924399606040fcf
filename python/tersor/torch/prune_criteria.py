"""The criteria of prune as torch operators, each as the pruned tensor and as a mask. What is set to zero gets no gradient,
what is kept gets all of it; scores, gradients and norms that decide get none."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

import tersor
from tersor.torch._library import below_autograd, constant, empty_mask, ops, register

Function = Callable[..., Any]


def _on_constants(function: Function) -> Function:
    """Called by position, as kernels of torch are, on tensors without their gradient."""
    names = [name for name in inspect.signature(function).parameters if name != "out"]

    def kernel(*args: Any) -> Any:
        values = (constant(arg) if isinstance(arg, Tensor) else arg for arg in args)
        return function(**dict(zip(names, values, strict=False)))

    return kernel


def _pass_what_is_kept(prune: str, mask: str, masked_from: int) -> Any:
    """The gradient of a criterion whose mask takes its arguments from the place ``masked_from`` on."""

    def forward(ctx: Any, *args: Any) -> Any:
        ctx.save_for_backward(*(arg for arg in args if isinstance(arg, Tensor)))
        ctx.others = [None if isinstance(arg, Tensor) else arg for arg in args]
        with below_autograd():
            return getattr(ops, prune)(*args)

    def backward(ctx: Any, gradient: Tensor) -> Any:
        tensors = iter(ctx.saved_tensors)
        args = [next(tensors) if other is None else other for other in ctx.others]
        kept = getattr(ops, mask)(*args[masked_from:])
        return (ops.apply_mask(gradient, kept), *(None for _ in args[1:]))

    methods = {"forward": staticmethod(forward), "backward": staticmethod(backward)}
    return type(f"Gradient_{prune}", (torch.autograd.Function,), methods)


def _register_criterion(name: str, arguments: str, mask_arguments: str | None = None) -> None:
    prune, mask = f"prune_{name}", f"mask_{name}"
    masked_from = 0 if mask_arguments is None else 1  # a mask that needs no w has one argument less
    register(
        f"{prune}({arguments}) -> Tensor",
        _on_constants(getattr(tersor, prune)),
        fake=lambda w, *_: torch.empty_like(w),
        gradient=_pass_what_is_kept(prune, mask, masked_from),
    )
    parameters = [parameter for parameter in inspect.signature(getattr(tersor, mask)).parameters if parameter != "out"]

    def fake_mask(*args: Any, packed: bool = False) -> Tensor:
        return empty_mask(args[0], args[-1] if len(args) == len(parameters) else packed)

    register(
        f"{mask}({mask_arguments or arguments}, bool packed=False) -> Tensor",
        _on_constants(getattr(tersor, mask)),
        fake=fake_mask,
    )


_register_criterion("mean", "Tensor w, float factor")
_register_criterion("magnitude", 'Tensor w, float sparsity, str scope="tensor"')
_register_criterion(
    "scores",
    'Tensor w, Tensor scores, float sparsity, str scope="tensor"',
    'Tensor scores, float sparsity, str scope="tensor"',
)
_register_criterion("taylor", 'Tensor w, Tensor gradient, float sparsity, str scope="tensor"')
_register_criterion("wanda", 'Tensor w, Tensor norm, float sparsity, str scope="row"')
_register_criterion("random", 'Tensor w, float sparsity, int seed, str scope="tensor"')
_register_criterion("nm", "Tensor w, int n, int m, int axis=-1, bool transposable=False")
_register_criterion("blocks", 'Tensor w, int[2] block, float sparsity, str norm="l2"')
