"""``pytest bench/bench_prune.py --benchmark-only``; the cases stand in ``bench/cases/prune*.py``."""

from __future__ import annotations

from typing import Any

from bench.cases import OPERATIONS
from bench.operation import Case
from bench.pytest_cases import each_implementation, run


@each_implementation([operation for operation in OPERATIONS if operation.family == "prune"])
def bench_prune(benchmark: Any, case: Case, implementation: str) -> None:
    run(benchmark, case, implementation)
