"""Times one case: probes, tersor and everything it is compared with, by turns, round after round.

The machines are shared and their speed drifts, so only ratios taken within a round count, and of those the median.
"""

from __future__ import annotations

import math
import re
import statistics
import time
import timeit
from collections.abc import Callable
from dataclasses import dataclass, field

from bench.operation import Arrays, Call, Case, MakeCall
from bench.probes import STANDARD, Probes, Traffic

# Worker threads of OpenMP spin for up to 5 ms after a parallel loop, on the cores that the next one needs. The thread that
# waits for them spins too, as the probes' do: after 6 ms of sleep a virtual machine read 50 MB in 3.7 ms instead of 2.2.
SETTLE_SECONDS = 6e-3
# One sample in cache: many calls, so that neither the clock nor one wake-up decides.
SAMPLE_SECONDS = 2e-3
# What is much slower than this runs in some of the rounds only.
SECONDS_PER_IMPLEMENTATION = 1.5
FEWEST_SAMPLES = 3
# DRAM cases take turns on operands that together exceed the last-level cache this many times.
ROTATION = 8


@dataclass
class Measurement:
    """Everything that was measured for one case. Times are seconds of one call."""

    case: Case
    traffic: Traffic
    seconds: dict[str, dict[int, float]] = field(default_factory=dict)  # implementation -> round -> time
    probe_seconds: dict[str, list[float]] = field(default_factory=dict)
    floor_seconds: dict[int, float] = field(default_factory=dict)  # round -> time
    skipped: dict[str, str] = field(default_factory=dict)  # implementation -> reason
    wrong: list[str] = field(default_factory=list)

    def median(self, name: str) -> float | None:
        times = self.seconds.get(name)
        return statistics.median(times.values()) if times else None

    def floor_ratios(self, name: str) -> list[float]:
        """Times over the floor of their own round."""
        return [time / self.floor_seconds[turn] for turn, time in self.seconds.get(name, {}).items() if self.floor_seconds]

    def speedups(self, name: str) -> list[float]:
        """How many times longer an implementation took than tersor in the same round."""
        ours = self.seconds.get("tersor", {})
        return [time / ours[turn] for turn, time in self.seconds.get(name, {}).items() if turn in ours]


@dataclass
class Contender:
    """One implementation with its calls, one for each set of operands."""

    name: str
    timers: list[timeit.Timer]
    calls: int  # in a sample
    every: int  # so many rounds
    turn: int = 0

    def sample(self, warm: bool) -> float:
        timer = self.timers[self.turn % len(self.timers)]
        self.turn += 1
        settle()
        if warm:
            timer.timeit(max(2, self.calls // 10))
        return timer.timeit(self.calls) / self.calls


def measure(case: Case, probes: Probes, cache_bytes: int, rounds: int, with_peers: bool) -> Measurement:
    """Runs the rounds of one case."""
    arrays = case.arrays()
    result = Measurement(case, Traffic.of(arrays, cache_bytes))
    rotation_bytes = ROTATION * cache_bytes
    sets = 1 if result.traffic.in_cache else math.ceil(rotation_bytes / arrays.footprint)
    operands = [arrays, *(case.arrays() for _ in range(sets - 1))]
    contenders: list[Contender] = []
    for name, make in case.implementations(with_peers).items():
        contender = prepare(name, make, operands, result, rounds)
        if contender:
            # Everyone starts at another set: what one has just used is in the cache, and not the next one's turn.
            contender.turn = len(contenders)
            contenders.append(contender)
    # A call on a few kilobytes costs what calls cost; there is no floor of bytes.
    probing = case.elements > 1024
    read_before = [arrays.inputs[name].nbytes for name in case.operation.read_before]
    passes = [result.traffic, *([result.traffic.reading(sum(read_before))] if read_before else [])]

    def floor() -> float:
        return sum(probes.seconds(traffic.floor_probe, traffic, rotation_bytes) for traffic in passes)

    for turn in range(rounds):
        if probing:
            for name in STANDARD:
                seconds = probes.seconds(name, result.traffic, rotation_bytes)
                result.probe_seconds.setdefault(name, []).append(seconds)
        run_round(turn, contenders, floor if probing else None, result)
    return result


def run_round(turn: int, contenders: list[Contender], floor: Callable[[], float] | None, result: Measurement) -> None:
    """One sample of everything that has its turn. The floor is the mean of right before and right after tersor."""
    for contender in contenders:
        if turn % contender.every:
            continue
        is_tersor = contender.name == "tersor"
        before = floor() if floor and is_tersor else 0.0
        result.seconds.setdefault(contender.name, {})[turn] = contender.sample(warm=result.traffic.in_cache)
        if floor and is_tersor:
            result.floor_seconds[turn] = (before + floor()) / 2


def settle() -> None:
    """Waits until the last call's worker threads are idle, without letting this thread's core idle."""
    end = time.perf_counter() + SETTLE_SECONDS
    while time.perf_counter() < end:
        pass


def prepare(name: str, make: MakeCall, operands: list[Arrays], result: Measurement, rounds: int) -> Contender | None:
    """Builds, checks and warms up the calls. A library that is missing or fails is left out, with its reason."""
    try:
        calls: list[Call] = [make(arrays) for arrays in operands]
        right = result.case.is_right(name, operands[0], calls[0])
        timers = [call.timer() for call in calls]
        for timer in timers:
            timer.timeit(1)
        once = min(timers[0].repeat(3, 1))
    except Exception as error:  # whatever a peer fails with must not end the run
        result.skipped[name] = reason(error)
        return None
    if not right:
        result.wrong.append(name)
    calls_in_sample = max(1, int(SAMPLE_SECONDS / once)) if result.traffic.in_cache else 1
    sample_seconds = once * calls_in_sample
    affordable = max(FEWEST_SAMPLES, int(SECONDS_PER_IMPLEMENTATION / sample_seconds))
    every = 1 if name == "tersor" else max(1, rounds // affordable)
    return Contender(name, timers, calls_in_sample, every)


def reason(error: Exception) -> str:
    """One line: why an implementation is left out. It goes into the results, so paths are taken out of it."""
    if isinstance(error, ModuleNotFoundError):
        return f"{error.name} is not installed"
    first = (str(error).strip().splitlines() or [""])[0]
    return f"{type(error).__name__}: {re.sub(r'/[^ ]*/', '', first)[:120]}"
