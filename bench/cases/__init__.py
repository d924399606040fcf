"""The tables of operations, one module a family."""

from __future__ import annotations

from bench.cases import (
    bitmask,
    compress,
    formats,
    formats_float,
    formats_gguf,
    formats_torchao,
    information,
    matmul,
    pack,
    prune,
    prune_pattern,
    prune_ranked,
    quantize,
    quantize_calibrate,
    quantize_error,
    quantize_fake,
    quantize_groups,
    select,
    softmax,
    softmax_log,
    structured,
    torch_ops,
)
from bench.operation import Case, Operation

OPERATIONS: list[Operation] = [
    *prune.OPERATIONS,
    *prune_ranked.OPERATIONS,
    *prune_pattern.OPERATIONS,
    *select.OPERATIONS,
    *bitmask.OPERATIONS,
    *compress.OPERATIONS,
    *quantize.OPERATIONS,
    *quantize_groups.OPERATIONS,
    *quantize_fake.OPERATIONS,
    *quantize_error.OPERATIONS,
    *quantize_calibrate.OPERATIONS,
    *pack.OPERATIONS,
    *formats.OPERATIONS,
    *formats_float.OPERATIONS,
    *formats_gguf.OPERATIONS,
    *formats_torchao.OPERATIONS,
    *softmax.OPERATIONS,
    *softmax_log.OPERATIONS,
    *structured.OPERATIONS,
    *information.OPERATIONS,
    *matmul.OPERATIONS,
    *torch_ops.OPERATIONS,
]


def choose(operations: list[Operation], names: list[str], sizes: list[str]) -> list[Case]:
    """The cases of the named operations or families (all where none is named), at the named sizes."""
    known_names = {name for operation in operations for name in (operation.family, operation.name)}
    known_sizes = {size for operation in operations for size in operation.sizes}
    for given, known in ((names, known_names), (sizes, known_sizes)):
        if unknown := set(given) - known:
            raise ValueError(f"unknown: {', '.join(sorted(unknown))}; there are {', '.join(sorted(known))}")
    return [
        case
        for operation in operations
        if not names or {operation.family, operation.name} & set(names)
        for case in operation.cases()
        if not sizes or case.size in sizes
    ]
