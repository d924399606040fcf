"""The whole job: both models through all methods, then the table and the figure."""

from __future__ import annotations

from pathlib import Path

import torch
from rich.console import Console

from demo.attention import measure_attention
from demo.compress import standard_methods
from demo.digits import Classifier, load
from demo.figure import draw
from demo.machine import this_machine
from demo.measure import Row, measure
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

DIGITS_BUDGET_SECONDS = 0.3
SENTENCES_BUDGET_SECONDS = 2.0


def run(console: Console, output: Path) -> None:
    """Prints the table and where the files are. Raises CheckFailed where a figure of the table would be wrong."""
    # After each operation torch's threads spin in wait of the next one, on the core that tersor's need. On one thread
    # the small layers of the classifier train faster, too, and sums are the same in every run.
    torch.set_num_threads(1)
    models = output / "models"
    models.mkdir(parents=True, exist_ok=True)
    methods = len(standard_methods())
    with Steps(console, total=(1 + methods + len(STUDENT_TEMPERATURES)) + (1 + methods + 1) + 1) as steps:
        digits_rows, calibrations, taught = compress_digits(steps, models)
        sentences_rows = compress_sentences(steps, models)
        rows = {digits_rows[0].model: digits_rows, sentences_rows[0].model: sentences_rows}
        report = Report(this_machine(), rows, calibrations, taught)
        steps.begin("table and figure")
        write_json(report, output / "table.json")
        draw(report, output / "figure.png")
    print_table(console, report)
    total = sum(path.stat().st_size for path in models.rglob("*.safetensors"))
    console.print(f"Table:  {output / 'table.json'}", soft_wrap=True)
    console.print(f"Figure: {output / 'figure.png'}", soft_wrap=True)
    console.print(f"Models: {models} ({size(total)})", soft_wrap=True)


def compress_digits(steps: Steps, models: Path) -> tuple[list[Row], list[Calibration], list[Students]]:
    """The classifier's rows, its probabilities at several temperatures, and the students they taught."""
    steps.begin("digits classifier: training")
    classifier = Classifier(load())
    rows = []
    for method in standard_methods():
        steps.begin(f"{classifier.name}: {method.name}")
        rows.append(measure(classifier, method, models, DIGITS_BUDGET_SECONDS))
    taught = []
    for temperature in STUDENT_TEMPERATURES:
        steps.begin(f"{classifier.name}: students taught at T = {temperature:g}")
        taught.append(students(classifier, temperature, models, DIGITS_BUDGET_SECONDS))
    rows += [each.row for each in taught if each.temperature in TABLE_TEMPERATURES]
    return rows, [calibration(classifier, temperature) for temperature in CURVE], taught


def compress_sentences(steps: Steps, models: Path) -> list[Row]:
    """The transformer's rows. The softmax comes last, since it is measured on the original."""
    steps.begin("sentence transformer: loading")
    encoder = SentenceEncoder(load_transformer(), read_triples())
    rows = []
    for method in standard_methods():
        steps.begin(f"{encoder.name}: {method.name}")
        rows.append(measure(encoder, method, models, SENTENCES_BUDGET_SECONDS))
    steps.begin(f"{encoder.name}: attention by softmax")
    rows.append(measure_attention(encoder, rows[0], SENTENCES_BUDGET_SECONDS))
    return rows
