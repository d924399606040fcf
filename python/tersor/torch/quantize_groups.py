"""quantize by groups as torch operators."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

import tersor
from tersor._arguments import packed_codes_shape
from tersor._groups import code_dtype, groups_of, is_signed, scale_dtype_name
from tersor._quantized import Quantized
from tersor.torch._library import constant, no_gradient, plain, register

# The options of tersor.quantize, in the order that operators take them.
_DEFAULTS: dict[str, Any] = {
    "bits": 8,
    "granularity": "row",
    "axis": -1,
    "group_size": 128,
    "signed": None,
    "convention": "tersor",
    "rounding": None,
    "seed": 0,
    "packed": False,
    "symmetric": True,
    "scale_dtype": None,
    "scale_method": None,
    "percentile": 99.9,
    "max_shrink": 0.8,
    "grid": 100,
    "importance": None,
    "bins": None,
}
_OPTIONS = (
    "int bits=8, str granularity='row', int axis=-1, int group_size=128, bool? signed=None, str convention='tersor', "
    "str? rounding=None, int seed=0, bool packed=False"
)


def _named(options: tuple[Any, ...]) -> dict[str, Any]:
    return dict(zip(_DEFAULTS, options, strict=False))


def _quantize(w: Tensor, *options: Any) -> tuple[Tensor, Tensor, Tensor]:
    t = tersor.quantize(plain(w), **_named(options))
    return t.q, t.scale, t.q.new_empty(0) if t.zero_point is None else t.zero_point


def _fake_codes(w: Tensor, symmetric: bool, options: dict[str, Any]) -> Tensor:
    if options["packed"]:
        return w.new_empty(packed_codes_shape(w.shape, options["bits"], "w"), dtype=torch.uint8)
    signed = is_signed(options["signed"], symmetric, options["convention"], options["bits"])
    return w.new_empty(w.shape, dtype=getattr(torch, code_dtype(signed)))


def _fake_quantize(w: Tensor, *options: Any) -> tuple[Tensor, Tensor, Tensor]:
    given = {**_DEFAULTS, **_named(options)}
    groups = groups_of(w.shape, given["granularity"], given["group_size"], given["axis"])
    scale_dtype = given["scale_dtype"] or getattr(torch, scale_dtype_name(w, None, given["convention"]))
    q, scale = _fake_codes(w, given["symmetric"], given), w.new_empty(groups.scale_shape, dtype=scale_dtype)
    if given["symmetric"]:
        return q, scale, q.new_empty(0)
    signed = is_signed(given["signed"], False, given["convention"], given["bits"])
    return q, scale, w.new_empty(groups.scale_shape, dtype=getattr(torch, code_dtype(signed)))


def _encode(w: Tensor, scale: Tensor, zero_point: Tensor | None = None, *options: Any) -> Tensor:
    t = tersor.quantize(constant(w), scale=constant(scale), zero_point=zero_point, **_named(options))
    return t.q  # type: ignore[no-any-return]


def _fake_encode(w: Tensor, scale: Tensor, zero_point: Tensor | None = None, *options: Any) -> Tensor:
    return _fake_codes(w, zero_point is None, {**_DEFAULTS, **_named(options)})


def _dequantize(q: Tensor, scale: Tensor, zero_point: Tensor | None, bits: int, shape: list[int], *rest: Any) -> Tensor:
    defaults: tuple[Any, ...] = (None, None, True, False, None)
    axis, group_size, signed, packed, dtype = rest + defaults[len(rest) :]
    t = Quantized(plain(q), plain(scale), zero_point, bits, tuple(shape), axis, group_size, signed, packed)
    return tersor.dequantize(t, dtype=dtype)  # type: ignore[no-any-return]


def _fake_dequantize(q: Tensor, scale: Tensor, zero_point: Tensor | None, bits: int, shape: list[int], *rest: Any) -> Tensor:
    dtype = rest[4] if len(rest) > 4 and rest[4] is not None else scale.dtype
    return q.new_empty(shape, dtype=dtype)


register(
    f"quantize(Tensor w, {_OPTIONS}, bool symmetric=True, ScalarType? scale_dtype=None, str? scale_method=None, "
    "float percentile=99.9, float max_shrink=0.8, int grid=100, Tensor? importance=None, int? bins=None) -> "
    "(Tensor q, Tensor scale, Tensor zero_point)",
    _quantize,
    fake=_fake_quantize,
    gradient=no_gradient("quantize", "it is a step function; detach its input"),
)
register(
    f"quantize.scaled(Tensor w, Tensor scale, Tensor? zero_point=None, {_OPTIONS}) -> Tensor",
    _encode,
    fake=_fake_encode,
)
register(
    "dequantize(Tensor q, Tensor scale, Tensor? zero_point, int bits, SymInt[] shape, int? axis=None, "
    "int? group_size=None, bool signed=True, bool packed=False, ScalarType? dtype=None) -> Tensor",
    _dequantize,
    fake=_fake_dequantize,
    gradient=no_gradient("dequantize", "detach the scale, or multiply q and scale with torch"),
)
