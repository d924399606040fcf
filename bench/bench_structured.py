"""``pytest bench/bench_structured.py --benchmark-only``; the cases stand in ``bench/cases/structured.py``."""

from __future__ import annotations

from typing import Any

from bench.cases import structured
from bench.operation import Case
from bench.pytest_cases import each_implementation, run


@each_implementation(structured.OPERATIONS)
def bench_structured(benchmark: Any, case: Case, implementation: str) -> None:
    run(benchmark, case, implementation)
