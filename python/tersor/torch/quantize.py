"""quantize as torch operators."""

from __future__ import annotations

import torch
from torch import Tensor

from tersor import _core
from tersor._arguments import reduced_shape
from tersor.torch._library import no_gradient, plain, register


def _round_fixed(w: Tensor, bits: int = 8) -> Tensor:
    w = plain(w)
    out = torch.empty_like(w)
    _core.round_fixed(w, bits, out)
    return out


def _fake_quantize_int8(w: Tensor, axis: int = -1) -> tuple[Tensor, Tensor]:
    scale_dtype = torch.float64 if w.dtype == torch.float64 else torch.float32
    return torch.empty_like(w, dtype=torch.int8), w.new_empty(reduced_shape(w.shape, axis), dtype=scale_dtype)


def _quantize_int8(w: Tensor, axis: int = -1) -> tuple[Tensor, Tensor]:
    w = plain(w)
    q, scale = _fake_quantize_int8(w, axis)
    _core.quantize_int8(w, axis, q, scale)
    return q, scale


def _fake_dequantize_int8(q: Tensor, scale: Tensor, dtype: torch.dtype | None = None) -> Tensor:
    return torch.empty_like(q, dtype=scale.dtype if dtype is None else dtype)


def _dequantize_int8(q: Tensor, scale: Tensor, dtype: torch.dtype | None = None) -> Tensor:
    q, scale = plain(q), plain(scale)
    out = _fake_dequantize_int8(q, scale, dtype)
    _core.dequantize_int8(q, scale, out)
    return out


register(
    "round_fixed(Tensor w, int bits=8) -> Tensor",
    _round_fixed,
    fake=lambda w, bits=8: torch.empty_like(w),
    gradient=no_gradient("round_fixed", "it is a step function; detach its input, or write a straight-through one"),
)
register(
    "quantize_int8(Tensor w, int axis=-1) -> (Tensor q, Tensor scale)",
    _quantize_int8,
    fake=_fake_quantize_int8,
    gradient=no_gradient("quantize_int8", "it is a step function; detach its input"),
)
register(
    "dequantize_int8(Tensor q, Tensor scale, ScalarType? dtype=None) -> Tensor",
    _dequantize_int8,
    fake=_fake_dequantize_int8,
    gradient=no_gradient("dequantize_int8", "detach the scale, or multiply q and scale with torch"),
)
