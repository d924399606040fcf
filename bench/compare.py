"""``python -m bench.compare OLD.json NEW.json``: what became slower.

Ratios to the floor are compared, not times: the floor was measured in the same rounds, so that a slower hour of the machine
cancels. Calls on 1,024 elements have no floor; there NumPy's time takes its place.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

from bench.report import number, size
from bench.results import Row, load, title

# Ratios of one run are stable to about this.
THRESHOLD = 0.05
COMPARABLE = ("cpu", "cores", "cpu_level", "threads")


@dataclass(frozen=True)
class Change:
    """One case in both runs."""

    name: str
    unit: str
    old: float
    new: float
    spreads_overlap: bool

    @property
    def growth(self) -> float:
        return self.new / self.old - 1


def identity(row: Row) -> tuple[str, str, str]:
    return title(row), row["dtype"], row["size"]


def value(row: Row) -> tuple[str, float, list[float]] | None:
    """What is compared, with its quartiles."""
    if row["floor"]:
        return "x floor", row["floor"]["ratio"], row["floor"]["quartiles"]
    over_numpy = row["times_longer_than_tersor"].get("numpy")
    return ("x NumPy", 1 / over_numpy, [1 / over_numpy] * 2) if over_numpy else None


def changes(old: Row, new: Row) -> Iterator[Change]:
    """Every case that both runs measured."""
    before = {identity(row): value(row) for row in old["rows"]}
    for row in new["rows"]:
        was, now = before.get(identity(row)), value(row)
        if was and now:
            overlap = was[2][0] <= now[2][1] and now[2][0] <= was[2][1]
            yield Change(f"{title(row)} {row['dtype']} {size(row)}", now[0], was[1], now[1], overlap)


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m bench.compare", description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("old", type=Path)
    parser.add_argument("new", type=Path)
    parser.add_argument("--threshold", type=float, default=THRESHOLD, help="growth that counts, %(default)s if not given")
    options = parser.parse_args(arguments)
    old, new = load(options.old), load(options.new)
    console = Console()
    for key in COMPARABLE:
        if old["machine"][key] != new["machine"][key]:
            console.print(f"different {key}: {old['machine'][key]} and {new['machine'][key]}; that alone may change ratios")
    found = sorted(changes(old, new), key=lambda change: -change.growth)
    table = Table("case", "unit", header_style="bold", box=SIMPLE_HEAD, pad_edge=False)
    for heading in ("old", "new", "change"):
        table.add_column(heading, justify="right")
    for change in found:
        table.add_row(change.name, change.unit, number(change.old), number(change.new), f"{change.growth:+.1%}")
    console.print(table)
    slower = [change for change in found if change.growth > options.threshold]
    console.print(
        f"{len(slower)} of {len(found)} cases are more than {options.threshold:.0%} slower" + (":" if slower else ".")
    )
    for change in slower:
        doubt = " (the spreads of both runs overlap: run again)" if change.spreads_overlap else ""
        console.print(f"  {change.name}: {number(change.old)} -> {number(change.new)} {change.unit}{doubt}", highlight=False)
    return 1 if slower else 0


if __name__ == "__main__":
    sys.exit(main())
