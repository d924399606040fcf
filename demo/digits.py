"""A classifier trained here, in seconds, on the handwritten digits of scikit-learn. Its arrays are NumPy's."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
import tersor
import torch
from numpy.typing import NDArray
from sklearn.datasets import load_digits  # type: ignore[import-untyped]
from sklearn.model_selection import train_test_split  # type: ignore[import-untyped]

from demo.measure import Quality

NAME = "digits classifier"
CLASSES = 10
PIXELS = 64
BRIGHTEST_PIXEL = 16
TEACHER_WIDTHS = (PIXELS, 256, 128, CLASSES)
TEACHER_EPOCHS = 40

Floats = NDArray[np.float32]


@dataclass(frozen=True)
class Digits:
    """Images of 8 x 8 pixels in [0, 1], a row each, split so that a quarter is seen by no training."""

    train_images: Floats
    train_labels: NDArray[np.int64]
    test_images: Floats
    test_labels: NDArray[np.int64]


def load() -> Digits:
    """The split keeps the share of every digit, and is the same in every run."""
    images, labels = load_digits(return_X_y=True)
    train_images, test_images, train_labels, test_labels = train_test_split(
        (images / BRIGHTEST_PIXEL).astype(np.float32), labels, test_size=0.25, stratify=labels, random_state=0
    )
    return Digits(train_images, train_labels, test_images, test_labels)


def train(
    widths: tuple[int, ...],
    images: Floats,
    targets: Floats,
    *,
    epochs: int,
    batch: int = 64,
    temperature: float = 1.0,
    seed: int = 0,
) -> dict[str, Floats]:
    """The weights and biases of a network of linear layers with ReLU between, that predicts the target probabilities.

    ``temperature`` divides the logits, as it did where the targets are softened ones (Hinton, Vinyals and Dean 2015,
    who also say why the loss is multiplied by its square: the gradients of soft targets shrink with it).
    """
    layers: list[torch.nn.Module] = []
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        for fan_in, fan_out in pairwise(widths):
            layers += [torch.nn.Linear(fan_in, fan_out), torch.nn.ReLU()]
        network = torch.nn.Sequential(*layers[:-1])
        optimizer = torch.optim.Adam(network.parameters(), lr=3e-3)
        inputs, wanted = torch.from_numpy(images), torch.from_numpy(targets)
        for _ in range(epochs):
            for chosen in torch.split(torch.randperm(len(inputs)), batch):
                loss = torch.nn.functional.cross_entropy(network(inputs[chosen]) / temperature, wanted[chosen])
                optimizer.zero_grad()
                (loss * temperature**2).backward()  # type: ignore[no-untyped-call]
                optimizer.step()
    return {name: parameter.numpy() for name, parameter in network.state_dict().items()}


def logits(parameters: Mapping[str, NDArray[Any]], images: Floats) -> Floats:
    """The forward pass in NumPy."""
    weights = [array for array in parameters.values() if array.ndim == 2]
    biases = [array for array in parameters.values() if array.ndim == 1]
    activations = images
    for index, (weight, bias) in enumerate(zip(weights, biases, strict=True)):
        activations = activations @ weight.T + bias
        if index < len(weights) - 1:
            activations = np.maximum(activations, 0)
    return activations


class Classifier:
    """The trained network as a model to compress."""

    name = NAME

    def __init__(self, digits: Digits) -> None:
        one_hot = np.eye(CLASSES, dtype=np.float32)[digits.train_labels]
        parameters = train(TEACHER_WIDTHS, digits.train_images, one_hot, epochs=TEACHER_EPOCHS)
        self.digits = digits
        self.weights: dict[str, Any] = {name: array for name, array in parameters.items() if array.ndim == 2}
        self.others: dict[str, Any] = {name: array for name, array in parameters.items() if array.ndim != 2}
        self.train_logits = logits(parameters, digits.train_images)
        self.test_logits = logits(parameters, digits.test_images)

    def quality(self, weights: Mapping[str, Any], others: Mapping[str, Any]) -> Quality:
        return self.quality_of(logits({**weights, **others}, self.digits.test_images))

    def quality_of(self, test_logits: Floats) -> Quality:
        """On the test images: right answers, likeness of the class probabilities, same answers as the original."""
        answers = test_logits.argmax(axis=1)
        before, after = tersor.softmax(self.test_logits), tersor.softmax(test_logits)
        norms = np.linalg.norm(before, axis=1) * np.linalg.norm(after, axis=1)
        return Quality(
            accuracy=float((answers == self.digits.test_labels).mean()),
            cosine=float(((before * after).sum(axis=1) / norms).mean()),
            agreement=float((answers == self.test_logits.argmax(axis=1)).mean()),
        )
