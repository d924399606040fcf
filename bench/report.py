"""What a run prints: a table for each family, and at the end what fell short."""

from __future__ import annotations

import statistics
from collections import defaultdict

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

from bench.operation import SMALL
from bench.results import Row, title

# Slower than the best peer by less than this is a draw.
CLEARLY_BEHIND = 0.95
TABLE_WIDTH = 140
SHORT_DTYPES = {"float32": "f32", "bfloat16": "bf16"}


def wide_console() -> Console:
    """The terminal, or where there is none a width that the tables fit; rich would assume 80."""
    console = Console()
    return console if console.is_terminal else Console(width=TABLE_WIDTH)


def duration(seconds: float | None) -> str:
    """In the unit that fits."""
    if seconds is None:
        return "-"
    if seconds < 1e-5:
        return f"{seconds * 1e6:.2f} us"
    return f"{seconds * 1e6:.1f} us" if seconds < 1e-3 else f"{seconds * 1e3:.2f} ms"


def number(value: float | None) -> str:
    """Three digits at most."""
    if value is None:
        return "-"
    return f"{value:.2f}" if value < 9.95 else f"{value:.0f}"


def size(built: Row) -> str:
    """The size for readers."""
    name: str = built["size"]
    return "1,024" if name == SMALL else name.replace("x", " x ")


def heading_table(heading: str) -> Table:
    """A table under a heading of its own."""
    return Table(
        title=heading, title_justify="left", title_style="bold", header_style="bold", box=SIMPLE_HEAD, padding=(0, 1, 0, 0)
    )


def family_table(family: str, rows: list[Row]) -> Table:
    """One line for each case."""
    table = heading_table(family)
    table.add_column("operation", no_wrap=True)
    for heading in ("size", "dtype"):
        table.add_column(heading, no_wrap=True)
    for heading in ("tersor", "GB/s", "x floor", "NumPy/tersor"):
        table.add_column(heading, justify="right", no_wrap=True)
    table.add_column("best peer", no_wrap=True)
    table.add_column("peer/tersor", justify="right", no_wrap=True)
    table.add_column("goal", no_wrap=True)
    table.add_column("met", no_wrap=True)
    for built in rows:
        longer, peer, floor, goal = built["times_longer_than_tersor"], built["best_peer"], built["floor"], built["goal"]
        table.add_row(
            title(built),
            size(built),
            SHORT_DTYPES.get(built["dtype"], built["dtype"]),
            duration(built["seconds"].get("tersor")),
            number(built["gigabytes_per_second"]) if floor else "-",
            number(floor["ratio"]) if floor else "-",
            number(longer.get("numpy")),
            peer or "-",
            number(longer.get(peer)),
            goal["text"] if goal else "-",
            "-" if not goal or goal["value"] is None else "[green]yes[/]" if goal["met"] else "[bold red]no[/]",
        )
    return table


def print_bandwidths(console: Console, rows: list[Row]) -> None:
    """What the probes reached, so that a reader can judge the machine and its calm."""
    found: dict[tuple[str, str], list[float]] = defaultdict(list)
    for built in rows:
        for probe, bandwidth in built["probe_gigabytes_per_second"].items():
            found["in cache" if built["in_cache"] else "in DRAM", probe].append(bandwidth)
    if not found:
        return
    table = heading_table("bandwidth of the probes, GB/s")
    table.add_column("where")
    table.add_column("probe")
    for heading in ("lowest row", "median", "highest row"):
        table.add_column(heading, justify="right")
    for (where, probe), bandwidths in found.items():
        values = min(bandwidths), statistics.median(bandwidths), max(bandwidths)
        table.add_row(where, probe, *(f"{value:.1f}" for value in values))
    console.print(table)


def print_skipped(console: Console, rows: list[Row]) -> None:
    """Each reason once, with the operations it concerns."""
    reasons: dict[tuple[str, str], list[str]] = defaultdict(list)
    for built in rows:
        for name, reason in built["skipped"].items():
            reasons[name, reason].append(f"{title(built)} {size(built)}")
    for (name, reason), where in reasons.items():
        places = ", ".join(where) if len(where) <= 3 else f"{len(where)} rows"
        console.print(f"skipped {name} ({places}): {reason}", markup=False, highlight=False, soft_wrap=True)


def print_conclusion(console: Console, rows: list[Row]) -> bool:
    """The lists at the end. Returns whether tersor ran everywhere and gave the right results."""
    console.print()
    wrong = [f"{title(built)} {size(built)}: {', '.join(built['wrong'])}" for built in rows if built["wrong"]]
    absent = [
        f"{title(built)} {size(built)}: {built['skipped']['tersor']}" for built in rows if "tersor" in built["skipped"]
    ]
    behind = [
        f"{title(built)} {built['dtype']} {size(built)}: {built['best_peer']} takes {number(ratio)} of tersor's time"
        for built in rows
        if (ratio := built["times_longer_than_tersor"].get(built["best_peer"])) is not None and ratio < CLEARLY_BEHIND
    ]
    short = [
        f"{title(built)} {built['dtype']} {size(built)}: {number(built['goal']['value'])}, goal {built['goal']['text']}"
        for built in rows
        if built["goal"] and not built["goal"]["met"] and built["goal"]["value"] is not None
    ]
    with_goal = sum(1 for built in rows if built["goal"])
    for heading, lines in (
        ("Results that differ from tersor.reference", wrong),
        ("tersor could not be measured", absent),
        ("Slower than the best peer", behind),
        (f"Short of the goal, {len(short)} of {with_goal} rows that have one", short),
    ):
        if lines or lines is short:
            console.print(f"{heading}:" if lines else f"{heading}.", style="bold")
            for line in lines:
                console.print(f"  {line}", markup=False, highlight=False, soft_wrap=True)
    return not absent and not any("tersor" in built["wrong"] for built in rows)
