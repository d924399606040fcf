"""What the temperature of softmax does: to a classifier's confidence, and to a small student that learns from it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from statistics import mean

import numpy as np
import tersor
from sklearn.model_selection import train_test_split  # type: ignore[import-untyped]

from demo import numpy_operations
from demo.digits import CLASSES, PIXELS, Classifier, Floats, logits, train
from demo.measure import Quality, Row, model_file, share_of_zeros
from demo.probabilities import check_softmax
from demo.storage import read_model, write_model
from demo.timing import TimedOperations, interleave

CURVE = (0.25, 0.5, 1.0, 2.0, 4.0, 8.0, 16.0)
STUDENT_TEMPERATURES = (0.0, 1.0, 2.0, 4.0, 8.0, 16.0)
# The two that the table shows: the classifier's bare decisions, and targets soft enough to tell what looks like what.
TABLE_TEMPERATURES = (0.0, 8.0)
STUDENT_WIDTHS = (PIXELS, 16, CLASSES)
STUDENT_IMAGES = 100
STUDENT_EPOCHS = 200
STUDENT_BATCH = 32
SEEDS = (0, 1, 2)


@dataclass(frozen=True)
class Calibration:
    """The classifier's probabilities at one temperature, on the test images."""

    temperature: float
    confidence: float
    negative_log_likelihood: float


@dataclass(frozen=True)
class Students:
    """Small networks that learned from the classifier's probabilities at one temperature, one for each seed."""

    temperature: float
    accuracies: list[float]
    row: Row


def calibration(classifier: Classifier, temperature: float) -> Calibration:
    """Confidence is the mean of the largest probability. A calibrated classifier is right as often as that."""
    probabilities = tersor.softmax(classifier.test_logits, temperature)
    check_softmax("the classifier's probabilities", probabilities, classifier.test_logits, temperature)
    of_label = probabilities[np.arange(len(probabilities)), classifier.digits.test_labels]
    return Calibration(
        temperature=temperature,
        confidence=float(probabilities.max(axis=1).mean()),
        negative_log_likelihood=float(-np.log(np.maximum(of_label, np.finfo(np.float32).tiny)).mean()),
    )


def students(classifier: Classifier, temperature: float, folder: Path, budget_seconds: float) -> Students:
    """Networks a fortieth of the classifier's size, taught with its soft targets on a hundred images, and their row.

    So few images, because there the targets have to say what the images do not: on all of them a student learns as
    much from the labels.
    """
    scores = classifier.train_logits
    numpy_timed, tersor_timed = TimedOperations(numpy_operations), TimedOperations(tersor)
    timing, _, targets = interleave(
        lambda: numpy_timed.softmax(scores, temperature),
        lambda: tersor_timed.softmax(scores, temperature),
        numpy_timed,
        tersor_timed,
        budget_seconds,
    )
    check_softmax("the soft targets", targets, scores, temperature)
    method = f"student, targets at T = {temperature:g}"
    taught = [taught_student(classifier, targets, temperature, seed) for seed in SEEDS]
    path = model_file(folder, classifier.name, method)
    size_bytes = write_model(path, {}, taught[0])
    _, taught[0] = read_model(path, like=scores)
    qualities = [classifier.quality_of(logits(student, classifier.digits.test_images)) for student in taught]
    row = Row(
        model=classifier.name,
        method=method,
        family="softmax",
        size_bytes=size_bytes,
        sparsity=share_of_zeros(taught[0]),
        quality=Quality(
            accuracy=mean(quality.accuracy for quality in qualities),
            cosine=mean(quality.cosine for quality in qualities),
            agreement=mean(quality.agreement for quality in qualities),
        ),
        timing=timing,
    )
    return Students(temperature, [quality.accuracy for quality in qualities], row)


def taught_student(classifier: Classifier, targets: Floats, temperature: float, seed: int) -> dict[str, Floats]:
    """The same hundred images for every temperature and seed. Bare decisions (T = 0) are learned at T = 1."""
    labels = classifier.digits.train_labels
    chosen, _ = train_test_split(np.arange(len(labels)), train_size=STUDENT_IMAGES, stratify=labels, random_state=0)
    return train(
        STUDENT_WIDTHS,
        classifier.digits.train_images[chosen],
        targets[chosen],
        epochs=STUDENT_EPOCHS,
        batch=STUDENT_BATCH,
        temperature=temperature or 1.0,
        seed=seed,
    )
