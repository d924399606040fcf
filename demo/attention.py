"""The softmax inside the transformer, done by the operation: its temperature is what the scores are divided by."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import tersor
import torch
from numpy.typing import NDArray

from demo import numpy_operations
from demo.arrays import to_kind, to_numpy
from demo.checks import require
from demo.measure import Row
from demo.probabilities import check_softmax
from demo.sentences import SentenceEncoder
from demo.timing import TimedOperations, interleave

IMPLEMENTATION = "demo_softmax"
LEAST_COSINE = 0.999999


class Attention:
    """Attention as the transformers library calls it, with a choice of who does the softmax."""

    def __init__(self) -> None:
        self.operations = TimedOperations(tersor)
        self.by_numpy = False
        self.checked = False

    def __call__(
        self,
        module: Any,
        query: torch.Tensor,
        key: torch.Tensor,
        value: torch.Tensor,
        attention_mask: torch.Tensor | None,
        scaling: float | None = None,
        **others: Any,
    ) -> tuple[torch.Tensor, None]:
        scores = query @ key.transpose(2, 3)
        if attention_mask is not None:
            scores = scores + attention_mask
        temperature = query.shape[-1] ** 0.5 if scaling is None else 1 / scaling
        if self.by_numpy:
            probabilities = to_kind(self.operations.softmax(to_numpy(scores), temperature), like=scores)
        else:
            probabilities = self.operations.softmax(scores, temperature)
        if self.checked:
            check_softmax("attention", probabilities, scores, temperature)
        return (probabilities @ value).transpose(1, 2).contiguous(), None


@contextmanager
def attention_of(encoder: SentenceEncoder) -> Iterator[Attention]:
    """The transformer's attention replaced."""
    from transformers import AttentionInterface, AttentionMaskInterface
    from transformers.masking_utils import eager_mask

    attention = Attention()
    AttentionInterface.register(IMPLEMENTATION, attention)
    AttentionMaskInterface.register(IMPLEMENTATION, eager_mask)
    model = encoder.transformer[0].auto_model
    usual = model.config._attn_implementation
    model.set_attn_implementation(IMPLEMENTATION)
    try:
        yield attention
    finally:
        model.set_attn_implementation(usual)


def measure_attention(encoder: SentenceEncoder, original: Row, budget_seconds: float) -> Row:
    """The row of the softmax: all sentences embedded, with the weights as they are."""
    numpy_timed, tersor_timed = TimedOperations(numpy_operations), TimedOperations(tersor)
    with attention_of(encoder) as attention:

        def embed(operations: TimedOperations, by_numpy: bool) -> NDArray[np.float32]:
            attention.operations, attention.by_numpy = operations, by_numpy
            return encoder.embed()

        timing, by_numpy, by_tersor = interleave(
            lambda: embed(numpy_timed, True),
            lambda: embed(tersor_timed, False),
            numpy_timed,
            tersor_timed,
            budget_seconds,
        )
        attention.checked = True
        checked = embed(TimedOperations(tersor), False)
    for source, embeddings in (("NumPy", by_numpy), ("tersor", by_tersor), ("tersor, checked", checked)):
        cosine = encoder.quality_of(embeddings).cosine
        require(cosine >= LEAST_COSINE, f"attention by {source}: the embeddings have moved, cosine {cosine:.7f}")
    return Row(
        model=encoder.name,
        method="attention by softmax",
        family="softmax",
        size_bytes=original.size_bytes,
        sparsity=original.sparsity,
        quality=encoder.quality_of(by_tersor),
        timing=timing,
    )
