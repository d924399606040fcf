"""bitmask as torch operators."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from tersor import _core
from tersor._arguments import packed_shape, unpacked_shape
from tersor.torch._library import plain, register


def _fake_pack_mask(mask: Tensor) -> Tensor:
    return mask.new_empty(packed_shape(mask.shape, 8), dtype=torch.uint8)


def _pack_mask(mask: Tensor) -> Tensor:
    mask = plain(mask)
    out = _fake_pack_mask(mask)
    _core.pack_mask(mask, out)
    return out


def _fake_unpack_mask(bits: Tensor, cols: int) -> Tensor:
    return bits.new_empty(unpacked_shape(bits.shape, cols, "bits"), dtype=torch.bool)


def _unpack_mask(bits: Tensor, cols: int) -> Tensor:
    bits = plain(bits)
    out = _fake_unpack_mask(bits, cols)
    _core.unpack_mask(bits, cols, out)
    return out


def _like(bits: Tensor, *_: Any) -> Tensor:
    return bits.new_empty(bits.shape)


def _logic(combine: Callable[[Tensor, Tensor, Tensor], None]) -> Callable[[Tensor, Tensor], Tensor]:
    def kernel(a: Tensor, b: Tensor) -> Tensor:
        out = _like(plain(a))
        combine(plain(a), plain(b), out)
        return out

    return kernel


def _invert_mask(bits: Tensor, cols: int) -> Tensor:
    out = _like(plain(bits))
    _core.invert_mask(plain(bits), cols, out)
    return out


def _count_mask(bits: Tensor, cols: int) -> Tensor:
    return torch.tensor(_core.count_mask(plain(bits), cols))


register("and_masks(Tensor a, Tensor b) -> Tensor", _logic(_core.and_masks), fake=_like)
register("or_masks(Tensor a, Tensor b) -> Tensor", _logic(_core.or_masks), fake=_like)
register("xor_masks(Tensor a, Tensor b) -> Tensor", _logic(_core.xor_masks), fake=_like)
register("invert_mask(Tensor bits, SymInt cols) -> Tensor", _invert_mask, fake=_like)
register(
    "count_mask(Tensor bits, SymInt cols) -> Tensor",
    _count_mask,
    fake=lambda bits, cols: torch.empty((), dtype=torch.int64),
)
register("pack_mask(Tensor mask) -> Tensor", _pack_mask, fake=_fake_pack_mask)
register("unpack_mask(Tensor bits, SymInt cols) -> Tensor", _unpack_mask, fake=_fake_unpack_mask)
