"""matmul as torch operators. The parts of a compressed weight are arguments of their own: operators take tensors."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from tersor import _core
from tersor.torch._library import below_autograd, ops, plain, register


def _fake_matmul_bitmask(x: Tensor, values: Tensor, bits: Tensor, row_offsets: Tensor, rows: int, cols: int) -> Tensor:
    return x.new_empty((*x.shape[:-1], rows))


def _matmul_bitmask(x: Tensor, values: Tensor, bits: Tensor, row_offsets: Tensor, rows: int, cols: int) -> Tensor:
    x = plain(x)
    out = _fake_matmul_bitmask(x, values, bits, row_offsets, rows, cols)
    _core.matmul_bitmask(x, plain(values), plain(bits), plain(row_offsets), (rows, cols), out)
    return out


class _MatmulBitmask(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, values: Tensor, bits: Tensor, row_offsets: Tensor, rows: int, cols: int) -> Any:
        ctx.save_for_backward(values, bits, row_offsets)
        ctx.shape = rows, cols
        with below_autograd():
            return ops.matmul_bitmask(x, values, bits, row_offsets, rows, cols)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Any:
        """``gradient @ W``, with a dense W: that product needs the columns of the weight, which are stored by rows."""
        if ctx.needs_input_grad[1]:
            raise NotImplementedError(
                "tersor::matmul_bitmask has no gradient in values; detach them, or train the dense weight"
            )
        dense = ops.decompress_bitmask(*ctx.saved_tensors, ctx.shape)
        return gradient @ dense.to(gradient.dtype), None, None, None, None, None


register(
    "matmul_bitmask(Tensor x, Tensor values, Tensor bits, Tensor row_offsets, SymInt rows, SymInt cols) -> Tensor",
    _matmul_bitmask,
    fake=_fake_matmul_bitmask,
    gradient=_MatmulBitmask,
)
