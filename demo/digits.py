"""A classifier trained here, in seconds, on the handwritten digits of scikit-learn. Its arrays are NumPy's."""

from __future__ import annotations

from collections.abc import Callable, Mapping
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
LEARNING_RATE = 3e-3
FINE_TUNE_EPOCHS = 5
FINE_TUNE_LEARNING_RATE = 1e-3
FINE_TUNE_SEEDS = (0, 1, 2)

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
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        network = network_of(widths)
        fit(network, images, targets, epochs=epochs, batch=batch, temperature=temperature)
    return parameters_of(network)


def network_of(widths: tuple[int, ...]) -> torch.nn.Sequential:
    """Untrained linear layers with ReLU between."""
    layers: list[torch.nn.Module] = []
    for fan_in, fan_out in pairwise(widths):
        layers += [torch.nn.Linear(fan_in, fan_out), torch.nn.ReLU()]
    return torch.nn.Sequential(*layers[:-1])


def parameters_of(network: torch.nn.Sequential) -> dict[str, Floats]:
    """As NumPy arrays: weight and bias by turns, from the first layer to the last."""
    return {name: parameter.numpy() for name, parameter in network.state_dict().items()}


def fit(
    network: torch.nn.Sequential,
    images: Floats,
    targets: Floats,
    *,
    epochs: int,
    batch: int = 64,
    temperature: float = 1.0,
    learning_rate: float = LEARNING_RATE,
    after_step: Callable[[], None] = lambda: None,
) -> None:
    """Trains the network by Adam, in an order of images that torch's seed decides."""
    # Fused into one call a step: so small a network spends most of its time between calls.
    optimizer = torch.optim.Adam(network.parameters(), lr=learning_rate, fused=True)
    inputs, wanted = torch.from_numpy(images), torch.from_numpy(targets)
    for _ in range(epochs):
        for chosen in torch.split(torch.randperm(len(inputs)), batch):
            loss = torch.nn.functional.cross_entropy(network(inputs[chosen]) / temperature, wanted[chosen])
            optimizer.zero_grad()
            (loss * temperature**2).backward()  # type: ignore[no-untyped-call]
            optimizer.step()
            after_step()


def fine_tune(parameters: Mapping[str, NDArray[Any]], images: Floats, targets: Floats, seed: int) -> dict[str, Floats]:
    """A few more epochs from these parameters, with the weights that are zero held there."""
    weights = [array for array in parameters.values() if array.ndim == 2]
    network = network_of((weights[0].shape[1], *(weight.shape[0] for weight in weights)))
    network.load_state_dict({name: torch.tensor(array) for name, array in parameters.items()})
    trained = [layer.weight for layer in network if isinstance(layer, torch.nn.Linear)]
    masks = [weight != 0 for weight in trained]

    @torch.no_grad()
    def hold() -> None:
        for weight, mask in zip(trained, masks, strict=True):
            tersor.apply_mask(weight, mask, out=weight)

    with torch.random.fork_rng():
        torch.manual_seed(seed)
        fit(
            network,
            images,
            targets,
            epochs=FINE_TUNE_EPOCHS,
            learning_rate=FINE_TUNE_LEARNING_RATE,
            after_step=hold,
        )
    return parameters_of(network)


def activations(parameters: Mapping[str, NDArray[Any]], images: Floats) -> list[Floats]:
    """The forward pass in NumPy: what comes out of each hidden layer, and last the logits."""
    weights = [array for array in parameters.values() if array.ndim == 2]
    biases = [array for array in parameters.values() if array.ndim == 1]
    outputs = [images]
    for index, (weight, bias) in enumerate(zip(weights, biases, strict=True)):
        output = outputs[-1] @ weight.T + bias
        outputs.append(np.maximum(output, 0) if index < len(weights) - 1 else output)
    return outputs[1:]


def logits(parameters: Mapping[str, NDArray[Any]], images: Floats) -> Floats:
    """The last of the activations."""
    return activations(parameters, images)[-1]


class Classifier:
    """The trained network as a model to compress."""

    name = NAME

    def __init__(self, digits: Digits) -> None:
        self.digits = digits
        self.targets = np.eye(CLASSES, dtype=np.float32)[digits.train_labels]
        parameters = train(TEACHER_WIDTHS, digits.train_images, self.targets, epochs=TEACHER_EPOCHS)
        self.weights: dict[str, Any] = {name: array for name, array in parameters.items() if array.ndim == 2}
        self.others: dict[str, Any] = {name: array for name, array in parameters.items() if array.ndim != 2}
        *self.hidden, self.train_logits = activations(parameters, digits.train_images)
        self.test_logits = logits(parameters, digits.test_images)

    def quality(self, weights: Mapping[str, Any], others: Mapping[str, Any]) -> Quality:
        return self.quality_of(logits({**weights, **others}, self.digits.test_images))

    def fine_tuned(self, weights: Mapping[str, Any], others: Mapping[str, Any]) -> float:
        """The accuracy after a short training that leaves zeros at zero: the mean of a few orders of the images."""
        parameters = {**weights, **others}
        tuned = [fine_tune(parameters, self.digits.train_images, self.targets, seed) for seed in FINE_TUNE_SEEDS]
        return float(np.mean([self.quality_of(logits(each, self.digits.test_images)).accuracy for each in tuned]))

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
