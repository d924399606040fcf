"""``pytest bench/bench_quantize.py --benchmark-only``; the cases stand in ``bench/cases/quantize*.py``."""

from __future__ import annotations

from typing import Any

from bench.cases import quantize, quantize_calibrate, quantize_error, quantize_fake, quantize_groups
from bench.operation import Case
from bench.pytest_cases import each_implementation, run

MODULES = (quantize, quantize_groups, quantize_fake, quantize_error, quantize_calibrate)


@each_implementation([operation for module in MODULES for operation in module.OPERATIONS])
def bench_quantize(benchmark: Any, case: Case, implementation: str) -> None:
    run(benchmark, case, implementation)
