"""Run by test_integrations.py in a process of its own: compressed-tensors from the folder given, without and with tersor."""

from __future__ import annotations

import itertools
import sys
from collections.abc import Iterator
from typing import Any

sys.path.insert(0, sys.argv[1])

import tersor
import torch
from compressed_tensors.quantization import QuantizationArgs
from compressed_tensors.quantization.lifecycle.forward import quantize
from compressed_tensors.quantization.utils import calculate_qparams

GROUP = 64


def weight(dtype: torch.dtype) -> torch.Tensor:
    """With a row of zeros, one of small numbers, one with infinities, and an outlier."""
    w = torch.randn(24, 256, generator=torch.Generator().manual_seed(0)).to(dtype)
    w[1] = 0
    w[2] *= 1e-6
    w[3, ::7], w[3, ::9] = torch.inf, -torch.inf
    w[4, 100] = 100
    return w


def cases() -> Iterator[tuple[Any, ...]]:
    dtypes = (torch.float32, torch.float16, torch.bfloat16)
    for dtype, bits, symmetric, strategy in itertools.product(dtypes, (3, 8), (True, False), ("group", "channel", "tensor")):
        size = GROUP if strategy == "group" else None
        args = QuantizationArgs(num_bits=bits, symmetric=symmetric, strategy=strategy, group_size=size)
        w = weight(dtype)
        finite = w.nan_to_num(0, 0, 0)
        parts = {"group": finite.reshape(24, -1, GROUP), "channel": finite.unsqueeze(1), "tensor": finite.reshape(1, 1, -1)}
        low, high = parts[strategy].amin(-1), parts[strategy].amax(-1)
        scale, zero_point = calculate_qparams(low, high, args)
        if strategy == "tensor":
            scale, zero_point = scale.reshape(1), zero_point.reshape(1)
        yield w, scale, None if symmetric else zero_point, args


def codes() -> list[torch.Tensor]:
    return [quantize(*case, dtype=dtype) for case in cases() for dtype in (torch.int8, None)]


def counted(function: Any) -> Any:
    def call(*arguments: Any, **options: Any) -> Any:
        call.count += 1
        return function(*arguments, **options)

    call.count = 0
    return call


eager = codes()
import tersor.integrations.compressed_tensors as backend  # noqa: E402

backend.register()
backend.register()
tersor.quantize = counted(tersor.quantize)
alike = sum(a.dtype == b.dtype and torch.equal(a, b) for a, b in zip(eager, codes(), strict=True))
print(f"{alike} alike, {tersor.quantize.count} by tersor")
