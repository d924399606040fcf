"""The goals: how close to the floor, how far ahead of the best peer, how short a call."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum


class Measure(Enum):
    """What a goal is stated in."""

    FLOOR = "floor"
    PEER = "peer"
    MICROSECONDS = "microseconds"


@dataclass(frozen=True)
class Goal:
    measure: Measure
    limit: float

    def __str__(self) -> str:
        text = {Measure.FLOOR: "<= {:g} floor", Measure.PEER: ">= {:g} peer", Measure.MICROSECONDS: "<= {:g} us"}
        return text[self.measure].format(self.limit)

    def is_met(self, value: float) -> bool:
        """Compared at the two digits that are printed; the third is noise."""
        value = round(value, 2)
        return value >= self.limit if self.measure is Measure.PEER else value <= self.limit


NUMPY_CALL = Goal(Measure.MICROSECONDS, 0.4)
TORCH_CALL = Goal(Measure.MICROSECONDS, 3.0)


def floor(limit: float) -> Goal:
    """At most this many times the time that the bytes alone need."""
    return Goal(Measure.FLOOR, limit)


def peer(limit: float) -> Goal:
    """At least this many times faster than the fastest of the others."""
    return Goal(Measure.PEER, limit)
