"""pack as torch operators."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

import tersor
from tersor import _core
from tersor._arguments import packed_codes_shape, packed_shape, unpacked_shape
from tersor.pack import word_bits
from tersor.torch._library import plain, register


def _fake_pack_int4(q: Tensor) -> Tensor:
    return q.new_empty(packed_shape(q.shape, 2), dtype=torch.uint8)


def _pack_int4(q: Tensor) -> Tensor:
    q = plain(q)
    out = _fake_pack_int4(q)
    _core.pack_int4(q, out)
    return out


def _fake_unpack_int4(p: Tensor, cols: int) -> Tensor:
    return p.new_empty(unpacked_shape(p.shape, cols, "p"), dtype=torch.int8)


def _unpack_int4(p: Tensor, cols: int) -> Tensor:
    p = plain(p)
    out = _fake_unpack_int4(p, cols)
    _core.unpack_int4(p, cols, out)
    return out


register("pack_int4(Tensor q) -> Tensor", _pack_int4, fake=_fake_pack_int4)
register("unpack_int4(Tensor p, SymInt cols) -> Tensor", _unpack_int4, fake=_fake_unpack_int4)


_LAYOUT_NAMES = ("padded", "order", "offset", "axis")


def _fake_pack_bits(
    q: Tensor,
    bits: int,
    word: str = "uint8",
    padded: bool = False,
    order: str = "low_first",
    offset: bool = False,
    axis: int = -1,
) -> Tensor:
    shape = packed_codes_shape(q.shape, bits, "q", word_bits(word), padded, order, axis)
    return q.new_empty(shape, dtype=getattr(torch, word))


def _pack_bits(q: Tensor, bits: int, word: str = "uint8", *layout: Any) -> Tensor:
    named = dict(zip(_LAYOUT_NAMES, layout, strict=False))
    return tersor.pack_bits(plain(q), bits, word=word, **named)  # type: ignore[no-any-return]


def _fake_unpack_bits(
    p: Tensor,
    bits: int,
    cols: int,
    signed: bool = True,
    padded: bool = False,
    order: str = "low_first",
    offset: bool = False,
    axis: int = -1,
) -> Tensor:
    return p.new_empty(unpacked_shape(p.shape, cols, "p", axis), dtype=torch.int8 if signed else torch.uint8)


def _unpack_bits(p: Tensor, bits: int, cols: int, signed: bool = True, *layout: Any) -> Tensor:
    named = dict(zip(_LAYOUT_NAMES, layout, strict=False))
    return tersor.unpack_bits(plain(p), bits, cols, signed=signed, **named)  # type: ignore[no-any-return]


_LAYOUT = "bool padded=False, str order='low_first', bool offset=False, int axis=-1"
register(f"pack_bits(Tensor q, int bits, str word='uint8', {_LAYOUT}) -> Tensor", _pack_bits, fake=_fake_pack_bits)
register(
    f"unpack_bits(Tensor p, int bits, SymInt cols, bool signed=True, {_LAYOUT}) -> Tensor",
    _unpack_bits,
    fake=_fake_unpack_bits,
)
