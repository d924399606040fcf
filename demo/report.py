"""The table, on the screen and as JSON."""

from __future__ import annotations

import dataclasses
import json
import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

from demo.checks import require
from demo.machine import Machine
from demo.measure import Row
from demo.sentences import NEIGHBOURS
from demo.temperature import STUDENT_IMAGES, STUDENT_WIDTHS, Calibration, Students

OPERATIONS = (
    "prune_threshold",
    "mask_threshold",
    "apply_mask",
    "count_nonzero",
    "sparsity",
    "pack_mask",
    "unpack_mask",
    "round_fixed",
    "quantize_int8",
    "dequantize_int8",
    "pack_int4",
    "unpack_int4",
    "softmax",
)
NOTHING = "-"


@dataclass(frozen=True)
class OperationTime:
    """The seconds of one operation over all methods that use it."""

    name: str
    numpy: float
    tersor: float

    @property
    def speedup(self) -> float:
        """How many times as fast tersor is."""
        return self.numpy / self.tersor


@dataclass(frozen=True)
class Report:
    """All that was measured."""

    machine: Machine
    rows: dict[str, list[Row]]
    calibrations: list[Calibration]
    students: list[Students]


def operation_times(rows: Iterable[Row]) -> list[OperationTime]:
    """In the order of the reference. Every operation must have run: the table says that each was used."""
    timings = [row.timing for row in rows if row.timing is not None]
    times = []
    for name in OPERATIONS:
        numpy = sum(timing.numpy_operations.get(name, 0.0) for timing in timings)
        tersor = sum(timing.tersor_operations.get(name, 0.0) for timing in timings)
        require(tersor > 0, f"no method used {name}")
        times.append(OperationTime(name, numpy, tersor))
    return times


def print_table(console: Console, report: Report) -> None:
    """At its natural width: rich would cut letters off; a terminal that is too narrow folds the lines."""
    printed = table(report)
    console.width = max(console.width, printed.__rich_measure__(console, console.options.update(width=1000)).maximum)
    console.print(printed)
    console.print(caption(report), markup=False)


def table(report: Report) -> Table:
    """One section for each model's methods, then one for each model's operations."""
    result = Table(box=SIMPLE_HEAD, pad_edge=False)
    result.add_column("Method", no_wrap=True)
    for heading in ("On disk", "Sparsity", "Accuracy", "Cosine", "Agreement", "NumPy", "tersor", "Speed-up"):
        result.add_column(heading, justify="right", no_wrap=True)
    for model, rows in report.rows.items():
        result.add_row(f"[bold]{model}[/bold]")
        for row in rows:
            result.add_row(*method_cells(row))
        result.add_section()
    for model, rows in report.rows.items():
        result.add_row(f"[bold]operations, {model}[/bold]")
        for time in operation_times(rows):
            result.add_row(f"  {time.name}", *[""] * 5, *time_cells(time.numpy, time.tersor))
        result.add_section()
    return result


def method_cells(row: Row) -> list[str]:
    """The cells of a method."""
    times = [NOTHING] * 3 if row.timing is None else time_cells(row.timing.numpy, row.timing.tersor)
    return [
        f"  {row.method}",
        size(row.size_bytes),
        f"{row.sparsity:.1%}",
        f"{row.quality.accuracy:.1%}",
        f"{row.quality.cosine:.4f}",
        f"{row.quality.agreement:.1%}",
        *times,
    ]


def time_cells(numpy: float, tersor: float) -> list[str]:
    """The cells of two durations."""
    return [duration(numpy), duration(tersor), f"{three_digits(numpy / tersor)} x"]


def size(count: int) -> str:
    """Decimal units, as disks are sold."""
    return f"{count / 1e6:.1f} MB" if count >= 1e6 else f"{count / 1e3:.1f} kB"


def duration(seconds: float) -> str:
    """To three digits: the clock's noise is larger than a fourth."""
    return f"{three_digits(seconds * 1e3)} ms" if seconds >= 1e-3 else f"{three_digits(seconds * 1e6)} µs"


def three_digits(value: float) -> str:
    """Without an exponent, for the sizes that occur."""
    return f"{value:.0f}" if value >= 100 else f"{value:.1f}" if value >= 10 else f"{value:.2f}"


def caption(report: Report) -> str:
    """What the columns mean, what was timed and where: a paragraph each."""
    rounds = [row.timing.rounds for rows in report.rows.values() for row in rows if row.timing is not None]
    return "\n".join(
        [
            "On disk: one safetensors file that holds the whole model; it is read back, and what was read is put to "
            "use. Sparsity: zeros among the decoded weights, each of which equals what plain NumPy gives.",
            "Accuracy: test images named rightly; sentences nearer to their own paraphrase than to any other. Cosine: "
            "outputs before and after (class probabilities; embeddings). Agreement: same digit as the original names; "
            f"neighbours (the {NEIGHBOURS} nearest sentences of each) that stay neighbours.",
            f"Students: networks of {'-'.join(map(str, STUDENT_WIDTHS))} units, taught on {STUDENT_IMAGES} images with "
            "softmax(the classifier's logits / T) for targets; means of "
            f"{len(report.students[0].accuracies)} seeds. T = 0 is the bare decision.",
            "Times: the operations alone, not the file nor what is done between them, to encode and decode every "
            "weight once (students: the targets; attention: all sentences). NumPy and tersor by turns, medians of "
            f"{min(rounds)} to {max(rounds)} rounds, warm, outputs used again (NumPy always makes bits, and what it "
            "unpacks from them, anew). The lower part sums each operation's time over the methods above.",
            f"Machine: {report.machine}.",
        ]
    )


def write_json(report: Report, path: Path) -> None:
    """The same figures unrounded. Sizes are in bytes, times in seconds; complete or not there at all."""
    content: dict[str, Any] = {
        "machine": dataclasses.asdict(report.machine),
        "caption": caption(report),
        "methods": [row_content(row) for rows in report.rows.values() for row in rows],
        "operations": [
            {"model": model, **dataclasses.asdict(time), "speedup": time.speedup}
            for model, rows in report.rows.items()
            for time in operation_times(rows)
        ],
        "calibration": [dataclasses.asdict(calibration) for calibration in report.calibrations],
        "students": [
            {"temperature": students.temperature, "accuracies": students.accuracies} for students in report.students
        ],
    }
    partial = path.with_name(path.name + ".partial")
    partial.write_text(json.dumps(content, indent=1, ensure_ascii=False, allow_nan=False) + "\n", encoding="utf-8")
    os.replace(partial, path)


def row_content(row: Row) -> dict[str, Any]:
    """A row as JSON has it."""
    content = dataclasses.asdict(row)
    if row.timing is not None:
        content["timing"]["speedup"] = row.timing.speedup
    return content
