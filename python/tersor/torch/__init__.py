"""tersor's functions as torch operators: ``import tersor.torch`` registers ``torch.ops.tersor.*``.

They take and return tensors like the functions of the same names in ``tersor``, without ``out=``. torch.compile sees them
as single operators and does not break the graph; autograd works through ``prune_threshold``, ``apply_mask`` and
``softmax``. ``count_nonzero`` gives a tensor of no dimensions, as torch's does.

Examples
--------
>>> import torch
>>> import tersor.torch
>>> w = torch.tensor([0.5, -0.1, -2.0], requires_grad=True)
>>> torch.ops.tersor.prune_threshold(w, 0.25).sum().backward()
>>> w.grad
tensor([1., 0., 1.])
"""

from tersor.torch import bitmask, pack, prune, quantize, softmax

__all__ = ["bitmask", "pack", "prune", "quantize", "softmax"]
