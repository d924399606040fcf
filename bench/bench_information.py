"""``pytest bench/bench_information.py --benchmark-only``; the cases stand in ``bench/cases/information.py``."""

from __future__ import annotations

from typing import Any

from bench.cases import information
from bench.operation import Case
from bench.pytest_cases import each_implementation, run


@each_implementation(information.OPERATIONS)
def bench_information(benchmark: Any, case: Case, implementation: str) -> None:
    run(benchmark, case, implementation)
