"""``python -m bench.profile``: what bounds the operations that miss a goal.

An operation is bound by its arithmetic where one thread on data in its own cache is hardly faster than on data in memory; by
memory where several threads together reach the probe. A small call is split into what it is made of.
"""

from __future__ import annotations

import timeit
from collections.abc import Callable
from typing import Any

import numpy as np
import tersor
from rich.console import Console
from rich.table import Table
from tersor import _core

from bench import machine
from bench.cases import OPERATIONS
from bench.operation import Operation
from bench.probes import Probes, Traffic

# Rows of memory that a core's own cache holds, of one that no cache does.
CACHED_BYTES = 256 << 10
MEMORY_BYTES = 180 << 20
REPEATS = 25


def seconds(call: Callable[[], Any], calls: int = 1) -> float:
    """The least of many: what is in the way on a shared machine only ever adds."""
    return min(timeit.repeat(call, number=calls, repeat=REPEATS)) / calls


def found(name: str, variant: str, dtype: str) -> Operation:
    return next(o for o in OPERATIONS if (o.name, o.variant, o.dtype) == (name, variant, dtype))


# Operations, and the columns of their rows.
STREAMS = [
    ("pack_mask", "", "bool", 11008),
    ("prune_threshold", "out=", "float32", 11008),
    ("count_nonzero", "", "float32", 11008),
    ("softmax", "", "float32", 32000),
    ("softmax", "", "float32", 1024),
    ("softmax", "", "float32", 64),
    ("quantize_int8", "", "float32", 64),
    ("softmax", "", "bfloat16", 32000),
]


def rate(operation: Operation, cols: int, total: int, threads: int) -> float:
    """GB/s of bytes read and written once."""
    item = operation.arrays((1, cols), operation.dtype)
    shape = (max(1, total // (item.read_bytes + item.written_bytes)), cols)
    arrays = operation.arrays(shape, operation.dtype)
    call = operation.tersor(arrays)
    before = tersor.get_num_threads()
    tersor.set_num_threads(threads)
    try:
        moved = arrays.read_bytes + arrays.written_bytes
        return moved / seconds(call, max(1, (4 << 20) // moved)) / 1e9
    finally:
        tersor.set_num_threads(before)


def probed(probes: Probes, operation: Operation, cols: int) -> float:
    item = operation.arrays((1, cols), operation.dtype)
    rows = MEMORY_BYTES // (item.read_bytes + item.written_bytes)
    traffic = Traffic(rows * item.read_bytes, rows * item.written_bytes, item.in_place, in_cache=False)
    least = min(probes.seconds(traffic.floor_probe, traffic, MEMORY_BYTES) for _ in range(REPEATS))
    return traffic.bytes / least / 1e9


def streams(console: Console, threads: int) -> None:
    probes, alone = Probes(threads), Probes(1)
    table = Table("operation", "columns", title="GB/s, the best of many")
    for header in (
        "1 thread, cached",
        "1 thread, memory",
        "probe, 1 thread",
        f"{threads} threads, memory",
        f"probe, {threads} threads",
    ):
        table.add_column(header, justify="right")
    for name, variant, dtype, cols in STREAMS:
        operation = found(name, variant, dtype)
        rates = [
            rate(operation, cols, CACHED_BYTES, 1),
            rate(operation, cols, MEMORY_BYTES, 1),
            probed(alone, operation, cols),
            rate(operation, cols, MEMORY_BYTES, threads),
            probed(probes, operation, cols),
        ]
        table.add_row(f"{name} {variant} {dtype}".replace("  ", " "), str(cols), *(f"{value:.1f}" for value in rates))
    console.print(table)


def small_calls(console: Console) -> None:
    """What a call on a few numbers consists of, each step beyond the one before."""
    w, out = np.ones(1024, np.float32), np.ones(1024, np.float32)
    one, one_out, one_q = w[:1].copy(), out[:1].copy(), np.ones(1, np.int8)
    q, scale = np.ones(1024, np.int8), np.ones(1, np.float32)
    mask, bits = np.ones(1024, np.bool_), np.ones(128, np.uint8)
    codes, packed = np.ones(1024, np.int8), np.ones(512, np.uint8)
    steps: list[tuple[str, Callable[[], Any]]] = [
        ("a Python function that returns", lambda: None),
        ("a function of the extension module without arguments", _core.num_threads),
        ("one that looks at one array", lambda: _core.check_array(w, "w")),
        ("prune_threshold of 1 entry, extension module alone", lambda: _core.prune_threshold(one, 0.5, one_out)),
        ("prune_threshold of 1 entry", lambda: tersor.prune_threshold(one, 0.5, out=one_out)),
        ("prune_threshold of 1,024", lambda: tersor.prune_threshold(w, 0.5, out=out)),
        ("apply_mask of 1,024", lambda: tersor.apply_mask(w, mask, out=out)),
        ("unpack_int4 of 1,024", lambda: tersor.unpack_int4(packed, 1024, out=codes)),
        ("dequantize_int8 of 1,024", lambda: tersor.dequantize_int8(q, scale, out=out)),
        ("quantize_int8 of 1 entry", lambda: tersor.quantize_int8(one, out=(one_q, scale))),
        ("quantize_int8 of 1,024", lambda: tersor.quantize_int8(w, out=(q, scale))),
        ("softmax of 1 entry", lambda: tersor.softmax(one, out=one_out)),
        ("softmax of 1,024", lambda: tersor.softmax(w, out=out)),
        ("unpack_mask of 1,024", lambda: tersor.unpack_mask(bits, 1024, out=mask)),
        ("numpy.abs of 1 entry, out=", lambda: np.abs(one, out=one_out)),
    ]
    table = Table("call", title="ns a call, the least of many; the lambda around it included")
    table.add_column("ns", justify="right")
    for what, call in steps:
        table.add_row(what, f"{seconds(call, 20_000) * 1e9:.0f}")
    console.print(table)


def torch_calls(console: Console) -> None:
    try:
        import tersor.torch
        import torch
    except ImportError:
        console.print("torch is not installed: its calls are left out")
        return
    library = torch.library.Library("tersor_profile", "DEF")
    library.define("same(Tensor x) -> Tensor")
    library.impl("same", lambda x: x, "CPU")
    same, x = torch.ops.tersor_profile.same, torch.ones(1024)
    steps: list[tuple[str, Callable[[], Any]]] = [
        ("torch.abs, a kernel of torch's own", lambda: torch.abs(x)),
        ("an operator whose kernel is a Python function that returns its argument", lambda: same(x)),
        ("torch.empty_like", lambda: torch.empty_like(x)),
        ("tersor.prune_threshold", lambda: tersor.prune_threshold(x, 0.5)),
        ("torch.ops.tersor.prune_threshold", lambda: torch.ops.tersor.prune_threshold(x, 0.5)),
        ("torch.ops.tersor.softmax", lambda: torch.ops.tersor.softmax(x, 0.5)),
    ]
    table = Table("call on 1,024", title="us a call, the least of many; the lambda around it included")
    table.add_column("us", justify="right")
    for what, call in steps:
        table.add_row(what, f"{seconds(call, 2_000) * 1e6:.2f}")
    console.print(table)


def main() -> None:
    console = Console(width=140)
    described = machine.describe()
    console.print(f"{described['cpu']}, {described['cores']} cores, level {described['cpu_level']}", highlight=False)
    streams(console, described["threads"])
    small_calls(console)
    torch_calls(console)


if __name__ == "__main__":
    main()
