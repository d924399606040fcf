"""``pytest bench/bench_formats.py --benchmark-only``; the cases stand in ``bench/cases/formats*.py``."""

from __future__ import annotations

from typing import Any

from bench.cases import formats, formats_float, formats_gguf, formats_torchao
from bench.operation import Case
from bench.pytest_cases import each_implementation, run


@each_implementation(formats.OPERATIONS + formats_float.OPERATIONS + formats_gguf.OPERATIONS + formats_torchao.OPERATIONS)
def bench_formats(benchmark: Any, case: Case, implementation: str) -> None:
    run(benchmark, case, implementation)
