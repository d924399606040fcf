"""bitmask as torch operators."""

from __future__ import annotations

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


register("pack_mask(Tensor mask) -> Tensor", _pack_mask, fake=_fake_pack_mask)
register("unpack_mask(Tensor bits, SymInt cols) -> Tensor", _unpack_mask, fake=_fake_unpack_mask)
