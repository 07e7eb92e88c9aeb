"""A label for a text, or for two: an encoder, its vectors pooled, a softmax over the labels.

first:  tanh(C h_1 + c), BERT's (Devlin et al. 2019, section 3.2)
mean:   Σ_t h_t / T
concat: [h_T; mean_t h_t; max_t h_t], ULMFiT's (Howard and Ruder 2018, arXiv:1801.06146,
        section 3.3)
"""

from __future__ import annotations

from typing import ClassVar, Literal

import torch
from pydantic import Field
from torch import Tensor

from .on_encoder import Labeller, OnEncoder


class ClassifierConfig(OnEncoder):
    name: Literal["classifier"] = "classifier"
    reads: ClassVar[str] = "labelled"

    pairs: bool = Field(
        False, description="an example is a pair of texts; taken from the training texts"
    )
    pooling: Literal["first", "mean", "concat"] = Field(
        "concat",
        description="one vector for a text: that of the first token (BERT), the mean, or last, "
        "mean and maximum side by side (ULMFiT)",
    )
    batch_norm: bool = Field(
        False,
        description="batch normalisation before each layer that is put on the encoder (ULMFiT)",
    )

    def build(self, vocab_size: int) -> Classifier:
        return Classifier(self, vocab_size)


class Classifier(Labeller):
    """Texts → logits of their labels."""

    def __init__(self, config: ClassifierConfig, vocab_size: int) -> None:
        vectors = 3 if config.pooling == "concat" else 1
        super().__init__(config, vocab_size, vectors, normed=config.batch_norm)
        self.config = config

    def forward(self, ids: Tensor, real: Tensor, segments: Tensor | None = None) -> Tensor:
        """ids (B, T), real (B, T) False = padding at the end, segments (B, T) → logits (B, C)."""
        return self.answer(self._pool(*self.read(ids, real, segments)))

    def _pool(self, hidden: Tensor, real: Tensor) -> Tensor:
        """hidden (B, T, H) → (B, P)."""
        if self.config.pooling == "first":
            first: Tensor = (
                self.encoder.pool(hidden) if hasattr(self.encoder, "pool") else hidden[:, 0]
            )
            return first
        counts = real.sum(dim=1, keepdim=True)
        mean = (hidden * real[..., None]).sum(dim=1) / counts
        if self.config.pooling == "mean":
            return mean
        last = hidden[torch.arange(len(hidden), device=hidden.device), counts[:, 0] - 1]
        largest = hidden.masked_fill(~real[..., None], -torch.inf).amax(dim=1)
        return torch.cat([last, mean, largest], dim=1)
