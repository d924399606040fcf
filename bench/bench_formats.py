"""``pytest bench/bench_formats.py --benchmark-only``; the cases stand in ``bench/cases/formats*.py``."""

from __future__ import annotations

from typing import Any

from bench.cases import formats, formats_gguf
from bench.operation import Case
from bench.pytest_cases import each_implementation, run


@each_implementation(formats.OPERATIONS + formats_gguf.OPERATIONS)
def bench_formats(benchmark: Any, case: Case, implementation: str) -> None:
    run(benchmark, case, implementation)
