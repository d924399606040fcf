"""quantization_error as a torch operator."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

import tersor
from tersor._quantized import Quantized
from tersor.torch._library import constant, register


def _stored(q: Tensor, scale: Tensor, zero_point: Tensor | None, bits: int, shape: Any, rest: tuple[Any, ...]) -> Quantized:
    axis, group_size, signed, packed = (rest + (None, None, True, False)[len(rest) :])[:4]
    return Quantized(constant(q), constant(scale), zero_point, bits, tuple(shape), axis, group_size, signed, packed)


def _error(w: Tensor, q: Tensor, scale: Tensor, zero_point: Tensor | None, bits: int, *rest: Any) -> tuple[Tensor, ...]:
    per_group = len(rest) > 4 and rest[4]
    error = tersor.quantization_error(
        constant(w), _stored(q, scale, zero_point, bits, w.shape, rest[:4]), per_group=per_group
    )
    parts = (error.mse, error.max, error.sqnr, error.cosine)
    return parts if per_group else tuple(torch.tensor(part, dtype=torch.float64) for part in parts)


def _empty(w: Tensor, q: Tensor, scale: Tensor, zero_point: Tensor | None, bits: int, *rest: Any) -> tuple[Tensor, ...]:
    shape = scale.shape if len(rest) > 4 and rest[4] else ()
    return tuple(w.new_empty(shape, dtype=torch.float64) for _ in range(4))


register(
    "quantization_error(Tensor w, Tensor q, Tensor scale, Tensor? zero_point, int bits, int? axis=None, "
    "int? group_size=None, bool signed=True, bool packed=False, bool per_group=False) -> "
    "(Tensor mse, Tensor max, Tensor sqnr, Tensor cosine)",
    _error,
    fake=_empty,
)
