"""A model in the layout of compressed-tensors, written by tersor and loaded by compressed-tensors itself."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.numpy import save_file
from tersor import formats

from demo.checks import require
from demo.digits import TEACHER_WIDTHS, Classifier, network_of, parameters_of

FORMAT, BITS, GROUP = "pack-quantized", 4, 64


@dataclass(frozen=True)
class Checkpoint:
    """Where the model is, and how well what compressed-tensors made of it works."""

    folder: str
    size_bytes: int
    release: str
    accuracy: float


def write_and_load(classifier: Classifier, models: Path) -> Checkpoint:
    """Every number that compressed-tensors reads must be the one that tersor reads."""
    folder = models / "digits-compressed-tensors"
    folder.mkdir(parents=True, exist_ok=True)
    stored = {
        name: formats.encode(FORMAT, weight, bits=BITS, group_size=GROUP) for name, weight in classifier.weights.items()
    }
    tensors = {name: np.ascontiguousarray(other) for name, other in classifier.others.items()}
    for name, parts in stored.items():
        layer = name.removesuffix("weight")
        tensors |= {layer + key: np.ascontiguousarray(part) for key, part in parts.items()}
    write(folder, tensors)
    loaded = load(folder)
    for name, parts in stored.items():
        same = np.array_equal(loaded[name], formats.decode(FORMAT, parts, dtype="float32"))
        require(same, f"{folder}: compressed-tensors reads other numbers of {name} than tersor")
    quality = classifier.quality({name: loaded[name] for name in stored}, classifier.others)
    size_bytes = (folder / "model.safetensors").stat().st_size
    return Checkpoint(str(folder), size_bytes, version("compressed-tensors"), quality.accuracy)


def write(folder: Path, tensors: dict[str, NDArray[Any]]) -> None:
    """Each file appears under its name only when it is complete."""
    partial = folder / "partial"
    save_file(tensors, partial, metadata={"format": "pt"})
    os.replace(partial, folder / "model.safetensors")
    partial.write_text(json.dumps({"quantization_config": configuration()}, indent=1) + "\n")
    os.replace(partial, folder / "config.json")


def configuration() -> dict[str, object]:
    """What llm-compressor writes for such a model."""
    weights = {"num_bits": BITS, "type": "int", "symmetric": True, "strategy": "group", "group_size": GROUP}
    return {
        "quant_method": "compressed-tensors",
        "format": FORMAT,
        "quantization_status": "compressed",
        "config_groups": {"group_0": {"targets": ["Linear"], "weights": weights}},
        "ignore": [],
    }


def load(folder: Path) -> dict[str, NDArray[np.float32]]:
    """The parameters of a new network, once compressed-tensors has read the folder into it."""
    from compressed_tensors.compressors import ModelCompressor

    network = network_of(TEACHER_WIDTHS)
    compressor = ModelCompressor.from_compression_config(configuration())
    with torch.no_grad():
        compressor.decompress(model_path=str(folder), model=network)
    return parameters_of(network)
