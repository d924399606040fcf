"""``pytest bench/bench_select.py --benchmark-only``; the cases stand in ``bench/cases/select.py``."""

from __future__ import annotations

from typing import Any

from bench.cases import select
from bench.operation import Case
from bench.pytest_cases import each_implementation, run


@each_implementation(select.OPERATIONS)
def bench_select(benchmark: Any, case: Case, implementation: str) -> None:
    run(benchmark, case, implementation)
