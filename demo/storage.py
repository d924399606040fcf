"""Models on disk: one safetensors file each, written whole or not at all."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import load_file, save_file

from demo.arrays import Array, to_kind, to_numpy

# What one compressed weight is stored as: mask bits, codes, scales, kept values, ...
Parts = dict[str, Array]

SEPARATOR = "|"


def write_model(path: Path, compressed: Mapping[str, Parts], others: Mapping[str, Array]) -> int:
    """Writes the parts of every weight and the uncompressed rest of the model; returns the size of the file.

    The file appears under its name only when it is complete, so that a run that was interrupted leaves nothing that a
    reader could take for a model.
    """
    tensors: dict[str, NDArray[Any]] = {name: np.ascontiguousarray(to_numpy(array)) for name, array in others.items()}
    for weight, parts in compressed.items():
        for part, array in parts.items():
            tensors[f"{weight}{SEPARATOR}{part}"] = np.ascontiguousarray(to_numpy(array))
    partial = path.with_name(path.name + ".partial")
    save_file(tensors, partial)
    os.replace(partial, path)
    return path.stat().st_size


def read_model(path: Path, like: Array) -> tuple[dict[str, Parts], dict[str, Array]]:
    """The parts of every weight, and the rest of the model, as arrays of the kind of ``like``."""
    compressed: dict[str, Parts] = {}
    others: dict[str, Array] = {}
    for name, array in load_file(path).items():
        weight, separator, part = name.partition(SEPARATOR)
        if separator:
            compressed.setdefault(weight, {})[part] = to_kind(array, like)
        else:
            others[name] = to_kind(array, like)
    return compressed, others
