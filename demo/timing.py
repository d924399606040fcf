"""The time that the operations take, apart from what happens between them."""

from __future__ import annotations

import functools
import inspect
import math
import statistics
import time
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field
from types import ModuleType
from typing import Any, TypeVar

from tersor import BitmaskTensor, Quantized

Result = TypeVar("Result")

LEAST_ROUNDS = 3
MOST_ROUNDS = 200


class TimedOperations:
    """One implementation of the operations, with a clock on each call.

    Rounds repeat the same calls in the same order. From the second round on, a call that can write into an array gets
    the one it returned in the first: fresh memory costs as much as the operation itself, and programs reuse theirs.
    """

    def __init__(self, implementation: ModuleType) -> None:
        self._implementation = implementation
        self._outputs: dict[int, Any] = {}
        self.start_round()

    def start_round(self) -> None:
        """The clocks stand at zero, and the next call is the first."""
        self._calls = 0
        self.seconds: dict[str, float] = defaultdict(float)

    def __getattr__(self, name: str) -> Callable[..., Any]:
        return functools.partial(self._call, name, getattr(self._implementation, name))

    def _call(self, name: str, operation: Callable[..., Any], *arguments: Any, **options: Any) -> Any:
        if self._calls in self._outputs:
            options["out"] = self._outputs[self._calls]
        start = time.perf_counter()
        result = operation(*arguments, **options)
        self.seconds[name] += time.perf_counter() - start
        # Compressed, an array takes new memory every time: NumPy's boolean index has no out=.
        if takes_out(operation) and not isinstance(result, BitmaskTensor):
            self._outputs[self._calls] = (result.q, result.scale) if isinstance(result, Quantized) else result
        self._calls += 1
        return result


@functools.cache
def takes_out(operation: Callable[..., Any]) -> bool:
    """Whether the operation can write into an array that it is given."""
    return "out" in inspect.signature(operation).parameters


@dataclass(frozen=True)
class Timing:
    """Median seconds of a round, in total and for each operation."""

    numpy: float
    tersor: float
    rounds: int
    numpy_operations: dict[str, float] = field(default_factory=dict)
    tersor_operations: dict[str, float] = field(default_factory=dict)

    @property
    def speedup(self) -> float:
        """How many times as fast tersor is."""
        return self.numpy / self.tersor


def interleave(
    numpy_round: Callable[[], Result],
    tersor_round: Callable[[], Result],
    numpy: TimedOperations,
    tersor: TimedOperations,
    budget_seconds: float,
) -> tuple[Timing | None, Result, Result]:
    """Runs both by turns until the budget is spent, and returns the times with the results of the last round.

    By turns, so that a slow minute of the machine falls on both. The first round warms caches up and allocates; it does
    not count. The last is returned because it went through the outputs that are used again, as all timed ones did.
    """
    numpy_rounds: list[dict[str, float]] = []
    tersor_rounds: list[dict[str, float]] = []
    end = math.inf
    while len(numpy_rounds) <= LEAST_ROUNDS or (time.perf_counter() < end and len(numpy_rounds) <= MOST_ROUNDS):
        if len(numpy_rounds) == 1:
            end = time.perf_counter() + budget_seconds
        numpy.start_round()
        numpy_result = numpy_round()
        numpy_rounds.append(numpy.seconds)
        tersor.start_round()
        tersor_result = tersor_round()
        tersor_rounds.append(tersor.seconds)
    return timing_of(numpy_rounds[1:], tersor_rounds[1:]), numpy_result, tersor_result


def timing_of(numpy_rounds: list[dict[str, float]], tersor_rounds: list[dict[str, float]]) -> Timing | None:
    """The medians of the rounds; None where they called no operation."""
    if not tersor_rounds[0]:
        return None
    return Timing(
        numpy=statistics.median(sum(seconds.values()) for seconds in numpy_rounds),
        tersor=statistics.median(sum(seconds.values()) for seconds in tersor_rounds),
        rounds=len(numpy_rounds),
        numpy_operations=medians(numpy_rounds),
        tersor_operations=medians(tersor_rounds),
    )


def medians(rounds: list[dict[str, float]]) -> dict[str, float]:
    """The median of each operation's seconds."""
    return {name: statistics.median(seconds[name] for seconds in rounds) for name in rounds[0]}
