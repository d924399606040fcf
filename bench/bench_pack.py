"""``pytest bench/bench_pack.py --benchmark-only``; the cases stand in ``bench/cases/pack.py``."""

from __future__ import annotations

from typing import Any

from bench.cases import pack
from bench.operation import Case
from bench.pytest_cases import each_implementation, run


@each_implementation(pack.OPERATIONS)
def bench_pack(benchmark: Any, case: Case, implementation: str) -> None:
    run(benchmark, case, implementation)
