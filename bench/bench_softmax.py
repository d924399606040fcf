"""``pytest bench/bench_softmax.py --benchmark-only``; the cases stand in ``bench/cases/softmax*.py``."""

from __future__ import annotations

from typing import Any

from bench.cases import softmax, softmax_log
from bench.operation import Case
from bench.pytest_cases import each_implementation, run


@each_implementation([*softmax.OPERATIONS, *softmax_log.OPERATIONS])
def bench_softmax(benchmark: Any, case: Case, implementation: str) -> None:
    run(benchmark, case, implementation)
