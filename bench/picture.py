"""``python -m bench.picture RESULTS.json``: one picture of a run."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import Any

from bench.cases.torch_ops import TENSORS
from bench.operation import MEDIUM, SMALL
from bench.report import SHORT_DTYPES, size
from bench.results import Row, load, title

# One marker and colour a library; the colours tell apart for colour-blind readers too (Okabe and Ito).
STYLES = {
    "numpy": ("s", "#999999"),
    "torch": ("^", "#D55E00"),
    "torch compile": ("v", "#E69F00"),
    "numba": ("D", "#56B4E9"),
    "onnxruntime": ("P", "#009E73"),
    "fbgemm": ("X", "#CC79A7"),
    "compressed-tensors": ("*", "#B8A800"),
}
TERSOR_COLOUR = "#0B3D91"
GOAL_COLOUR = "#C00000"

Value = Callable[[Row, str], float | None]


def library(name: str) -> str:
    """The library behind a peer: its calls share a marker."""
    if "compile" in name:
        return "torch compile"
    return name.split()[0]


def over_floor(row: Row, name: str) -> float | None:
    ratio: float | None = row["floor"]["ratios"].get(name)
    return ratio


def microseconds(row: Row, name: str) -> float | None:
    seconds: float | None = row["seconds"].get(name)
    return None if seconds is None else seconds * 1e6


def label(row: Row, with_size: bool) -> str:
    text = title(row)
    if with_size and row["operation"] == "softmax":
        text += f" {size(row)}"
    # float32 goes without saying, but for softmax, which stands there in both.
    if row["dtype"] == "bfloat16" or (with_size and row["operation"] == "softmax"):
        text += f" {SHORT_DTYPES[row['dtype']]}"
    return text


def goal_of(row: Row, measure: str) -> float | None:
    """Where the goal lies on the axis of a panel."""
    goal = row["goal"]
    if not goal:
        return None
    if goal["measure"] == "peer" and measure == "floor" and row["best_peer"]:
        # So many times faster than the best peer, which has a place on this axis.
        peer: float = row["floor"]["ratios"][row["best_peer"]]
        return peer / float(goal["limit"])
    return float(goal["limit"]) if goal["measure"] == measure else None


def panel(axes: Any, rows: list[Row], value: Value, measure: str, heading: str, unit: str) -> None:
    """One line a row: everything measured, on a logarithmic axis."""
    with_size = measure == "floor"
    for y, row in enumerate(rows):
        points = {name: x for name in row["seconds"] if name != "reference" and (x := value(row, name)) is not None}
        if points:
            axes.plot([min(points.values()), max(points.values())], [y, y], color="#DDDDDD", lw=1, zorder=1)
        for name, x in points.items():
            if name != "tersor":
                marker, colour = STYLES.get(library(name), ("o", "#555555"))
                axes.scatter(x, y, marker=marker, s=34, color=colour, edgecolor="white", linewidth=0.4, zorder=2)
        if "tersor" in points:
            axes.scatter(
                points["tersor"], y, marker="o", s=70, color=TERSOR_COLOUR, edgecolor="white", linewidth=0.6, zorder=4
            )
        goal = goal_of(row, measure)
        if goal is not None:
            axes.plot([goal, goal], [y - 0.38, y + 0.38], color=GOAL_COLOUR, lw=2, zorder=3)
    if measure == "floor":
        axes.axvline(1, color="black", lw=0.8, zorder=0)
    axes.set_xscale("log")
    axes.xaxis.set_major_formatter(lambda x, _: f"{x:g}")
    axes.set_yticks(range(len(rows)), [label(row, with_size) for row in rows], fontsize=8)
    axes.set_ylim(len(rows) - 0.4, -0.6)
    axes.tick_params(axis="x", labelsize=8)
    axes.grid(axis="x", color="#EEEEEE", lw=0.6)
    axes.set_axisbelow(True)
    axes.set_xlabel(unit, fontsize=9)
    axes.set_title(heading, fontsize=10, loc="left", fontweight="bold")
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)


def legend(figure: Any, rows: list[Row]) -> None:
    """Only what was measured."""
    from matplotlib.lines import Line2D

    measured = {library(name) for row in rows for name in row["seconds"]}
    entries = [Line2D([], [], marker="o", ls="", color=TERSOR_COLOUR, ms=8, label="tersor")]
    for name, (marker, colour) in STYLES.items():
        if name in measured:
            entries.append(
                Line2D([], [], marker=marker, ls="", color=colour, ms=6, label="NumPy" if name == "numpy" else name)
            )
    entries.append(Line2D([], [], marker="|", ls="", color=GOAL_COLOUR, ms=10, mew=2, label="goal of tersor"))
    figure.legend(handles=entries, loc="outside lower center", ncols=len(entries), frameon=False, fontsize=9)


def draw(run: Row, path: Path) -> None:
    """Three panels: large arrays and arrays in cache over the floor, small ones in microseconds."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    rows = run["rows"]
    small = [row for row in rows if row["size"] == SMALL and row["variant"] != TENSORS]
    medium = [row for row in rows if row["size"] == MEDIUM and row["floor"]]
    large = [row for row in rows if row["size"] not in (SMALL, MEDIUM) and row["floor"]]
    panels = [
        (large, over_floor, "floor", "4096 x 11008, or as named", "times the memory floor (logarithmic; left is faster)"),
        (medium, over_floor, "floor", "1024 x 1024, in cache", "times the cache floor (logarithmic)"),
        (small, microseconds, "microseconds", "1,024 elements", "microseconds a call (logarithmic)"),
    ]
    panels = [panel for panel in panels if panel[0]]
    if not panels:
        return
    height = 1.6 + 0.27 * max(len(chosen) for chosen, *_ in panels)
    figure, axes = plt.subplots(1, len(panels), figsize=(5.2 * len(panels), height), layout="constrained", squeeze=False)
    for one, (chosen, value, measure, heading, unit) in zip(axes[0], panels, strict=True):
        panel(one, chosen, value, measure, heading, unit)
    machine = run["machine"]
    figure.suptitle(
        f"tersor on {machine['cpu']}, {machine['threads']} threads, {machine['cpu_level']}", fontsize=11, x=0.01, ha="left"
    )
    legend(figure, rows)
    figure.savefig(path, dpi=130)
    plt.close(figure)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.picture", description=__doc__)
    parser.add_argument("results", type=Path)
    path = parser.parse_args().results
    draw(load(path), path.with_suffix(".png"))


if __name__ == "__main__":
    main()
