"""Whole hidden units of the classifier go, and its layers become smaller: nothing is left to store or to skip."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import tersor
from numpy.typing import NDArray
from sklearn.metrics import mutual_info_score  # type: ignore[import-untyped]

from demo import numpy_operations
from demo.digits import Classifier, Floats
from demo.measure import Row, check_decoded, model_file
from demo.sparse import highest
from demo.storage import read_model, write_model
from demo.timing import TimedOperations, interleave

SHARE = 0.5
BINS = 16


class Criterion(Protocol):
    """What the units of each hidden layer are ranked by."""

    @property
    def name(self) -> str: ...

    def scores(self, operations: TimedOperations, classifier: Classifier) -> list[NDArray[Any]]: ...

    def expected(self, classifier: Classifier) -> list[NDArray[Any]]: ...


@dataclass(frozen=True)
class Norm:
    """The length of the vector of a unit's incoming weights."""

    name: str = f"units {SHARE * 100:.0f} %, by l2 norm"

    def scores(self, operations: TimedOperations, classifier: Classifier) -> list[NDArray[Any]]:
        return [operations.score_units(weight, "l2") for weight in hidden_weights(classifier)]

    def expected(self, classifier: Classifier) -> list[NDArray[Any]]:
        return [np.sqrt((weight.astype(np.float64) ** 2).sum(axis=1)) for weight in hidden_weights(classifier)]


@dataclass(frozen=True)
class Information:
    """What a unit's output tells of the label, over the training images."""

    name: str = f"units {SHARE * 100:.0f} %, by information"

    def scores(self, operations: TimedOperations, classifier: Classifier) -> list[NDArray[Any]]:
        labels = classifier.digits.train_labels
        return [operations.mutual_information(outputs, labels, BINS) for outputs in classifier.hidden]

    def expected(self, classifier: Classifier) -> list[NDArray[Any]]:
        labels = classifier.digits.train_labels
        return [np.array([mutual_info_score(labels, binned(unit)) for unit in outputs.T]) for outputs in classifier.hidden]


def hidden_weights(classifier: Classifier) -> list[Floats]:
    """All but the last layer's, whose units are the classes."""
    return list(classifier.weights.values())[:-1]


def binned(values: Floats) -> NDArray[np.intp]:
    """The bin of each value, among bins of one width."""
    inner_edges = np.linspace(values.min(), values.max(), BINS + 1, dtype=np.float64)[1:-1]
    return np.digitize(values.astype(np.float64), inner_edges)


def smaller(criterion: Criterion, operations: TimedOperations, classifier: Classifier) -> dict[str, Floats]:
    """The parameters of the network without the units that rank lowest in their layer."""
    weights, biases = list(classifier.weights.values()), list(classifier.others.values())
    for layer, scores in enumerate(criterion.scores(operations, classifier)):
        keep = operations.select_units(scores, SHARE)
        # A unit is a row of its own layer and a column of the next.
        weights[layer], biases[layer], weights[layer + 1] = operations.remove_units(
            [weights[layer], biases[layer], weights[layer + 1]], keep, axis=[0, 0, 1]
        )
    return dict(zip([*classifier.weights, *classifier.others], [*weights, *biases], strict=True))


def expected_smaller(criterion: Criterion, classifier: Classifier) -> dict[str, Floats]:
    """The same in plain NumPy: by masks."""
    parameters = {**classifier.weights, **classifier.others}
    kept = [highest(scores, SHARE) for scores in criterion.expected(classifier)]
    everything = np.ones(classifier.train_logits.shape[1], np.bool_)
    inputs = np.ones(classifier.digits.train_images.shape[1], np.bool_)
    for weight, bias, before, after in zip(
        classifier.weights, classifier.others, [inputs, *kept], [*kept, everything], strict=True
    ):
        parameters[weight] = parameters[weight][after][:, before]
        parameters[bias] = parameters[bias][after]
    return parameters


def measure_units(classifier: Classifier, criterion: Criterion, folder: Path, budget_seconds: float) -> Row:
    """The row of a criterion. What is put to use is the smaller network that was read from the file."""
    numpy_timed, tersor_timed = TimedOperations(numpy_operations), TimedOperations(tersor)
    timing, by_numpy, by_tersor = interleave(
        lambda: smaller(criterion, numpy_timed, classifier),
        lambda: smaller(criterion, tersor_timed, classifier),
        numpy_timed,
        tersor_timed,
        budget_seconds,
    )
    path = model_file(folder, classifier.name, criterion.name)
    size_bytes = write_model(path, {}, by_tersor)
    _, stored = read_model(path, like=classifier.train_logits)
    expected = expected_smaller(criterion, classifier)
    for source, parameters in (("NumPy", by_numpy), ("tersor", by_tersor), ("the file", stored)):
        check_decoded(f"{classifier.name}, {criterion.name}, from {source}", parameters, expected, np.ndarray)
    weights = {name: stored[name] for name in classifier.weights}
    others = {name: stored[name] for name in classifier.others}
    left = sum(tersor.count_nonzero(weight) for weight in weights.values())
    return Row(
        model=classifier.name,
        method=criterion.name,
        family="units",
        size_bytes=size_bytes,
        sparsity=1 - left / sum(weight.size for weight in classifier.weights.values()),
        quality=classifier.quality(weights, others),
        timing=timing,
        fine_tuned=classifier.fine_tuned(weights, others),
    )


def criteria() -> list[Criterion]:
    return [Norm(), Information()]
