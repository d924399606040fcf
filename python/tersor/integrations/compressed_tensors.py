"""compressed-tensors, and with it llm-compressor, on tersor's kernels: one line, the same bits.

>>> import tersor.integrations.compressed_tensors as accelerated  # doctest: +SKIP
>>> accelerated.register()  # doctest: +SKIP
"""

from __future__ import annotations

from typing import Any

import torch

import tersor

try:
    from compressed_tensors.utils.impl_backend import ImplBackend
except ImportError as error:
    raise ImportError(
        "tersor.integrations.compressed_tensors needs compressed-tensors 0.20 or later, whose ImplBackend it registers "
        "with: pip install 'compressed-tensors>=0.20'"
    ) from error

_FLOATS = (torch.float32, torch.float16, torch.bfloat16, torch.float64)
_AFTER_OTHERS = 100  # those for GPUs ask for CUDA or XPU tensors


def register() -> None:
    """Let compressed-tensors quantize integers on the CPU with tersor.

    Notes
    -----
    Its entry point ``_quantize``, which ``quantize`` and with it every compressor of integers calls, then runs
    ``tersor.quantize`` with ``convention="compressed-tensors"``, on CPU tensors whose scales have their dtype, one for all,
    for each row, or for each group. Everything else stays with compressed-tensors; ``fake_quantize`` has no entry point in
    0.20. Codes are bit for bit those of its eager path, but for NaN, which becomes the zero point: what torch's
    conversion to int8 makes of it depends on the machine. To register again changes nothing.

    Raises
    ------
    ImportError
        compressed-tensors is older than 0.20; the import of this module raises it.
    """
    if not any(backend is _tersor_quantize for backend, _, _ in ImplBackend._backends.get("_quantize", ())):
        ImplBackend.register("_quantize", _can_quantize, _AFTER_OTHERS)(_tersor_quantize)


def _can_quantize(
    x: torch.Tensor,
    scale: torch.Tensor,
    zero_point: torch.Tensor | None,
    q_min: torch.Tensor,
    q_max: torch.Tensor,
    args: Any,
    dtype: torch.dtype | None = None,
    global_scale: torch.Tensor | None = None,
) -> bool:
    """Whether tersor gives the bits of the eager path, which divides in the dtype that x and scale have in common."""
    tensors = [x, scale] if zero_point is None else [x, scale, zero_point]
    return (
        str(getattr(args.type, "value", args.type)) == "int"
        and 2 <= args.num_bits <= 8
        and global_scale is None
        and all(type(tensor) in (torch.Tensor, torch.nn.Parameter) and tensor.device.type == "cpu" for tensor in tensors)
        and x.dtype in _FLOATS
        and scale.dtype == x.dtype
        and _granularity(x, scale) is not None
        and (zero_point is None or (zero_point.dtype == torch.int8 and zero_point.shape == scale.shape))
    )


def _tersor_quantize(
    x: torch.Tensor,
    scale: torch.Tensor,
    zero_point: torch.Tensor | None,
    q_min: torch.Tensor,
    q_max: torch.Tensor,
    args: Any,
    dtype: torch.dtype | None = None,
    global_scale: torch.Tensor | None = None,
) -> torch.Tensor:
    granularity = _granularity(x, scale)
    shape = (1,) * x.ndim if granularity == "tensor" else scale.shape
    t = tersor.quantize(
        x.detach(),
        args.num_bits,
        granularity=granularity or "row",
        convention="compressed-tensors",
        signed=True,
        scale=scale.detach().reshape(shape),
        zero_point=None if zero_point is None else zero_point.detach().reshape(shape),
    )
    return t.q.to(x.dtype if dtype is None else dtype)  # type: ignore[no-any-return]


def _granularity(x: torch.Tensor, scale: torch.Tensor) -> str | None:
    """A scale for all of x, or one for each row of its last axis, as which compressed-tensors lays out groups."""
    if scale.numel() == 1:
        return "tensor"
    return "row" if scale.shape == (*x.shape[:-1], 1) else None
