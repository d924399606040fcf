"""information as torch operators. Counts and numbers of nats are constants to autograd; pruned weights get the gradient of
what is kept."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

import tersor
from tersor._arguments import packed_shape
from tersor.torch._library import below_autograd, constant, ops, plain, register


def _histogram(x: Tensor, bins: int, range: Any = None, kind: str = "uniform") -> tuple[Tensor, Tensor]:
    return tersor.histogram(constant(x), bins, range=range, kind=kind)


def _fake_histogram(x: Tensor, bins: int, range: Any = None, kind: str = "uniform") -> tuple[Tensor, Tensor]:
    return x.new_empty(bins, dtype=torch.int64), x.new_empty(bins + 1, dtype=torch.float64)


def _histogram2d(x: Tensor, y: Tensor, bins: int, kind: str = "uniform") -> tuple[Tensor, Tensor, Tensor]:
    return tersor.histogram2d(constant(x), constant(y), bins, kind=kind)


def _fake_histogram2d(x: Tensor, y: Tensor, bins: int, kind: str = "uniform") -> tuple[Tensor, Tensor, Tensor]:
    edges = [x.new_empty(bins + 1, dtype=torch.float64) for _ in "xy"]
    return x.new_empty((bins, bins), dtype=torch.int64), edges[0], edges[1]


def _entropy(x: Tensor, bins: int, axis: int | None = None, range: Any = None, kind: str = "uniform") -> Tensor:
    found = tersor.entropy(constant(x), bins, axis=axis, range=range, kind=kind)
    return torch.tensor(found, dtype=torch.float64, device=x.device) if axis is None else found


def _fake_entropy(x: Tensor, bins: int, axis: int | None = None, range: Any = None, kind: str = "uniform") -> Tensor:
    shape = [] if axis is None else [n for i, n in enumerate(x.shape) if i != axis % x.ndim]
    return x.new_empty(shape, dtype=torch.float64)


def _mutual_information(x: Tensor, y: Tensor, bins: int, kind: str = "uniform") -> Tensor:
    found = tersor.mutual_information(constant(x), constant(y), bins, kind=kind)
    return torch.tensor(found, dtype=torch.float64, device=x.device) if x.ndim == 1 else found


def _divergence(p: Tensor, q: Tensor) -> Tensor:
    return torch.tensor(tersor.divergence(constant(p), constant(q)), dtype=torch.float64, device=p.device)


def _distribution_entropy(p: Tensor) -> Tensor:
    return torch.tensor(tersor.distribution_entropy(constant(p)), dtype=torch.float64, device=p.device)


def _mask_information(
    w: Tensor,
    activations: Tensor,
    sparsity: float,
    target: Tensor | None = None,
    bins: int = 16,
    kind: str = "uniform",
    axis: int = 0,
    packed: bool = False,
) -> Tensor:
    target = None if target is None else constant(target)
    options: dict[str, Any] = {"bins": bins, "kind": kind, "axis": axis, "packed": packed}
    mask: Tensor = tersor.mask_information(constant(w), constant(activations), sparsity, target, **options)
    return mask


def _fake_mask_information(
    w: Tensor,
    activations: Tensor,
    sparsity: float,
    target: Tensor | None = None,
    bins: int = 16,
    kind: str = "uniform",
    axis: int = 0,
    packed: bool = False,
) -> Tensor:
    if packed:
        return w.new_empty(packed_shape(w.shape, 8), dtype=torch.uint8)
    return torch.empty_like(w, dtype=torch.bool)


def _prune_information(
    w: Tensor,
    activations: Tensor,
    sparsity: float,
    target: Tensor | None = None,
    bins: int = 16,
    kind: str = "uniform",
    axis: int = 0,
) -> Tensor:
    target = None if target is None else constant(target)
    pruned: Tensor = tersor.prune_information(
        plain(w), constant(activations), sparsity, target, bins=bins, kind=kind, axis=axis
    )
    return pruned


class _PruneInformation(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, w: Tensor, *arguments: Any) -> Any:
        with below_autograd():
            mask = ops.mask_information(w, *arguments)
            ctx.save_for_backward(mask)
            ctx.rest = len(arguments)
            return ops.apply_mask(w, mask)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Any:
        (mask,) = ctx.saved_tensors
        return ops.apply_mask(gradient, mask), *[None] * ctx.rest


register(
    'histogram(Tensor x, int bins, float[]? range=None, str kind="uniform") -> (Tensor, Tensor)',
    _histogram,
    fake=_fake_histogram,
)
register(
    'histogram2d(Tensor x, Tensor y, int bins, str kind="uniform") -> (Tensor, Tensor, Tensor)',
    _histogram2d,
    fake=_fake_histogram2d,
)
register(
    'entropy(Tensor x, int bins, int? axis=None, float[]? range=None, str kind="uniform") -> Tensor',
    _entropy,
    fake=_fake_entropy,
)
register(
    'mutual_information(Tensor x, Tensor y, int bins, str kind="uniform") -> Tensor',
    _mutual_information,
    fake=lambda x, y, bins, kind="uniform": x.new_empty(x.shape[1:], dtype=torch.float64),
)
register("divergence(Tensor p, Tensor q) -> Tensor", _divergence, fake=lambda p, q: p.new_empty((), dtype=torch.float64))
register(
    "distribution_entropy(Tensor p) -> Tensor",
    _distribution_entropy,
    fake=lambda p: p.new_empty((), dtype=torch.float64),
)
register(
    "mask_information(Tensor w, Tensor activations, float sparsity, Tensor? target=None, int bins=16, "
    'str kind="uniform", int axis=0, bool packed=False) -> Tensor',
    _mask_information,
    fake=_fake_mask_information,
)
register(
    "prune_information(Tensor w, Tensor activations, float sparsity, Tensor? target=None, int bins=16, "
    'str kind="uniform", int axis=0) -> Tensor',
    _prune_information,
    fake=lambda w, *arguments, **options: torch.empty_like(w),
    gradient=_PruneInformation,
)
