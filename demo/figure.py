"""The figure: quality against size on disk, fine-tuning, products with sparse weights, operations, and temperature."""

from __future__ import annotations

import os
from pathlib import Path

import matplotlib
import numpy as np
from matplotlib import pyplot
from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter, PercentFormatter

from demo.labels import Label, place_labels
from demo.measure import Row
from demo.product import SHAPE, Product
from demo.report import OPERATIONS, Report, operation_times, three_digits

# Okabe and Ito's palette, which the colour-blind can tell apart; the shapes say the same again.
STYLES = {
    "original": ("#000000", "*"),
    "unstructured": ("#0072B2", "o"),
    "pattern": ("#0072B2", "v"),
    "units": ("#F0E442", "H"),
    "fixed point": ("#E69F00", "s"),
    "int8": ("#009E73", "D"),
    "int4": ("#D55E00", "^"),
    "threshold + int8": ("#CC79A7", "P"),
    "softmax": ("#56B4E9", "X"),
}
# Where no error is left, a logarithm needs one: half an image of the test's 450.
LEAST_ERROR = 1e-3
MODEL_COLOURS = ("0.7", "0.3")


def draw(report: Report, path: Path) -> None:
    """Writes the picture, complete or not at all."""
    matplotlib.use("agg")
    figure, ((digits, sentences), (tuning, products), (speed, temperature)) = pyplot.subplots(
        3, 2, figsize=(14, 20), dpi=110, height_ratios=(1, 0.7, 1.3), layout="constrained"
    )
    digits_rows, sentences_rows = report.rows.values()
    errors = [max(1 - row.quality.accuracy, LEAST_ERROR) for row in digits_rows]
    quality_panels = (
        (digits, digits_rows, errors, 1e3, "kB"),
        (sentences, sentences_rows, [row.quality.cosine for row in sentences_rows], 1e6, "MB"),
    )
    draw_tuning(tuning, digits_rows)
    draw_products(products, report.products)
    draw_speed(speed, report)
    draw_temperature(temperature, report)
    for axes, rows, qualities, unit, unit_name in quality_panels:
        draw_quality(axes, rows, qualities, unit, unit_name)
    # By the errors' logarithm: most methods make between 2 and 5 % of them, the most drastic ten times as many.
    digits.set(
        title="Digits classifier (up and left is better)",
        ylabel="accuracy on the test images (%, log scale of the errors)",
        yscale="log",
    )
    digits.invert_yaxis()
    digits.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    digits.yaxis.set_major_formatter(FuncFormatter(lambda error, _: f"{100 * (1 - error):g}%"))
    digits.yaxis.set_minor_formatter(NullFormatter())
    sentences.set(
        title="Sentence transformer (up and left is better)", ylabel="cosine similarity of embeddings to the original's"
    )
    # The labels are placed in pixels, so the layout must not move the axes afterwards.
    figure.canvas.draw()
    figure.set_layout_engine("none")
    for axes, rows, qualities, unit, _ in quality_panels:
        points = zip(rows, qualities, strict=True)
        place_labels(axes, [Label(row.method, row.size_bytes / unit, quality) for row, quality in points])
    partial = path.with_name(path.name + ".partial")
    figure.savefig(partial, format="png")
    pyplot.close(figure)
    os.replace(partial, path)


def draw_quality(axes: Axes, rows: list[Row], qualities: list[float], unit: float, unit_name: str) -> None:
    """One point a method; up and to the left is better."""
    for row, quality in zip(rows, qualities, strict=True):
        colour, marker = STYLES[row.family]
        size = 12 if marker == "*" else 8
        axes.plot(row.size_bytes / unit, quality, marker, color=colour, markersize=size, alpha=0.8)
    axes.set_xlabel(f"size on disk ({unit_name}, log scale)")
    use_log_scale(axes)
    axes.margins(x=0.15, y=0.1)
    axes.grid(alpha=0.3)


def use_log_scale(axes: Axes) -> None:
    """Along x, with plain numbers at 1, 2 and 5 of each decade."""
    axes.set_xscale("log")
    axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axes.xaxis.set_minor_formatter(NullFormatter())


def draw_tuning(axes: Axes, rows: list[Row]) -> None:
    """A line from the accuracy as pruned to that after fine-tuning, for each method that was fine-tuned."""
    tuned = [(row, row.fine_tuned) for row in rows if row.fine_tuned is not None]
    for place, (row, after) in enumerate(tuned):
        axes.plot([row.quality.accuracy, after], [place, place], color="0.6", lw=2, zorder=1)
    places = range(len(tuned))
    axes.scatter([row.quality.accuracy for row, _ in tuned], places, marker="o", color="#D55E00", label="as pruned")
    axes.scatter([after for _, after in tuned], places, marker="D", color="#009E73", label="fine-tuned, zeros held")
    axes.set_yticks(places, [row.method for row, _ in tuned])
    axes.invert_yaxis()
    axes.set(title="Digits classifier before and after a few epochs", xlabel="accuracy on the test images (%)")
    axes.xaxis.set_major_formatter(PercentFormatter(1, decimals=0))
    axes.legend(loc="lower left")
    axes.grid(axis="x", alpha=0.3)


def draw_products(axes: Axes, products: list[Product]) -> None:
    """A pair of bars for each method, one for each batch."""
    height = 0.38
    methods = list(dict.fromkeys(product.method for product in products))
    batches = sorted({product.batch for product in products})
    for index, batch in enumerate(batches):
        speedups = np.array([product.speedup for product in products if product.batch == batch])
        places = np.arange(len(methods)) + (index - 0.5) * height
        bars = axes.barh(places, speedups - 1, height, left=1, color=MODEL_COLOURS[index], label=f"batch of {batch}")
        axes.bar_label(bars, [three_digits(speedup) for speedup in speedups], padding=3, fontsize=8)
    axes.axvline(1, color="black", lw=1)
    axes.set_yticks(np.arange(len(methods)), methods)
    axes.margins(x=0.12)
    axes.invert_yaxis()
    axes.set_title(f"A weight of {SHAPE[0]} x {SHAPE[1]} in use")
    axes.set_xlabel("time of torch's dense product / time with the weight as stored")
    axes.legend(loc="upper center", bbox_to_anchor=(0.5, -0.15), ncols=2, frameon=False)
    axes.grid(axis="x", alpha=0.3)


def draw_speed(axes: Axes, report: Report) -> None:
    """A pair of bars for each operation, one for each model."""
    height = 0.38
    for index, (model, rows) in enumerate(report.rows.items()):
        times = operation_times(rows)
        places = np.array([OPERATIONS.index(time.name) for time in times]) + (index - 0.5) * height
        # From 1 on, which a logarithmic axis has no zero to start at: left of it tersor is the slower one.
        speedups = np.array([time.speedup for time in times])
        bars = axes.barh(places, speedups - 1, height, left=1, color=MODEL_COLOURS[index], label=model)
        axes.bar_label(bars, [three_digits(speedup) for speedup in speedups], padding=3, fontsize=8)
    axes.set_yticks(np.arange(len(OPERATIONS)), OPERATIONS)
    axes.axvline(1, color="black", lw=1)
    use_log_scale(axes)
    axes.margins(x=0.12)
    axes.invert_yaxis()
    threads = report.machine.threads
    axes.set_title("Speed-up of each operation")
    axes.set_xlabel(f"time with NumPy / time with tersor ({threads} thread{'s' * (threads != 1)}, log scale)")
    axes.legend(loc="upper center", bbox_to_anchor=(0.5, -0.08), ncols=2, frameon=False)
    axes.grid(axis="x", alpha=0.3)


def draw_temperature(axes: Axes, report: Report) -> None:
    """Everything here is a percentage, so that one axis serves."""
    temperatures = sorted(
        {each.temperature for each in report.calibrations} | {each.temperature for each in report.students}
    )
    place = {temperature: index for index, temperature in enumerate(temperatures)}
    axes.plot(
        [place[each.temperature] for each in report.calibrations],
        [each.confidence for each in report.calibrations],
        "o-",
        color="#0072B2",
        label="classifier: mean of its largest probability",
    )
    original = next(iter(report.rows.values()))[0]
    axes.axhline(original.quality.accuracy, color="black", ls="--", lw=1, label="classifier: accuracy")
    means = np.array([np.mean(each.accuracies) for each in report.students])
    spread = np.array([[min(each.accuracies), max(each.accuracies)] for each in report.students]).T
    axes.errorbar(
        [place[each.temperature] for each in report.students],
        means,
        np.abs(spread - means),
        fmt="s-",
        capsize=4,
        color="#D55E00",
        label="students: accuracy (mean and range)",
    )
    best = min(report.calibrations, key=lambda each: each.negative_log_likelihood)
    axes.axvline(place[best.temperature], color="0.5", ls=":", label="T that makes the test labels likeliest")
    axes.set_xticks(range(len(temperatures)), [f"{temperature:g}" for temperature in temperatures])
    axes.set(title="What the temperature of softmax does", xlabel="temperature T (no unit)", ylabel="share (%)")
    axes.yaxis.set_major_formatter(PercentFormatter(1, decimals=0))
    axes.legend(loc="lower left")
    axes.grid(alpha=0.3)
