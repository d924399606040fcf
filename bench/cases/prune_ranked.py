"""Exact shares of the entries, by magnitude and by other criteria.

NumPy and torch find the threshold and remove what is not above it: all that tie there. tersor removes exactly the share.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import tersor
from tersor import reference

from bench.cases.prune import with_bits_output, with_output
from bench.goals import Goal, floor
from bench.operands import SEED, aligned, as_bits, empty, magnitude_bits, output, weights
from bench.operation import LARGE, MEDIUM, SIZES, Array, Arrays, Call, MakeCall, Operation, Shape
from bench.peers import as_torch

SPARSITY = 0.5
LAYERS = 4

# Makes a function that gives what entries are ranked by, in the same memory every time: an array or a tensor.
MakeRanks = Callable[[Arrays], Callable[[], Any]]


# --- operands --------------------------------------------------------------------------------------------------------


def with_gradient(shape: Shape, dtype: str) -> Arrays:
    w = weights(shape, dtype)
    return Arrays({"w": w, "gradient": weights(shape, dtype, SEED + 1)}, {"out": output(shape, w.dtype)})


def with_scores(shape: Shape, dtype: str) -> Arrays:
    w = weights(shape, dtype)
    return Arrays({"w": w, "scores": weights(shape, dtype, SEED + 1)}, {"out": output(shape, w.dtype)})


def with_norm(shape: Shape, dtype: str) -> Arrays:
    w = weights(shape, dtype)
    norm = aligned(np.abs(weights(shape[-1:], "float32", SEED + 1)))
    return Arrays({"w": w, "norm": norm}, {"out": output(shape, w.dtype)})


def layers(array: Array) -> list[Array]:
    """Blocks of rows. As these follow each other in memory, a list of them is pruned to what the whole array is."""
    return np.split(array, LAYERS)


# --- NumPy -----------------------------------------------------------------------------------------------------------


def by_magnitude(a: Arrays) -> Callable[[], Array]:
    bits = as_bits(a.w)
    ranks = empty(bits.shape, bits.dtype)
    return lambda: np.bitwise_and(bits, magnitude_bits(a.w.dtype), out=ranks)


def by_products(other: str) -> MakeRanks:
    """The magnitudes of products with another input, in float32 as tersor has them."""

    def make(a: Arrays) -> Callable[[], Array]:
        ranks = empty(a.w.shape, np.float32)

        def products() -> Array:
            np.copyto(ranks, a.w)
            return np.abs(np.multiply(ranks, a.inputs[other], out=ranks), out=ranks)

        return products

    return make


def by_scores(a: Arrays) -> Callable[[], Array]:
    return lambda: a.scores


def by_chance(a: Arrays) -> Callable[[], Array]:
    generator, ranks = np.random.default_rng(SEED), empty(a.w.shape, np.float32)
    return lambda: generator.random(dtype=np.float32, out=ranks)


def numpy_keep(make_ranks: MakeRanks, a: Arrays, axis: int | None) -> Callable[[], Array]:
    """A function that gives the mask, in the same memory every time."""
    ranks_of, keep = make_ranks(a), empty(a.w.shape, np.bool_)
    last = round(SPARSITY * (a.w.size if axis is None else a.w.shape[axis])) - 1

    def mask() -> Array:
        ranks = ranks_of()
        if axis is None:
            threshold = np.partition(ranks.reshape(-1), last)[last]
        else:
            threshold = np.partition(ranks, last, axis).take([last], axis)
        return np.greater(ranks, threshold, out=keep)

    return mask


def numpy_prune(make_ranks: MakeRanks, axis: int | None) -> MakeCall:
    def make(a: Arrays) -> Call:
        mask = numpy_keep(make_ranks, a, axis)
        return Call(lambda: np.multiply(as_bits(a.w), mask(), out=as_bits(a.out)))

    return make


def numpy_mask_packed(a: Arrays) -> Call:
    mask = numpy_keep(by_magnitude, a, None)

    def pack() -> None:
        a.out[...] = np.packbits(mask(), axis=-1, bitorder="little")

    return Call(pack)


# --- torch -----------------------------------------------------------------------------------------------------------


def torch_magnitude(a: Arrays) -> Callable[[], Any]:
    return as_torch(a.w).abs


def torch_layers(a: Arrays) -> Callable[[], Any]:
    """As ``torch.nn.utils.prune.global_unstructured`` joins them."""
    import torch

    pieces = [as_torch(layer) for layer in layers(a.w)]
    return lambda: torch.cat([piece.abs() for piece in pieces])


def torch_products(other: str) -> MakeRanks:
    def make(a: Arrays) -> Callable[[], Any]:
        w, factor = as_torch(a.w), as_torch(a.inputs[other])
        return lambda: (w.float() * factor.float()).abs()

    return make


def torch_scores(a: Arrays) -> Callable[[], Any]:
    scores = as_torch(a.scores)
    return lambda: scores


def torch_chance(a: Arrays) -> Callable[[], Any]:
    import torch

    return lambda: torch.rand(a.w.shape)


def torch_prune(make_ranks: MakeRanks, axis: int | None) -> MakeCall:
    def make(a: Arrays) -> Call:
        import torch

        w, out, ranks_of = as_torch(a.w), as_torch(a.out), make_ranks(a)
        k = round(SPARSITY * (a.w.size if axis is None else a.w.shape[axis]))

        def prune() -> None:
            ranks = ranks_of()
            if axis is None:
                threshold = torch.kthvalue(ranks.reshape(-1), k)[0]
            else:
                threshold = torch.kthvalue(ranks, k, axis, keepdim=True)[0]
            torch.mul(w, ranks > threshold, out=out)

        return Call(prune)

    return make


# --- the table -------------------------------------------------------------------------------------------------------

LARGER = {size: SIZES[size] for size in (MEDIUM, LARGE)}
AXES = {"row": -1, "column": 0}


def row(
    name: str,
    scores: Callable[[Arrays], Array],
    tersor: MakeCall,
    by: MakeRanks,
    torch_by: MakeRanks,
    *,
    scope: str = "tensor",
    dtype: str = "float32",
    arrays: Callable[[Shape, str], Arrays] = with_output,
    read_before: tuple[str, ...] = (),
    goal: Goal | None = None,
) -> Operation:
    """An operation that removes the half of the lowest scores; ``by`` and ``torch_by`` are these as others compute them."""
    axis = AXES.get(scope)
    return Operation(
        family="prune",
        name=name,
        variant={"tensor": "50 %", "global": "50 % of a list"}.get(scope, f"50 % of {scope}s"),
        dtype=dtype,
        arrays=arrays,
        sizes=LARGER,
        expected=lambda a: (reference.apply_mask(a.w, reference.mask_ranked(scores(a), SPARSITY, axis)),),
        tersor=tersor,
        numpy=numpy_prune(by, axis),
        peers={"torch kthvalue": torch_prune(torch_by, axis)},
        unchecked=frozenset({"numpy", "torch kthvalue"}),
        read_before=read_before,
        # A row of w depends on no other.
        whole=scope != "row",
        goals={} if goal is None else {LARGE: goal},
    )


def magnitude_row(scope: str, dtype: str = "float32", goal: Goal | None = None) -> Operation:
    return row(
        "prune_magnitude",
        lambda a: np.abs(a.w),
        lambda a: Call(tersor.prune_magnitude, a.w, SPARSITY, scope=scope, out=a.out),
        by_magnitude,
        torch_magnitude,
        scope=scope,
        dtype=dtype,
        # Rows and columns can be ranked and pruned while they are in a cache.
        read_before=("w",) if scope == "tensor" else (),
        goal=goal,
    )


def product_row(name: str, other: str, scope: str, dtype: str) -> Operation:
    call = getattr(tersor, name)
    return row(
        name,
        lambda a: reference.product_scores(a.w, a.inputs[other]),
        lambda a: Call(call, a.w, a.inputs[other], SPARSITY, scope=scope, out=a.out),
        by_products(other),
        torch_products(other),
        scope=scope,
        dtype=dtype,
        arrays={"gradient": with_gradient, "norm": with_norm}[other],
        read_before=("w", other) if scope == "tensor" else (),
    )


OPERATIONS = [
    magnitude_row("tensor", "float32", floor(1.8)),
    magnitude_row("tensor", "bfloat16", floor(1.8)),
    magnitude_row("row"),
    magnitude_row("column"),
    row(
        "prune_magnitude",
        lambda a: np.abs(a.w),
        lambda a: Call(tersor.prune_magnitude, layers(a.w), SPARSITY, scope="global", out=layers(a.out)),
        by_magnitude,
        torch_layers,
        scope="global",
        read_before=("w",),
    ),
    Operation(
        family="prune",
        name="mask_magnitude",
        variant="50 % packed",
        arrays=with_bits_output,
        sizes=LARGER,
        expected=lambda a: (reference.pack_mask(reference.mask_magnitude(a.w, SPARSITY)),),
        tersor=lambda a: Call(tersor.mask_magnitude, a.w, SPARSITY, packed=True, out=a.out),
        numpy=numpy_mask_packed,
        unchecked=frozenset({"numpy"}),
        read_before=("w",),
        whole=True,
    ),
    product_row("prune_taylor", "gradient", "tensor", "float32"),
    product_row("prune_taylor", "gradient", "tensor", "bfloat16"),
    product_row("prune_wanda", "norm", "row", "float32"),
    product_row("prune_wanda", "norm", "row", "bfloat16"),
    row(
        "prune_scores",
        lambda a: a.scores,
        lambda a: Call(tersor.prune_scores, a.w, a.scores, SPARSITY, out=a.out),
        by_scores,
        torch_scores,
        arrays=with_scores,
        read_before=("scores",),
    ),
    row(
        "prune_random",
        lambda a: reference.random_scores(a.w.shape, SEED),
        lambda a: Call(tersor.prune_random, a.w, SPARSITY, seed=SEED, out=a.out),
        by_chance,
        torch_chance,
    ),
]
