"""prune as torch operators. What is set to zero gets no gradient, what is kept gets all of it."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from tersor import _core
from tersor.torch._library import below_autograd, constant, empty_mask, ops, plain, register


def _prune_threshold(w: Tensor, eps: float) -> Tensor:
    w = plain(w)
    out = torch.empty_like(w)
    _core.prune_threshold(w, eps, out)
    return out


class _PruneThreshold(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, w: Tensor, eps: float) -> Any:
        ctx.save_for_backward(w)
        ctx.eps = eps
        with below_autograd():
            return ops.prune_threshold(w, eps)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Any:
        (w,) = ctx.saved_tensors
        return ops.apply_mask(gradient, ops.mask_threshold(w, ctx.eps)), None


def _fake_mask_threshold(w: Tensor, eps: float, packed: bool = False) -> Tensor:
    return empty_mask(w, packed)


def _mask_threshold(w: Tensor, eps: float, packed: bool = False) -> Tensor:
    w = constant(w)
    out = _fake_mask_threshold(w, eps, packed)
    _core.mask_threshold(w, eps, packed, out)
    return out


def _apply_mask(w: Tensor, mask: Tensor) -> Tensor:
    w = plain(w)
    out = torch.empty_like(w)
    _core.apply_mask(w, plain(mask), out)
    return out


class _ApplyMask(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, w: Tensor, mask: Tensor) -> Any:
        ctx.save_for_backward(mask)
        with below_autograd():
            return ops.apply_mask(w, mask)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Any:
        (mask,) = ctx.saved_tensors
        return ops.apply_mask(gradient, mask), None


def _count_nonzero(w: Tensor) -> Tensor:
    return torch.tensor(_core.count_nonzero(constant(w)), device=w.device)


register(
    "prune_threshold(Tensor w, float eps) -> Tensor",
    _prune_threshold,
    fake=lambda w, eps: torch.empty_like(w),
    gradient=_PruneThreshold,
)
register("mask_threshold(Tensor w, float eps, bool packed=False) -> Tensor", _mask_threshold, fake=_fake_mask_threshold)
register(
    "apply_mask(Tensor w, Tensor mask) -> Tensor",
    _apply_mask,
    fake=lambda w, mask: torch.empty_like(w),
    gradient=_ApplyMask,
)
register("count_nonzero(Tensor w) -> Tensor", _count_nonzero, fake=lambda w: w.new_empty((), dtype=torch.int64))
