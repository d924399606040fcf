"""pack as torch operators."""

from __future__ import annotations

import torch
from torch import Tensor

from tersor import _core
from tersor._arguments import packed_shape, unpacked_shape
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
