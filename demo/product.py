"""What sparsity buys when a weight is used: products with a large one, dense and as it is stored."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from statistics import median

import numpy as np
import tersor
import torch

from demo.checks import require
from demo.sparse import Pattern, patterns
from demo.timing import TimedOperations

# A projection of Llama 2 7B: 180 MB, more than any cache that is common.
SHAPE = (4096, 11008)
SCALE = 0.02
BATCHES = (1, 8)
# Taken in turns, so that 360 MB of dense weights pass between two readings of the same stored one.
WEIGHTS = 2
ROUNDS = 6
TRIALS = 3
# For torch's threads, which go on spinning after a product, on the cores that the next one needs.
PAUSE_SECONDS = 0.005
UNITS_SHARE = 0.5
CHECKED_ROWS = slice(None, None, 16)


@dataclass(frozen=True)
class Product:
    """``batch`` rows times one weight. The dense one has its zeros in place; ``threads`` are those of torch."""

    method: str
    batch: int
    dense_bytes: int
    stored_bytes: int
    dense_seconds: float
    stored_seconds: float
    threads: int

    @property
    def speedup(self) -> float:
        """How many times as fast the product with the stored weight is."""
        return self.dense_seconds / self.stored_seconds


@dataclass(frozen=True)
class Stored:
    """A weight as its method leaves it: dense, stored, and the product of each with an input."""

    dense: torch.Tensor
    nbytes: int
    multiply_dense: Callable[[torch.Tensor], torch.Tensor]
    multiply_stored: Callable[[torch.Tensor], torch.Tensor]


def random_weights() -> list[torch.Tensor]:
    """Normally distributed, as trained weights nearly are; the time depends on where the zeros are alone."""
    generator = torch.Generator().manual_seed(0)
    return [torch.empty(SHAPE).normal_(0, SCALE, generator=generator) for _ in range(WEIGHTS)]


def in_bitmask(pattern: Pattern, weight: torch.Tensor) -> Stored:
    """Pruned, and multiplied as compressed."""
    pruned = pattern.prune(TimedOperations(tersor), weight)
    compressed = tersor.compress_bitmask(pruned)
    return Stored(
        pruned,
        compressed.nbytes,
        lambda x: torch.nn.functional.linear(x, pruned),
        lambda x: tersor.matmul_bitmask(x, compressed),
    )


def without_units(weight: torch.Tensor) -> Stored:
    """Half of the outputs gone, and half of the inputs with the outputs of the layer before: a smaller dense weight."""
    rows, cols = (tersor.select_units(tersor.score_units(weight, "l2", axis=axis), UNITS_SHARE) for axis in (0, 1))
    left = tersor.remove_units(tersor.remove_units(weight, rows, axis=0), cols, axis=1)
    return Stored(
        left,
        left.nbytes,
        lambda x: torch.nn.functional.linear(x, weight),
        lambda x: torch.nn.functional.linear(x[:, : left.shape[1]], left),
    )


def methods() -> dict[str, Callable[[torch.Tensor], Stored]]:
    """How a weight is stored, by name."""

    def bitmask(pattern: Pattern) -> Callable[[torch.Tensor], Stored]:
        return lambda weight: in_bitmask(pattern, weight)

    return {pattern.name: bitmask(pattern) for pattern in patterns()} | {
        f"units {UNITS_SHARE * 100:.0f} %, in and out": without_units
    }


@contextmanager
def torch_threads(count: int) -> Iterator[None]:
    """torch on so many threads."""
    usual = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(usual)


def dense_threads(weights: list[torch.Tensor]) -> dict[int, int]:
    """For each batch the number of threads, 1 or as many as tersor's, that torch's dense product is faster on.

    All of them are not always better: on a busy machine one that is late keeps the others waiting.
    """
    inputs = random_inputs()
    best = {}
    for batch in BATCHES:
        seconds = {}
        for threads in {1, tersor.get_num_threads()}:
            with torch_threads(threads):
                trials = [timed(lambda x: torch.nn.functional.linear(x, weights[0]), inputs[:batch]) for _ in range(TRIALS)]
            seconds[threads] = median(trials)
        best[batch] = min(seconds, key=lambda threads: seconds[threads])
    return best


def random_inputs() -> torch.Tensor:
    """As many rows as the largest batch has."""
    return torch.empty(max(BATCHES), SHAPE[1]).normal_(generator=torch.Generator().manual_seed(1))


def measure_products(method: str, weights: list[torch.Tensor], threads: dict[int, int]) -> list[Product]:
    """One for each batch. Dense and stored by turns, so that a slow minute of the machine falls on both."""
    stored = [methods()[method](weight) for weight in weights]
    inputs = random_inputs()
    for each in stored:
        check_product(method, each, inputs)
    seconds: dict[tuple[int, str], list[float]] = {(batch, kind): [] for batch in BATCHES for kind in ("dense", "stored")}
    for index in range(ROUNDS + 1):
        each = stored[index % len(stored)]
        for batch in BATCHES:
            with torch_threads(threads[batch]):
                seconds[batch, "dense"].append(timed(each.multiply_dense, inputs[:batch]))
                seconds[batch, "stored"].append(timed(each.multiply_stored, inputs[:batch]))
    return [
        Product(
            method,
            batch,
            dense_bytes=weights[0].nbytes,
            stored_bytes=stored[0].nbytes,
            # The first round warms up.
            dense_seconds=median(seconds[batch, "dense"][1:]),
            stored_seconds=median(seconds[batch, "stored"][1:]),
            threads=threads[batch],
        )
        for batch in BATCHES
    ]


def timed(multiply: Callable[[torch.Tensor], torch.Tensor], inputs: torch.Tensor) -> float:
    """The seconds of one product, after a pause."""
    time.sleep(PAUSE_SECONDS)
    start = time.perf_counter()
    multiply(inputs)
    return time.perf_counter() - start


def check_product(method: str, stored: Stored, inputs: torch.Tensor) -> None:
    """Against float64, for a part of the outputs; sums of float32 may be off by a rounding for each term."""
    rows, cols = stored.dense.shape
    x = inputs[:, :cols].numpy().astype(np.float64)
    w = stored.dense.numpy()[CHECKED_ROWS].astype(np.float64)
    product = stored.multiply_stored(inputs).numpy()
    require(product.shape == (len(inputs), rows), f"{method}: the product has the shape {product.shape}")
    bound = cols * np.finfo(np.float32).eps * (np.abs(x) @ np.abs(w).T)
    error = np.abs(product[:, CHECKED_ROWS] - x @ w.T)
    require(bool((error <= bound).all()), f"{method}: the product is not what float64 gives")
