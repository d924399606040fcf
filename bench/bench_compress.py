"""``pytest bench/bench_compress.py --benchmark-only``; the cases stand in ``bench/cases/compress.py``."""

from __future__ import annotations

from typing import Any

from bench.cases import compress
from bench.operation import Case
from bench.pytest_cases import each_implementation, run


@each_implementation(compress.OPERATIONS)
def bench_compress(benchmark: Any, case: Case, implementation: str) -> None:
    run(benchmark, case, implementation)
