"""``python -m bench.memory``: how much memory selection and pruning take beyond their operands.

Each case runs in a process of its own, on operands that were written before, and after a call on others that starts the
threads. What the kernel then records as the peak (``VmHWM``), less what was resident before the call, is what the call took.
With ``--large`` it prunes 10**9 elements in place, and checks every one.
"""

from __future__ import annotations

import argparse
import ctypes
import json
import re
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import tersor
from rich.console import Console

from bench import machine, results
from bench.operands import SEED, empty, output, weights
from bench.operation import LARGE, SIZES, Array
from bench.report import duration, heading_table, wide_console

SPARSITY = 0.5
MIB, GIB = 2**20, 2**30
# In place: so much beyond the array.
GOAL_BYTES = 2 * MIB
LARGE_ELEMENTS = 10**9
# Of a process that prunes so many, all in all.
LARGE_GOAL_BYTES = 12 * GIB
# Twice the array, so that a miss of the goal does not end other processes.
LARGE_FREE_BYTES = 8 * GIB
# Elements filled and checked at a time.
CHUNK = 1 << 24


@dataclass(frozen=True)
class Subject:
    """A call whose memory is measured. NumPy's way to the same end stands beside it."""

    call: Callable[[Array, Array], Any]  # of w and out
    numpy: Callable[[Array, Array], Any]
    has_out: bool = False
    goal: int | None = None


def numpy_kth(w: Array, out: Array) -> Any:
    return np.partition(np.abs(w).reshape(-1), w.size // 2 - 1)[w.size // 2 - 1]


def numpy_prune(w: Array, out: Array) -> Any:
    magnitude = np.abs(w)
    threshold = np.partition(magnitude.reshape(-1), w.size // 2 - 1)[w.size // 2 - 1]
    return np.multiply(w, magnitude > threshold, out=out)


def numpy_nm(w: Array, out: Array) -> Any:
    groups = np.abs(w).reshape(-1, 4)
    smaller = np.argpartition(groups, 1, axis=1)[:, :2]
    np.put_along_axis(out.reshape(-1, 4), smaller, 0, axis=1)
    return out


SUBJECTS = {
    "kth_magnitude": Subject(lambda w, _: tersor.kth_magnitude(w, w.size // 2), numpy_kth),
    "quantile": Subject(lambda w, _: tersor.quantile(w, 0.9), lambda w, _: np.quantile(w, 0.9)),
    "prune_magnitude in place": Subject(
        lambda w, _: tersor.prune_magnitude(w, SPARSITY, out=w), lambda w, _: numpy_prune(w, w), goal=GOAL_BYTES
    ),
    "prune_magnitude out=": Subject(lambda w, out: tersor.prune_magnitude(w, SPARSITY, out=out), numpy_prune, has_out=True),
    "prune_nm 2:4 in place": Subject(
        lambda w, _: tersor.prune_nm(w, 2, 4, out=w), lambda w, _: numpy_nm(w, w), goal=GOAL_BYTES
    ),
}


# --- inside the process that is measured -------------------------------------------------------------------------------


def status_bytes(field: str) -> int:
    """A line of /proc/self/status, such as VmRSS and VmHWM."""
    found = re.search(rf"^{field}:\s*(\d+) kB$", Path("/proc/self/status").read_text(), re.MULTILINE)
    if not found:
        raise RuntimeError(f"/proc/self/status has no {field}: this needs Linux")
    return int(found[1]) * 1024


def forget_peak() -> None:
    """Makes what is resident now the peak: 5 does that, see proc_pid_clear_refs(5).

    What malloc keeps of freed memory goes back first: a call served from that would seem to take nothing.
    """
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)  # glibc's alone
    if trim:
        trim(0)
    Path("/proc/self/clear_refs").write_text("5")


def operands(subject: Subject) -> tuple[Array, Array]:
    """w and out, the same array where the subject works in place."""
    w = weights(SIZES[LARGE], "float32")
    return w, output(w.shape, w.dtype) if subject.has_out else w


def taken(call: Callable[[Array, Array], Any], w: Array, out: Array) -> results.Row:
    """The peak beyond what is resident before the call."""
    forget_peak()
    before = status_bytes("VmRSS")
    start = time.perf_counter()
    call(w, out)
    seconds = time.perf_counter() - start
    peak = status_bytes("VmHWM")
    return {"bytes_before": before, "bytes_beyond_operands": max(0, peak - before), "seconds": seconds}


def measure(name: str, library: str) -> results.Row:
    subject = SUBJECTS[name]
    call = subject.call if library == "tersor" else subject.numpy
    # Once on others: pages of code, and the threads with their stacks, come and stay.
    call(*operands(subject))
    return taken(call, *operands(subject))


def original(first: int, size: int) -> Array:
    """A stretch of the large array, as it was filled."""
    return np.random.default_rng((SEED, first)).standard_normal(size, np.float32)


def prune_large() -> results.Row:
    """Prunes 10**9 elements in place, and compares each with what it was."""
    w = empty((LARGE_ELEMENTS,), np.float32)
    starts = range(0, w.size, CHUNK)
    for first in starts:
        part = w[first : first + CHUNK]
        part[...] = original(first, part.size)
    subject = SUBJECTS["prune_magnitude in place"]
    subject.call(*operands(subject))
    measured = taken(subject.call, w, w)
    peak = status_bytes("VmHWM")
    removed, largest_removed, least_kept, unchanged = 0, 0.0, np.inf, True
    for first in starts:
        part = w[first : first + CHUNK]
        was = original(first, part.size)
        kept = part != 0
        removed += part.size - int(np.count_nonzero(kept))
        unchanged &= bool((part[kept] == was[kept]).all())
        magnitude = np.abs(was)
        largest_removed = max(largest_removed, float(magnitude[~kept].max(initial=0)))
        least_kept = min(least_kept, float(magnitude[kept].min(initial=np.inf)))
    right = removed == round(SPARSITY * w.size) and unchanged and largest_removed <= least_kept
    return {**measured, "bytes_peak": peak, "elements": w.size, "removed": removed, "right": right}


# --- outside -----------------------------------------------------------------------------------------------------------


def in_child(*arguments: str) -> results.Row:
    """What a process of its own measured."""
    command = [sys.executable, "-m", "bench.memory", "--child", *arguments]
    answer = subprocess.run(command, check=True, capture_output=True, text=True, cwd=Path(__file__).parent.parent)
    row: results.Row = json.loads(answer.stdout)
    return row


def rows_of_subjects() -> list[results.Row]:
    built = []
    for name, subject in SUBJECTS.items():
        row = {"operation": name, "size": LARGE, "dtype": "float32", **in_child("tersor", name)}
        row["numpy_bytes_beyond_operands"] = in_child("numpy", name)["bytes_beyond_operands"]
        row["goal_bytes"] = subject.goal
        row["met"] = None if subject.goal is None else row["bytes_beyond_operands"] < subject.goal
        built.append(row)
    return built


def mark(met: bool | None) -> str:
    return "-" if met is None else "[green]yes[/]" if met else "[bold red]no[/]"


def print_subjects(console: Console, built: list[results.Row], threads: int) -> None:
    table = heading_table(f"peak memory beyond the operands, MiB; {LARGE.replace('x', ' x ')} float32, {threads} threads")
    table.add_column("operation")
    for heading in ("tersor", "NumPy"):
        table.add_column(heading, justify="right")
    table.add_column("goal")
    table.add_column("met")
    for row in built:
        amounts = [f"{row[key] / MIB:.2f}" for key in ("bytes_beyond_operands", "numpy_bytes_beyond_operands")]
        goal = f"< {row['goal_bytes'] / MIB:g}" if row["goal_bytes"] else "-"
        table.add_row(row["operation"], *amounts, goal, mark(row["met"]))
    console.print(table)


def print_large(console: Console, row: results.Row, threads: int) -> None:
    table = heading_table(f"prune_magnitude in place, {row['elements']:,} float32, {threads} threads")
    table.add_column("what")
    table.add_column("", justify="right")
    table.add_row("peak of the process", f"{row['bytes_peak'] / GIB:.2f} GiB")
    table.add_row("beyond the array", f"{row['bytes_beyond_operands'] / MIB:.2f} MiB")
    table.add_row("time", duration(row["seconds"]))
    table.add_row("removed", f"{row['removed']:,}")
    table.add_row("exactly those of least magnitude", mark(row["right"]))
    table.add_row(f"below {LARGE_GOAL_BYTES // GIB} GiB", mark(row["met"]))
    console.print(table)


def available_bytes() -> int:
    found = re.search(r"^MemAvailable:\s*(\d+) kB$", Path("/proc/meminfo").read_text(), re.MULTILINE)
    return int(found[1]) * 1024 if found else 0


def run_large(console: Console, threads: int) -> list[results.Row]:
    if available_bytes() < LARGE_FREE_BYTES:
        console.print(f"error: {LARGE_FREE_BYTES // GIB} GiB must be free")
        return []
    row = in_child("large")
    row = {"operation": "prune_magnitude in place", "size": "1e9", "dtype": "float32", **row}
    row |= {"goal_bytes": LARGE_GOAL_BYTES, "met": row["bytes_peak"] < LARGE_GOAL_BYTES}
    print_large(console, row, threads)
    return [row]


def parse(arguments: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench.memory", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--large", action="store_true", help="prune 10**9 elements in place instead; 8 GiB must be free")
    parser.add_argument(
        "--output", type=Path, help="the JSON file; bench/results/<machine>-memory.json if not given, or -memory-large.json"
    )
    parser.add_argument("--child", nargs="+", help=argparse.SUPPRESS)
    return parser.parse_args(arguments)


def main(arguments: list[str] | None = None) -> int:
    """The exit status is 1 where memory is short or a result wrong, 0 where a goal is missed, as in ``bench.harness``."""
    options = parse(arguments)
    if options.child:
        library, *names = options.child
        print(json.dumps(prune_large() if library == "large" else measure(names[0], library)))
        return 0
    console, described = wide_console(), machine.describe()
    if options.large:
        built = run_large(console, described["threads"])
    else:
        built = rows_of_subjects()
        print_subjects(console, built, described["threads"])
    if not built:
        return 1
    kind = "memory-large" if options.large else "memory"
    path = options.output or results.FOLDER / f"{machine.slug(described)}-{kind}.json"
    results.save(built, described, 1, path)
    console.print(f"wrote {path.name}")
    return 0 if all(row.get("right", True) for row in built) else 1


if __name__ == "__main__":
    sys.exit(main())
