"""compress as torch operators. A BitmaskTensor is its three parts and its shape: operators take tensors."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from tersor import _core
from tersor._arguments import nm_shapes, packed_shape, unpacked_shape
from tersor._bitmask_tensor import compressed
from tersor._outputs import dtype_name
from tersor._two_of_four import dense_shape, layout_of
from tersor.torch._library import below_autograd, constant, dense, no_gradient, ops, plain, register

Parts = tuple[Tensor, Tensor, Tensor]


def _compress_bitmask(w: Tensor) -> Parts:
    t = compressed(constant(w), "w")
    return t.values, t.bits, t.row_offsets


def _fake_compress_bitmask(w: Tensor) -> Parts:
    """How many values there are, data alone can tell."""
    rows = math.prod(w.shape[:-1])
    values = w.new_empty((torch.library.get_ctx().new_dynamic_size(),))
    bits = w.new_empty(packed_shape((rows, w.shape[-1]), 8), dtype=torch.uint8)
    return values, bits, w.new_empty((rows,), dtype=torch.int64)


class _CompressBitmask(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, w: Tensor) -> Parts:
        with below_autograd():
            values, bits, row_offsets = ops.compress_bitmask(w)
        ctx.save_for_backward(bits, row_offsets)
        ctx.shape = w.shape
        ctx.mark_non_differentiable(bits, row_offsets)
        return values, bits, row_offsets

    @staticmethod
    def backward(ctx: Any, gradient: Tensor, *_: Any) -> Any:
        return ops.decompress_bitmask(gradient, *ctx.saved_tensors, ctx.shape)


def _fake_decompress_bitmask(values: Tensor, bits: Tensor, row_offsets: Tensor, shape: Sequence[int]) -> Tensor:
    return values.new_empty(tuple(shape))


def _decompress_bitmask(values: Tensor, bits: Tensor, row_offsets: Tensor, shape: Sequence[int]) -> Tensor:
    values, bits, row_offsets = dense(values), dense(bits), dense(row_offsets)
    out = _fake_decompress_bitmask(values, bits, row_offsets, shape)
    _core.decompress_bitmask(values, bits, row_offsets, tuple(shape), out)
    return out


class _DecompressBitmask(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, values: Tensor, bits: Tensor, row_offsets: Tensor, shape: Sequence[int]) -> Tensor:
        ctx.save_for_backward(bits)
        with below_autograd():
            out: Tensor = ops.decompress_bitmask(values, bits, row_offsets, shape)
        return out

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Any:
        (bits,) = ctx.saved_tensors
        kept = ops.unpack_mask(bits, gradient.shape[-1]).reshape(gradient.shape)
        return gradient[kept], None, None, None


register(
    "compress_bitmask(Tensor w) -> (Tensor values, Tensor bits, Tensor row_offsets)",
    _compress_bitmask,
    fake=_fake_compress_bitmask,
    gradient=_CompressBitmask,
)
register(
    "decompress_bitmask(Tensor values, Tensor bits, Tensor row_offsets, SymInt[] shape) -> Tensor",
    _decompress_bitmask,
    fake=_fake_decompress_bitmask,
    gradient=_DecompressBitmask,
)

# --- n of every m entries ------------------------------------------------------------------------------------------

_TRAIN_DENSE = "train the pruned array, and compress it afterwards"


def _fake_compress_24(w: Tensor, layout: str = "bitmask") -> tuple[Tensor, Tensor]:
    values, metadata = layout_of(layout).part_shapes(w.shape, dtype_name(w.dtype))
    return w.new_empty(values), w.new_empty(metadata, dtype=getattr(torch, layout_of(layout).metadata_dtype))


def _compress_24(w: Tensor, layout: str = "bitmask") -> tuple[Tensor, Tensor]:
    values, metadata = _fake_compress_24(plain(w), layout)
    layout_of(layout).compress(plain(w), values, metadata)
    return values, metadata


def _fake_decompress_24(values: Tensor, metadata: Tensor, layout: str = "bitmask") -> Tensor:
    return values.new_empty(dense_shape(values.shape))


def _decompress_24(values: Tensor, metadata: Tensor, layout: str = "bitmask") -> Tensor:
    values, metadata = dense(values), dense(metadata)
    out = _fake_decompress_24(values, metadata, layout)
    layout_of(layout).decompress(values, metadata, out)
    return out


def _fake_compress_nm(w: Tensor, n: int, m: int) -> tuple[Tensor, Tensor]:
    values, indices = nm_shapes(w.shape, n, m)
    return w.new_empty(values), w.new_empty(indices, dtype=torch.uint8)


def _compress_nm(w: Tensor, n: int, m: int) -> tuple[Tensor, Tensor]:
    values, indices = _fake_compress_nm(plain(w), n, m)
    _core.compress_nm(plain(w), n, m, values, indices)
    return values, indices


def _fake_decompress_nm(values: Tensor, indices: Tensor, n: int, m: int, cols: int) -> Tensor:
    return values.new_empty(unpacked_shape(values.shape, cols, "values"))


def _decompress_nm(values: Tensor, indices: Tensor, n: int, m: int, cols: int) -> Tensor:
    values, indices = dense(values), dense(indices)
    out = _fake_decompress_nm(values, indices, n, m, cols)
    _core.decompress_nm(values, indices, n, m, cols, out)
    return out


register(
    'compress_24(Tensor w, str layout="bitmask") -> (Tensor values, Tensor metadata)',
    _compress_24,
    fake=_fake_compress_24,
    gradient=no_gradient("compress_24", _TRAIN_DENSE),
)
register(
    'decompress_24(Tensor values, Tensor metadata, str layout="bitmask") -> Tensor',
    _decompress_24,
    fake=_fake_decompress_24,
    gradient=no_gradient("decompress_24", _TRAIN_DENSE),
)
register(
    "compress_nm(Tensor w, int n, int m) -> (Tensor values, Tensor indices)",
    _compress_nm,
    fake=_fake_compress_nm,
    gradient=no_gradient("compress_nm", _TRAIN_DENSE),
)
register(
    "decompress_nm(Tensor values, Tensor indices, int n, int m, SymInt cols) -> Tensor",
    _decompress_nm,
    fake=_fake_decompress_nm,
    gradient=no_gradient("decompress_nm", _TRAIN_DENSE),
)
