"""Weights with zeros in them: exact shares by magnitude, 2 of every 4, whole blocks; stored as a bitmask and the rest.

A pattern says which entries go. All are stored alike, in the sparse-bitmask format of compressed-tensors: the nonzero
entries, one bit for each entry, and where each row's entries begin.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import tersor
from numpy.typing import NDArray

from demo.arrays import Array
from demo.checks import require
from demo.storage import Parts
from demo.timing import TimedOperations


class Pattern(Protocol):
    """Which entries of a weight go."""

    @property
    def name(self) -> str: ...

    @property
    def family(self) -> str: ...

    def prune(self, operations: TimedOperations, weight: Array) -> Array: ...

    def keep(self, weight: NDArray[Any]) -> NDArray[np.bool_]: ...


def highest(scores: NDArray[Any], share: float) -> NDArray[np.bool_]:
    """False for the share of the lowest scores, the first of those that tie: plain NumPy, by sorting everything."""
    gone = round(share * scores.size)
    threshold = np.sort(scores, axis=None)[gone]
    keep: NDArray[np.bool_] = (scores > threshold).reshape(-1)
    tied = np.flatnonzero(scores == threshold)
    keep[tied[len(tied) - (scores.size - gone - np.count_nonzero(keep)) :]] = True
    return keep.reshape(scores.shape)


@dataclass(frozen=True)
class Magnitude:
    """The smallest entries of the weight go, wherever they are."""

    share: float
    family: str = "unstructured"

    @property
    def name(self) -> str:
        return f"magnitude {self.share * 100:.0f} %"

    def prune(self, operations: TimedOperations, weight: Array) -> Array:
        return operations.prune_magnitude(weight, self.share)

    def keep(self, weight: NDArray[Any]) -> NDArray[np.bool_]:
        return highest(np.abs(weight), self.share)


@dataclass(frozen=True)
class TwoOfFour:
    """The two smallest of every four neighbours in a row go: the pattern of NVIDIA's sparse tensor cores."""

    name: str = "2:4"
    family: str = "pattern"

    def prune(self, operations: TimedOperations, weight: Array) -> Array:
        return operations.prune_nm(weight, 2, 4)

    def keep(self, weight: NDArray[Any]) -> NDArray[np.bool_]:
        order = np.argsort(np.abs(weight).reshape(-1, 4), axis=-1, kind="stable")
        keep = np.zeros(order.shape, np.bool_)
        np.put_along_axis(keep, order[:, 2:], True, axis=-1)
        return keep.reshape(weight.shape)


@dataclass(frozen=True)
class Blocks:
    """The blocks of the smallest norm go."""

    share: float
    side: int = 4
    family: str = "pattern"

    @property
    def name(self) -> str:
        return f"blocks {self.side} x {self.side}, {self.share * 100:.0f} %"

    def prune(self, operations: TimedOperations, weight: Array) -> Array:
        return operations.prune_blocks(weight, (self.side, self.side), self.share)

    def keep(self, weight: NDArray[Any]) -> NDArray[np.bool_]:
        rows, cols = weight.shape
        # What a block at the edge lacks adds nothing to its norm.
        padded = np.pad(weight.astype(np.float64), ((0, -rows % self.side), (0, -cols % self.side)))
        down, across = padded.shape[0] // self.side, padded.shape[1] // self.side
        squares = (padded**2).reshape(down, self.side, across, self.side).sum(axis=(1, 3))
        return highest(squares, self.share).repeat(self.side, 0).repeat(self.side, 1)[:rows, :cols]


@dataclass(frozen=True)
class InBitmask:
    """A method of compression: a pattern, and the bitmask form."""

    pattern: Pattern

    @property
    def name(self) -> str:
        return self.pattern.name

    @property
    def family(self) -> str:
        return self.pattern.family

    def encode(self, operations: TimedOperations, weight: Array) -> Parts:
        pruned = self.pattern.prune(operations, weight)
        stored = operations.compress_bitmask(pruned)
        require(stored.nonzeros == operations.count_nonzero(pruned), f"{self.name}: the stored are not the nonzeros")
        return {"values": stored.values, "bits": stored.bits, "row_offsets": stored.row_offsets}

    def decode(self, operations: TimedOperations, parts: Parts, shape: tuple[int, ...]) -> Array:
        return operations.decompress_bitmask(tersor.BitmaskTensor(**parts, shape=shape))

    def expected(self, weight: NDArray[Any]) -> NDArray[Any]:
        return np.where(self.pattern.keep(weight), weight, np.float32(0))


def patterns() -> list[Pattern]:
    """From the freest to the strictest."""
    return [Magnitude(0.5), Magnitude(0.7), Magnitude(0.9), TwoOfFour(), Blocks(0.5)]
