"""``python -m bench.harness``: measures every operation against the memory floor, NumPy and the peers installed."""

from __future__ import annotations

import argparse
import itertools
import sys
import time
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from bench import machine, results
from bench.cases import OPERATIONS, choose
from bench.measure import measure
from bench.operation import Case
from bench.probes import Probes
from bench.report import family_table, print_bandwidths, print_conclusion, print_skipped, wide_console

ROUNDS = 15


def names(text: str) -> list[str]:
    return [name for name in text.split(",") if name]


def parse(arguments: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench.harness", description=__doc__)
    parser.add_argument("--ops", type=names, default=[], help="operations or families, separated by commas")
    parser.add_argument("--sizes", type=names, default=[], help="such as 1024,1M,4096x11008,8192x1024")
    parser.add_argument("--rounds", type=int, default=ROUNDS, help="%(default)s if not given")
    parser.add_argument("--peers", action=argparse.BooleanOptionalAction, default=True, help="torch, numba, ...")
    parser.add_argument(
        "--output",
        type=Path,
        help="the JSON file; the picture goes beside it. If not given, a run of everything writes to bench/results/ "
        "under the name of the machine, and a run of a part writes nothing",
    )
    return parser.parse_args(arguments)


def run(cases: list[Case], console: Console, threads: int, rounds: int, with_peers: bool) -> list[results.Row]:
    """Measures the cases and prints the table of each family when it is complete."""
    probes = Probes(threads)
    cache_bytes = machine.last_level_cache_bytes()
    rows: list[results.Row] = []
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console, transient=True) as progress:
        task = progress.add_task("", total=len(cases))
        for family, of_family in itertools.groupby(cases, lambda case: case.operation.family):
            first = len(rows)
            for case in of_family:
                progress.update(task, description=str(case))
                rows.append(results.row(measure(case, probes, cache_bytes, rounds, with_peers)))
                progress.advance(task)
                if not console.is_terminal:
                    print(f"{case}: done", file=sys.stderr, flush=True)
            progress.console.print(family_table(family, rows[first:]))
    return rows


def main(arguments: list[str] | None = None) -> int:
    options = parse(arguments)
    console = wide_console()
    try:
        cases = choose(OPERATIONS, options.ops, options.sizes)
    except ValueError as error:
        console.print(f"error: {error}", soft_wrap=True, markup=False)
        return 2
    started = time.monotonic()
    described = machine.describe()
    console.print(
        f"{described['cpu']}, {described['cores']} cores, level {described['cpu_level']}, {described['threads']} threads; "
        f"{len(cases)} cases, {options.rounds} rounds",
        highlight=False,
        soft_wrap=True,
    )
    rows = run(cases, console, described["threads"], options.rounds, options.peers)
    print_bandwidths(console, rows)
    print_skipped(console, rows)
    output = options.output
    if output is None and not options.ops and not options.sizes and options.peers:
        output = results.FOLDER / f"{machine.slug(described)}.json"
    if output is not None:
        saved = results.save(rows, described, options.rounds, output)
        # Imported late: matplotlib takes a second, and a partial run does without.
        from bench.picture import draw

        draw(saved, output.with_suffix(".png"))
        console.print(f"wrote {output.name} and {output.with_suffix('.png').name}, {time.monotonic() - started:.0f} s")
    return 0 if print_conclusion(console, rows) else 1


if __name__ == "__main__":
    sys.exit(main())
