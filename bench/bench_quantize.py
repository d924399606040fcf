"""``pytest bench/bench_quantize.py --benchmark-only``; the cases stand in ``bench/cases/quantize*.py``."""

from __future__ import annotations

from typing import Any

from bench.cases import quantize, quantize_groups
from bench.operation import Case
from bench.pytest_cases import each_implementation, run


@each_implementation(quantize.OPERATIONS + quantize_groups.OPERATIONS)
def bench_quantize(benchmark: Any, case: Case, implementation: str) -> None:
    run(benchmark, case, implementation)
