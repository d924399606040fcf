"""The whole job: both models through all methods, then the table and the figure."""

from __future__ import annotations

from pathlib import Path

import torch
from rich.console import Console

from demo.attention import measure_attention
from demo.checkpoint import Checkpoint, write_and_load
from demo.compress import narrow_methods, sparse_methods
from demo.digits import Classifier, load
from demo.figure import draw
from demo.machine import this_machine
from demo.measure import Row, measure
from demo.product import Product, dense_threads, measure_products, methods, random_weights
from demo.progress import Steps
from demo.report import Report, print_table, size, write_json
from demo.sentences import SentenceEncoder, load_transformer, read_triples
from demo.temperature import (
    CURVE,
    STUDENT_TEMPERATURES,
    TABLE_TEMPERATURES,
    Calibration,
    Students,
    calibration,
    students,
)
from demo.units import criteria, measure_units

DIGITS_BUDGET_SECONDS = 0.2
SENTENCES_BUDGET_SECONDS = 0.6


def run(console: Console, output: Path) -> None:
    """Prints the table and where the files are. Raises CheckFailed where a figure of the table would be wrong."""
    # After each operation torch's threads spin in wait of the next one, on the core that tersor's need. On one thread
    # the small layers of the classifier train faster, too, and sums are the same in every run.
    torch.set_num_threads(1)
    models = output / "models"
    models.mkdir(parents=True, exist_ok=True)
    common = len(sparse_methods()) + len(narrow_methods())
    digits_steps = 1 + common + len(criteria()) + len(STUDENT_TEMPERATURES) + 1
    sentences_steps = 1 + common + 1
    with Steps(console, total=digits_steps + sentences_steps + 1 + len(methods()) + 1) as steps:
        digits_rows, calibrations, taught, checkpoint = compress_digits(steps, models)
        sentences_rows = compress_sentences(steps, models)
        rows = {digits_rows[0].model: digits_rows, sentences_rows[0].model: sentences_rows}
        report = Report(this_machine(), rows, calibrations, taught, checkpoint, multiply(steps))
        steps.begin("table and figure")
        write_json(report, output / "table.json")
        draw(report, output / "figure.png")
    print_table(console, report)
    total = sum(path.stat().st_size for path in models.rglob("*.safetensors"))
    console.print(f"Table:  {output / 'table.json'}", soft_wrap=True)
    console.print(f"Figure: {output / 'figure.png'}", soft_wrap=True)
    console.print(f"Models: {models} ({size(total)})", soft_wrap=True)


def compress_digits(steps: Steps, models: Path) -> tuple[list[Row], list[Calibration], list[Students], Checkpoint]:
    """The classifier's rows, its probabilities at several temperatures, the students they taught, and a checkpoint."""
    steps.begin("digits classifier: training")
    classifier = Classifier(load())
    rows = []
    for method in sparse_methods():
        steps.begin(f"{classifier.name}: {method.name}")
        rows.append(measure(classifier, method, models, DIGITS_BUDGET_SECONDS))
    for criterion in criteria():
        steps.begin(f"{classifier.name}: {criterion.name}")
        rows.append(measure_units(classifier, criterion, models, DIGITS_BUDGET_SECONDS))
    for method in narrow_methods():
        steps.begin(f"{classifier.name}: {method.name}")
        rows.append(measure(classifier, method, models, DIGITS_BUDGET_SECONDS))
    taught = []
    for temperature in STUDENT_TEMPERATURES:
        steps.begin(f"{classifier.name}: students taught at T = {temperature:g}")
        taught.append(students(classifier, temperature, models, DIGITS_BUDGET_SECONDS))
    rows += [each.row for each in taught if each.temperature in TABLE_TEMPERATURES]
    steps.begin(f"{classifier.name}: a checkpoint for compressed-tensors")
    checkpoint = write_and_load(classifier, models)
    return rows, [calibration(classifier, temperature) for temperature in CURVE], taught, checkpoint


def compress_sentences(steps: Steps, models: Path) -> list[Row]:
    """The transformer's rows. The softmax comes last, since it is measured on the original."""
    steps.begin("sentence transformer: loading")
    encoder = SentenceEncoder(load_transformer(), read_triples())
    rows = []
    for method in [*sparse_methods(), *narrow_methods()]:
        steps.begin(f"{encoder.name}: {method.name}")
        rows.append(measure(encoder, method, models, SENTENCES_BUDGET_SECONDS))
    steps.begin(f"{encoder.name}: attention by softmax")
    rows.append(measure_attention(encoder, rows[0], SENTENCES_BUDGET_SECONDS))
    return rows


def multiply(steps: Steps) -> list[Product]:
    """A large weight in use. Last, because torch may take more than one thread for it."""
    steps.begin("products: making the weights")
    weights = random_weights()
    threads = dense_threads(weights)
    products = []
    for method in methods():
        steps.begin(f"products: {method}")
        products += measure_products(method, weights, threads)
    return products
