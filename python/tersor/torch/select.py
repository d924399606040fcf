"""select as torch operators: numbers as float64 tensors of no dimensions, constants to autograd."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

import tersor
from tersor.torch._library import constant, register


def _number(function: Callable[[Any, Any], Any]) -> Callable[..., Tensor]:
    def kernel(w: Tensor, place: Any) -> Tensor:
        return torch.tensor(function(constant(w), place), dtype=torch.float64, device=w.device)

    return kernel


def _fake(w: Tensor, place: Any) -> Tensor:
    return w.new_empty((), dtype=torch.float64)


register("kth_magnitude(Tensor w, int k) -> Tensor", _number(tersor.kth_magnitude), fake=_fake)
register("kth_value(Tensor w, int k) -> Tensor", _number(tersor.kth_value), fake=_fake)
register("quantile(Tensor w, float q) -> Tensor", _number(tersor.quantile), fake=_fake)
register("magnitude_threshold(Tensor w, float sparsity) -> Tensor", _number(tersor.magnitude_threshold), fake=_fake)
