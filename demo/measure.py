"""One row of the table: a model through a method, on disk and back, timed, checked and put to use."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import tersor
from numpy.typing import NDArray

from demo import library, numpy_operations
from demo.arrays import Array, to_numpy
from demo.checks import require
from demo.compress import TRAINABLE_FAMILIES, Method
from demo.storage import Parts, read_model, write_model
from demo.timing import TimedOperations, Timing, interleave


@dataclass(frozen=True)
class Quality:
    """How well a compressed model does its work. ``cosine`` compares its outputs with the original's."""

    accuracy: float
    cosine: float
    agreement: float


@dataclass(frozen=True)
class Row:
    """``timing`` is None where no operation ran, ``fine_tuned``, an accuracy, where nothing was trained."""

    model: str
    method: str
    family: str
    size_bytes: int
    sparsity: float
    quality: Quality
    timing: Timing | None
    fine_tuned: float | None = None


class Model(Protocol):
    """A trained model: two-dimensional weights to compress, and the rest that stays as it is."""

    @property
    def name(self) -> str: ...

    @property
    def weights(self) -> dict[str, Array]: ...

    @property
    def others(self) -> dict[str, Array]: ...

    def quality(self, weights: Mapping[str, Array], others: Mapping[str, Array]) -> Quality: ...

    def fine_tuned(self, weights: Mapping[str, Array], others: Mapping[str, Array]) -> float | None: ...


@dataclass(frozen=True)
class Coded:
    """What one implementation made of all weights of a model."""

    parts: dict[str, Parts]
    decoded: dict[str, Array]


def code(method: Method, operations: TimedOperations, weights: Mapping[str, Array]) -> Coded:
    """Every weight encoded and decoded."""
    parts = {name: method.encode(operations, weight) for name, weight in weights.items()}
    decoded = {name: method.decode(operations, parts[name], tuple(weight.shape)) for name, weight in weights.items()}
    return Coded(parts, decoded)


def measure(model: Model, method: Method, folder: Path, budget_seconds: float) -> Row:
    """The row of a method. What is put to use is the model that was read from the file, and nothing else."""
    numpy_timed, tersor_timed = TimedOperations(numpy_operations), TimedOperations(library)
    numpy_weights = {name: to_numpy(weight) for name, weight in model.weights.items()}
    timing, by_numpy, by_tersor = interleave(
        lambda: code(method, numpy_timed, numpy_weights),
        lambda: code(method, tersor_timed, model.weights),
        numpy_timed,
        tersor_timed,
        budget_seconds,
    )
    path = model_file(folder, model.name, method.name)
    size_bytes = write_model(path, by_tersor.parts, model.others)
    like = next(iter(model.weights.values()))
    stored, others = read_model(path, like)
    operations = TimedOperations(library)
    decoded = {name: method.decode(operations, stored[name], tuple(weight.shape)) for name, weight in model.weights.items()}
    expected = {name: method.expected(weight) for name, weight in numpy_weights.items()}
    for source, arrays, kind in (
        ("NumPy", by_numpy.decoded, np.ndarray),
        ("tersor", by_tersor.decoded, type(like)),
        ("the file", decoded, type(like)),
    ):
        check_decoded(f"{model.name}, {method.name}, from {source}", arrays, expected, kind)
    check_others(path, others, model.others)
    return Row(
        model=model.name,
        method=method.name,
        family=method.family,
        size_bytes=size_bytes,
        sparsity=share_of_zeros(decoded),
        quality=model.quality(decoded, others),
        timing=timing,
        fine_tuned=model.fine_tuned(decoded, others) if method.family in TRAINABLE_FAMILIES else None,
    )


def check_decoded(where: str, decoded: Mapping[str, Array], expected: Mapping[str, NDArray[Any]], kind: type) -> None:
    """Each array is of the kind that went in, and equal to the last bit (but for the sign of a zero)."""
    require(decoded.keys() == expected.keys(), f"{where}: some weights are missing")
    for name, array in decoded.items():
        require(type(array) is kind, f"{where}: {name} is a {type(array).__name__}, not a {kind.__name__}")
        values = to_numpy(array)
        require(values.dtype == expected[name].dtype, f"{where}: {name} is of dtype {values.dtype}")
        require(np.array_equal(values, expected[name]), f"{where}: {name} is not what plain NumPy gives")


def check_others(path: Path, others: Mapping[str, Array], originals: Mapping[str, Array]) -> None:
    """What is not compressed comes back as it was."""
    same = others.keys() == originals.keys() and all(
        np.array_equal(to_numpy(others[name]), to_numpy(original)) for name, original in originals.items()
    )
    require(same, f"{path}: the uncompressed part of the model has changed")


def share_of_zeros(weights: Mapping[str, Array]) -> float:
    """The zeros of all weights over their entries, counted by tersor and by NumPy."""
    total = sum(to_numpy(weight).size for weight in weights.values())
    nonzero = sum(tersor.count_nonzero(weight) for weight in weights.values())
    require(nonzero == sum(np.count_nonzero(to_numpy(weight)) for weight in weights.values()), "miscounted zeros")
    return 1 - nonzero / total


def model_file(folder: Path, model: str, method: str) -> Path:
    """``sentence transformer``, ``prune 30 % + int8`` -> ``sentence-transformer/prune-30-int8.safetensors``."""
    words = ("".join(letter if letter.isalnum() else " " for letter in text).split() for text in (model, method))
    directory, stem = ("-".join(parts) for parts in words)
    (folder / directory).mkdir(parents=True, exist_ok=True)
    return folder / directory / f"{stem}.safetensors"
