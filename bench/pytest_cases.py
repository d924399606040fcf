"""The tables of operations as pytest-benchmark parameters.

A group holds one operation at one size: tersor, NumPy, the reference and the peers stand together in the printed table.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import pytest

from bench.measure import reason
from bench.operation import Arrays, Case, Operation

SAMPLE_SECONDS = 2e-3
BENCHMARK_SECONDS = 1.0


def each_implementation(operations: list[Operation]) -> Callable[..., Any]:
    """Decorator: one benchmark for each size of each operation, and each library that can do it."""
    parameters = [
        pytest.param(case, name, id=f"{case}-{name}".replace(" ", "-"))
        for operation in operations
        for case in operation.cases()
        for name in case.implementations()
    ]
    return pytest.mark.parametrize(("case", "implementation"), parameters)


@functools.lru_cache(maxsize=1)
def operands(case: Case) -> Arrays:
    """Shared by the implementations of a case, which follow each other; large ones are gone when the next case comes."""
    return case.arrays()


def run(benchmark: Any, case: Case, implementation: str) -> None:
    """Checks the result once, then times the call."""
    arrays = operands(case)
    benchmark.group = str(case)
    benchmark.extra_info["bytes"] = arrays.read_bytes + arrays.written_bytes
    try:
        call = case.implementations()[implementation](arrays)
        right = case.is_right(implementation, arrays, call)
    except ModuleNotFoundError as error:
        pytest.skip(reason(error))
    assert right, f"{implementation} differs from tersor.reference"
    once = max(min(call.timer().repeat(3, 1)), 1e-7)
    iterations = max(1, int(SAMPLE_SECONDS / once))
    rounds = min(50, max(5, int(BENCHMARK_SECONDS / (once * iterations))))
    benchmark.pedantic(call.function, call.args, call.kwargs, rounds=rounds, iterations=iterations, warmup_rounds=1)
