"""Scores of rows and columns, and matrices without half of them. All give their result back: scores are short, and arrays
of new sizes are what removal is for. Removal moves as many bytes as one read of w: half of it is read, and as much
written."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import tersor
from tersor import reference

from bench.goals import Goal, floor, peer
from bench.operands import weights
from bench.operation import LARGE, MEDIUM, SIZES, Array, Arrays, Call, Operation, Shape, Tolerance
from bench.peers import as_torch, compiled

UNITS = {0: "rows", 1: "columns"}
LARGER = {size: SIZES[size] for size in (MEDIUM, LARGE)}


def alone(shape: Shape, dtype: str) -> Arrays:
    return Arrays({"w": weights(shape, dtype)})


# --- scores ----------------------------------------------------------------------------------------------------------


def numpy_score(w: Array, criterion: str, axis: int) -> Array:
    wide = w.astype(np.float32, copy=False)  # NumPy is many times slower in bfloat16
    if criterion == "l2":
        return np.asarray(np.linalg.norm(wide, axis=1 - axis))
    return np.asarray(np.abs(wide).sum(1 - axis))


def torch_score(a: Arrays, criterion: str, axis: int) -> Call:
    import torch

    order = {"l1": 1, "l2": 2}[criterion]
    return Call(torch.linalg.vector_norm, as_torch(a.w), order, 1 - axis, dtype=torch.float32)


def l1_of_rows(w: Any) -> Any:
    """What torch users write; and so on."""
    return w.float().abs().sum(1)


def l1_of_columns(w: Any) -> Any:
    return w.float().abs().sum(0)


def l2_of_rows(w: Any) -> Any:
    return w.float().square().sum(1).sqrt()


def l2_of_columns(w: Any) -> Any:
    return w.float().square().sum(0).sqrt()


FORMULAS: dict[tuple[str, int], Callable[[Any], Any]] = {
    ("l1", 0): l1_of_rows,
    ("l1", 1): l1_of_columns,
    ("l2", 0): l2_of_rows,
    ("l2", 1): l2_of_columns,
}


def score_row(criterion: str, axis: int, dtype: str, goal: Goal) -> Operation:
    return Operation(
        family="structured",
        name="score_units",
        variant=f"{criterion} of {UNITS[axis]}",
        dtype=dtype,
        arrays=alone,
        sizes=LARGER,
        expected=lambda a: (reference.score_units(a.w, criterion, axis),),
        tersor=lambda a: Call(tersor.score_units, a.w, criterion, axis=axis),
        numpy=lambda a: Call(numpy_score, a.w, criterion, axis),
        peers={
            "torch": lambda a: torch_score(a, criterion, axis),
            "torch compile": lambda a: Call(compiled(FORMULAS[criterion, axis]), as_torch(a.w)),
        },
        # The others add in float32, columns one row after the other: 4,096 roundings of 2**-24.
        tolerance=Tolerance(relative=4096 * 2.0**-24),
        goals={LARGE: goal},
    )


# --- removal ---------------------------------------------------------------------------------------------------------


def half(w: Array, axis: int) -> Array:
    """Scattered, as the lowest scores are."""
    return np.sort(np.random.default_rng(0).permutation(w.shape[axis])[: w.shape[axis] // 2])


def torch_remove(a: Arrays, axis: int) -> Call:
    import torch

    return Call(torch.index_select, as_torch(a.w), axis, torch.from_numpy(half(a.w, axis)))


def removal_row(axis: int) -> Operation:
    return Operation(
        family="structured",
        name="remove_units",
        variant=f"50 % of {UNITS[axis]}",
        arrays=alone,
        sizes=LARGER,
        expected=lambda a: (reference.remove_units(a.w, half(a.w, axis), axis),),
        tersor=lambda a: Call(tersor.remove_units, a.w, half(a.w, axis), axis=axis),
        numpy=lambda a: Call(np.take, a.w, half(a.w, axis), axis),
        peers={"torch": lambda a: torch_remove(a, axis)},
        goals={LARGE: peer(1.0)},
    )


# --- the table -------------------------------------------------------------------------------------------------------

OPERATIONS = [
    score_row("l1", 0, "float32", floor(1.1)),
    score_row("l1", 1, "float32", floor(1.3)),
    score_row("l2", 0, "float32", floor(1.1)),
    score_row("l2", 1, "float32", floor(1.3)),
    score_row("l1", 0, "bfloat16", floor(2.0)),
    score_row("l1", 1, "bfloat16", floor(2.0)),
    removal_row(0),
    removal_row(1),
]
