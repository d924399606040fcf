"""``pytest bench/bench_matmul.py --benchmark-only``; the cases stand in ``bench/cases/matmul.py``."""

from __future__ import annotations

from typing import Any

from bench.cases import matmul
from bench.operation import Case
from bench.pytest_cases import each_implementation, run


@each_implementation(matmul.OPERATIONS)
def bench_matmul(benchmark: Any, case: Case, implementation: str) -> None:
    run(benchmark, case, implementation)
