"""``pytest bench/bench_bitmask.py --benchmark-only``; the cases stand in ``bench/cases/bitmask.py``."""

from __future__ import annotations

from typing import Any

from bench.cases import bitmask
from bench.operation import Case
from bench.pytest_cases import each_implementation, run


@each_implementation(bitmask.OPERATIONS)
def bench_bitmask(benchmark: Any, case: Case, implementation: str) -> None:
    run(benchmark, case, implementation)
