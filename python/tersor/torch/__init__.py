"""tersor's functions as torch operators: ``import tersor.torch`` registers ``torch.ops.tersor.*``.

They take and return tensors like the functions of the same names in ``tersor``, without ``out=``. torch.compile sees
them as single operators and does not break the graph; autograd works through ``prune_*``, ``apply_mask``,
``remove_units``, ``softmax``, ``log_softmax``, ``logsumexp``, ``fake_quantize``, ``compress_bitmask``,
``decompress_bitmask`` and, in x, ``matmul_bitmask``. A BitmaskTensor is its parts here, one by one, and so is a Quantized:
without zero points ``quantize`` gives an empty tensor for them. ``quantize.scaled`` takes scales. ``fake_quantize.scaled``
takes scales too, to train them: it is differentiable in them, and in zero points that are floating (it rounds and clamps
these); ``fake_quantize`` gives the scales and zero points that it makes beside its result. Those that give a number, such
as ``count_nonzero``, give a tensor of no dimensions. Lists of tensors are for the functions of ``tersor`` alone.

``remove_channels`` makes whole modules smaller, and ``GroupImportance`` scores channels for Torch-Pruning.

Examples
--------
>>> import torch
>>> import tersor.torch
>>> w = torch.tensor([0.5, -0.1, -2.0], requires_grad=True)
>>> torch.ops.tersor.prune_threshold(w, 0.25).sum().backward()
>>> w.grad
tensor([1., 0., 1.])
"""

from tersor.torch import (
    bitmask,
    compress,
    information,
    matmul,
    pack,
    prune,
    prune_criteria,
    quantize,
    quantize_error,
    quantize_fake,
    quantize_groups,
    select,
    softmax,
    structured,
)
from tersor.torch.structured import GroupImportance, remove_channels

__all__ = [
    "GroupImportance",
    "bitmask",
    "compress",
    "information",
    "matmul",
    "pack",
    "prune",
    "prune_criteria",
    "quantize",
    "quantize_error",
    "quantize_fake",
    "quantize_groups",
    "remove_channels",
    "select",
    "softmax",
    "structured",
]
