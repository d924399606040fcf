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

from demo.checkpoint import Checkpoint
from demo.checks import require
from demo.digits import FINE_TUNE_EPOCHS, FINE_TUNE_SEEDS
from demo.machine import Machine
from demo.measure import Row
from demo.product import ROUNDS, SHAPE, WEIGHTS, Product
from demo.sentences import NEIGHBOURS
from demo.temperature import STUDENT_IMAGES, STUDENT_WIDTHS, Calibration, Students

OPERATIONS = (
    "prune_threshold",
    "mask_threshold",
    "apply_mask",
    "prune_magnitude",
    "prune_nm",
    "prune_blocks",
    "count_nonzero",
    "sparsity",
    "pack_mask",
    "unpack_mask",
    "compress_bitmask",
    "decompress_bitmask",
    "round_fixed",
    "quantize_int8",
    "dequantize_int8",
    "quantize",
    "dequantize",
    "encode",
    "decode",
    "pack_int4",
    "unpack_int4",
    "score_units",
    "select_units",
    "remove_units",
    "mutual_information",
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
    checkpoint: Checkpoint
    products: list[Product]


def operation_times(rows: Iterable[Row]) -> list[OperationTime]:
    """Of those that the methods used, in the order of the reference."""
    timings = [row.timing for row in rows if row.timing is not None]
    used = {name for timing in timings for name in timing.tersor_operations}
    require(used <= set(OPERATIONS), f"not in the table: {', '.join(sorted(used - set(OPERATIONS)))}")
    return [
        OperationTime(
            name,
            numpy=sum(timing.numpy_operations.get(name, 0.0) for timing in timings),
            tersor=sum(timing.tersor_operations.get(name, 0.0) for timing in timings),
        )
        for name in OPERATIONS
        if name in used
    ]


def check_all_used(report: Report) -> None:
    """The table is to have every operation of the list."""
    used = {time.name for rows in report.rows.values() for time in operation_times(rows)}
    require(used == set(OPERATIONS), f"no method used {', '.join(sorted(set(OPERATIONS) - used))}")


def print_table(console: Console, report: Report) -> None:
    """At its natural width: rich would cut letters off; a terminal that is too narrow folds the lines."""
    check_all_used(report)
    printed = table(report)
    console.width = max(console.width, printed.__rich_measure__(console, console.options.update(width=1000)).maximum)
    console.print(printed)
    console.print(caption(report), markup=False)
    console.print(product_table(report.products))
    console.print(product_caption(), markup=False)


def table(report: Report) -> Table:
    """One section for each model's methods, then one for each model's operations."""
    headings = ("On disk", "Sparsity", "Accuracy", "Fine-tuned", "Cosine", "Agreement", "NumPy", "tersor", "Speed-up")
    result = empty_table("Method", headings)
    for model, rows in report.rows.items():
        result.add_row(f"[bold]{model}[/bold]")
        for row in rows:
            result.add_row(*method_cells(row))
        result.add_section()
    for model, rows in report.rows.items():
        result.add_row(f"[bold]operations, {model}[/bold]")
        for time in operation_times(rows):
            result.add_row(f"  {time.name}", *[""] * 6, *time_cells(time.numpy, time.tersor))
        result.add_section()
    return result


def empty_table(first: str, others: tuple[str, ...]) -> Table:
    """What a line is about on the left, its figures to the right."""
    result = Table(box=SIMPLE_HEAD, pad_edge=False)
    result.add_column(first, no_wrap=True)
    for heading in others:
        result.add_column(heading, justify="right", no_wrap=True)
    return result


def product_table(products: Iterable[Product]) -> Table:
    """A line for each method and batch."""
    result = empty_table(
        f"A weight of {SHAPE[0]} x {SHAPE[1]}", ("Batch", "Dense", "Stored", "Time, dense", "Time, stored", "Speed-up")
    )
    for product in products:
        result.add_row(
            f"  {product.method}",
            str(product.batch),
            size(product.dense_bytes),
            size(product.stored_bytes),
            *time_cells(product.dense_seconds, product.stored_seconds),
        )
    return result


def method_cells(row: Row) -> list[str]:
    """The cells of a method."""
    times = [NOTHING] * 3 if row.timing is None else time_cells(row.timing.numpy, row.timing.tersor)
    return [
        f"  {row.method}",
        size(row.size_bytes),
        f"{row.sparsity:.1%}",
        f"{row.quality.accuracy:.1%}",
        NOTHING if row.fine_tuned is None else f"{row.fine_tuned:.1%}",
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
            "use. Sparsity: weights that are zero or gone; each of those decoded equals what plain NumPy gives.",
            "Magnitude, 2:4 and blocks are stored as a bitmask and the nonzeros; without units the layers are smaller, and "
            "dense. Units are the neurons of hidden layers, as channels are of convolutions.",
            "Accuracy: test images named rightly; sentences nearer to their own paraphrase than to any other. Cosine: "
            "outputs before and after (class probabilities; embeddings). Agreement: same digit as the original names; "
            f"neighbours (the {NEIGHBOURS} nearest sentences of each) that stay neighbours.",
            f"Fine-tuned: the accuracy after {FINE_TUNE_EPOCHS} more epochs on the training images in which zeros stay "
            f"zero, the mean of {len(FINE_TUNE_SEEDS)} orders of the images; the original's own shows what the epochs do "
            "by themselves.",
            f"Students: networks of {'-'.join(map(str, STUDENT_WIDTHS))} units, taught on {STUDENT_IMAGES} images with "
            "softmax(the classifier's logits / T) for targets; means of "
            f"{len(report.students[0].accuracies)} seeds. T = 0 is the bare decision.",
            f"Checkpoint: the digits classifier in {report.checkpoint.folder}, written by tersor.formats as int4 with a "
            f"scale per 64 ({size(report.checkpoint.size_bytes)}). compressed-tensors {report.checkpoint.release} loads it, "
            "with the numbers that tersor reads, and then it names "
            f"{report.checkpoint.accuracy:.1%} of the test images rightly.",
            "Times: the operations alone, not the file nor what is done between them, to encode and decode every "
            "weight once (students: the targets; attention: all sentences). NumPy and tersor by turns, medians of "
            f"{min(rounds)} to {max(rounds)} rounds, warm, outputs used again (NumPy always makes bits, and what it "
            "unpacks from them, anew; both what they compress). The lower part sums each operation's time over the "
            "methods above.",
            f"Machine: {report.machine}.",
        ]
    )


def product_caption() -> str:
    """What each kind of sparsity buys, and how the times were taken."""
    return "\n".join(
        [
            "What each kind of sparsity buys:",
            "- Magnitude: smaller storage for the least loss of quality, and with matmul_bitmask faster products for "
            "a few rows, which wait for memory. Nothing in dense kernels: they multiply zeros too.",
            "- 2:4: the storage of 50 %; on NVIDIA's sparse tensor cores faster products of large batches, once in the "
            "layout of their kernels (CUTLASS). On CPUs no more than magnitude.",
            "- Blocks: the same storage, and whole blocks to leave out for kernels made for that. matmul_bitmask gains "
            "nothing by them.",
            "- Units: smaller and faster at once, in every kernel and on every device; more loss of quality before "
            "fine-tuning.",
            "Time, dense: torch.nn.functional.linear in float32, zeros in place (for units the whole weight), on 1 thread "
            "or as many as tersor's, whichever is faster. Time, stored: matmul_bitmask; for units linear on the smaller "
            f"weight. By turns on {WEIGHTS} random weights, medians of {ROUNDS}: "
            f"{WEIGHTS * SHAPE[0] * SHAPE[1] * 4 / 1e6:.0f} MB of dense weights pass between two uses of a stored one, so "
            "that none waits in a cache.",
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
        "checkpoint": dataclasses.asdict(report.checkpoint),
        "products": [{**dataclasses.asdict(product), "speedup": product.speedup} for product in report.products],
        "product_caption": product_caption(),
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
