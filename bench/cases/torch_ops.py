"""The same operations on torch tensors: what a call costs, so at the smallest size only.

The rows follow from those of the families: the same arguments as tensors, once through ``tersor.*`` with ``out=``, and once
through the registered operators ``torch.ops.tersor.*``, which allocate their results.
"""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np

from bench.cases import pack, prune, quantize, softmax
from bench.goals import TORCH_CALL
from bench.operation import SIZES, SMALL, Arrays, Call, Operation
from bench.peers import as_torch

TITLES = {
    "prune_threshold out=",
    "mask_threshold packed",
    "quantize_int8",
    "dequantize_int8",
    "pack_int4",
    "softmax",
}
OPERATOR = "torch.ops"
TENSORS = "torch out="


def as_tensors(value: Any) -> Any:
    """Arrays become tensors, alone or in a tuple."""
    if isinstance(value, tuple):
        return tuple(map(as_tensors, value))
    return as_torch(value) if isinstance(value, np.ndarray) else value


def registered(name: str) -> Any:
    """``torch.ops.tersor.<name>``."""
    import tersor.torch  # noqa: F401  (registers them)
    import torch

    return getattr(torch.ops.tersor, name)


def on_tensors(base: Operation) -> Operation:
    """The Python function, given tensors."""

    def call(a: Arrays) -> Call:
        with_arrays = base.tersor(a)
        keywords = {name: as_tensors(value) for name, value in with_arrays.kwargs.items()}
        return Call(with_arrays.function, *as_tensors(with_arrays.args), **keywords)

    return torch_row(base, variant=TENSORS, tersor=call)


def as_operator(base: Operation) -> Operation:
    """The registered operator."""

    def call(a: Arrays) -> Call:
        with_arrays = base.tersor(a)
        keywords = {name: as_tensors(value) for name, value in with_arrays.kwargs.items() if name != "out"}
        return Call(registered(base.name), *as_tensors(with_arrays.args), **keywords)

    return torch_row(base, variant=OPERATOR, tersor=call, returns=True)


def torch_row(base: Operation, **changes: Any) -> Operation:
    peers = {name: make for name, make in base.peers.items() if name.startswith("torch")}
    goals, sizes = {SMALL: TORCH_CALL}, {SMALL: SIZES[SMALL]}
    return dataclasses.replace(base, family="torch", peers=peers, goals=goals, sizes=sizes, **changes)


BASES = [
    operation
    for family in (prune, quantize, pack, softmax)
    for operation in family.OPERATIONS
    if operation.title in TITLES and SMALL in operation.sizes
]
OPERATIONS = [row for base in BASES for row in (on_tensors(base), as_operator(base))]
