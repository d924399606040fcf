"""``python -m bench.adversarial``: whether selection is as quick on awkward data as on random data.

A selection that splits by samples, or by digits, may degenerate where elements are equal, in order, or alike in their upper
bits. Each round takes every input in turn, random numbers first; what counts is the ratio to these within the round.
"""

from __future__ import annotations

import argparse
import statistics
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import tersor
from rich.console import Console
from tersor import reference

from bench import machine, results
from bench.measure import Contender
from bench.operands import SEED, WEIGHT_SCALE, aligned, empty, output
from bench.operation import LARGE, MEDIUM, SIZES, Array, Call, Shape
from bench.report import duration, heading_table, number, wide_console

ROUNDS = 15
SPARSITY = 0.5
# No input may take so many times longer than random numbers.
LIMIT = 2.0
RANDOM = "random"


# --- inputs ----------------------------------------------------------------------------------------------------------


def random(shape: Shape) -> Array:
    """Normally distributed; unlike ``bench.operands.weights`` it repeats nothing."""
    w = empty(shape, np.float32)
    np.random.default_rng(SEED).standard_normal(dtype=np.float32, out=w)
    return np.multiply(w, np.float32(WEIGHT_SCALE), out=w)


def equal(shape: Shape, value: float) -> Array:
    w = empty(shape, np.float32)
    w.fill(value)
    return w


def in_order(shape: Shape) -> Array:
    """By magnitude, which is what counts."""
    return aligned(np.sort(np.abs(random(shape)).reshape(-1)).reshape(shape))


def reversed_order(shape: Shape) -> Array:
    return aligned(in_order(shape).reshape(-1)[::-1].reshape(shape))


def denormal(shape: Shape) -> Array:
    """Every one of them, of both signs: processors take a hundred cycles for one where arithmetic touches it."""
    bits = np.random.default_rng(SEED).integers(1, 1 << 23, shape, np.uint32)
    bits |= np.random.default_rng(SEED + 1).integers(0, 2, shape, np.uint32) << np.uint32(31)
    return aligned(bits.view(np.float32))


def with_nan(shape: Shape) -> Array:
    w = random(shape)
    w[np.random.default_rng(SEED + 1).random(shape, np.float32) < 0.1] = np.nan
    return w


def one_bin(shape: Shape) -> Array:
    """Alike in the exponent and the upper eleven bits of the mantissa: a radix select of 20 bits sees one digit."""
    upper = np.float32(WEIGHT_SCALE).view(np.uint32) & np.uint32(0xFFFFF000)
    return aligned((upper | np.random.default_rng(SEED).integers(0, 1 << 12, shape, np.uint32)).view(np.float32))


INPUTS: Mapping[str, Callable[[Shape], Array]] = {
    RANDOM: random,
    "all zero": lambda shape: equal(shape, 0.0),
    "all equal": lambda shape: equal(shape, WEIGHT_SCALE),
    "in order": in_order,
    "in reverse order": reversed_order,
    "denormal": denormal,
    "10 % NaN": with_nan,
    "one radix bin": one_bin,
}


# --- operations ------------------------------------------------------------------------------------------------------


def kth_magnitude(w: Array, out: Array) -> Call:
    return Call(tersor.kth_magnitude, w, w.size // 2)


def prune_magnitude(w: Array, out: Array) -> Call:
    return Call(tersor.prune_magnitude, w, SPARSITY, out=out)


def expected_kth_magnitude(w: Array) -> Any:
    return reference.kth_magnitude(w, w.size // 2)


def expected_prune_magnitude(w: Array) -> Any:
    return reference.prune_magnitude(w, SPARSITY)


OPERATIONS = {
    "kth_magnitude": (kth_magnitude, expected_kth_magnitude),
    "prune_magnitude": (prune_magnitude, expected_prune_magnitude),
}


# --- a run -----------------------------------------------------------------------------------------------------------


def is_right(name: str, w: Array, out: Array) -> bool:
    """Whether an operation gives the result of the specification for one input."""
    make, expected = OPERATIONS[name]
    return np.array_equal(make(w, out)(), expected(w), equal_nan=True)


def measure(name: str, inputs: Mapping[str, Array], out: Array, rounds: int) -> dict[str, list[float]]:
    """Seconds of each round for each input. As the inputs take turns, none finds its own in a cache."""
    contenders = [Contender(label, [OPERATIONS[name][0](w, out).timer()], 1, 1) for label, w in inputs.items()]
    seconds: dict[str, list[float]] = {contender.name: [] for contender in contenders}
    for _ in range(rounds):
        for contender in contenders:
            seconds[contender.name].append(contender.sample(warm=False))
    return seconds


def rows(name: str, seconds: Mapping[str, list[float]], wrong: set[tuple[str, str]]) -> list[results.Row]:
    built = []
    for label, times in seconds.items():
        ratio = statistics.median(time / base for time, base in zip(times, seconds[RANDOM], strict=True))
        built.append(
            {
                "operation": name,
                "input": label,
                "seconds": statistics.median(times),
                "ratio_to_random": ratio,
                "met": round(ratio, 2) <= LIMIT,
                "right": (name, label) not in wrong,
            }
        )
    return built


def print_rows(console: Console, size: str, built: list[results.Row]) -> None:
    table = heading_table(f"selection of float32, {size.replace('x', ' x ')}")
    table.add_column("operation")
    table.add_column("input")
    table.add_column("tersor", justify="right")
    table.add_column("x random", justify="right")
    table.add_column(f"<= {LIMIT:g}")
    for row in built:
        met = "[green]yes[/]" if row["met"] else "[bold red]no[/]"
        state = met if row["right"] else "[bold red]wrong result[/]"
        table.add_row(row["operation"], row["input"], duration(row["seconds"]), number(row["ratio_to_random"]), state)
    console.print(table)


def parse(arguments: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench.adversarial", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--size", choices=(MEDIUM, LARGE), default=LARGE, help="%(default)s if not given")
    parser.add_argument("--rounds", type=int, default=ROUNDS, help="%(default)s if not given")
    parser.add_argument("--output", type=Path, help="the JSON file; bench/results/<machine>-adversarial.json if not given")
    return parser.parse_args(arguments)


def main(arguments: list[str] | None = None) -> int:
    """The exit status is 1 where a result is wrong, as that of ``bench.harness``."""
    options = parse(arguments)
    console = wide_console()
    described = machine.describe()
    shape = SIZES[options.size]
    inputs, out = {label: make(shape) for label, make in INPUTS.items()}, output(shape, np.float32)
    wrong = {(name, label) for name in OPERATIONS for label, w in inputs.items() if not is_right(name, w, out)}
    built = [row for name in OPERATIONS for row in rows(name, measure(name, inputs, out, options.rounds), wrong)]
    print_rows(console, options.size, built)
    path = options.output or results.FOLDER / f"{machine.slug(described)}-adversarial.json"
    results.save(built, described, options.rounds, path)
    console.print(f"wrote {path.name}")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
