"""A classifier predicts the label of a text, or of a pair of texts: an encoder computes vectors of
the tokens, pooling turns them into one vector, and a softmax predicts the label.

first:  the encoder's own vector of the text: tanh(C h_1 + c) in BERT (Devlin et al. 2019,
        arXiv:1810.04805, section 3.2), h_1 in other encoders
mean:   Σ_t h_t / T
concat: [h_T; mean_t h_t; max_t h_t], as in ULMFiT (Howard and Ruder 2018, arXiv:1801.06146,
        section 3.3)
"""

from __future__ import annotations

from typing import ClassVar, Literal

import torch
from pydantic import Field
from torch import Tensor

from .encoder_classifier import EncoderClassifier, EncoderClassifierConfig


class ClassifierConfig(EncoderClassifierConfig):
    """The settings of a classifier."""

    name: Literal["classifier"] = "classifier"
    task: ClassVar[str] = "labelled"

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
        """Make the model, with new weights."""
        return Classifier(self, vocab_size)


class Classifier(EncoderClassifier):
    """An encoder, pooling, and layers to the logits of the C labels."""

    def __init__(self, config: ClassifierConfig, vocab_size: int) -> None:
        vectors = 3 if config.pooling == "concat" else 1
        super().__init__(config, vocab_size, vectors, batch_norm=config.batch_norm)
        self.config = config

    def forward(self, ids: Tensor, real: Tensor, segments: Tensor | None = None) -> Tensor:
        """ids (B, T), real (B, T) False = padding at the end, segments (B, T) → logits (B, C)."""
        return self.classify(self._pool(*self.encode(ids, real, segments)))

    def _pool(self, hidden: Tensor, real: Tensor) -> Tensor:
        """hidden (B, T, H), real (B, T) → one vector for each text (B, P)."""
        if self.config.pooling == "first":
            return self.encoder.pool(hidden)
        counts = real.sum(dim=1, keepdim=True)
        mean = (hidden * real[..., None]).sum(dim=1) / counts
        if self.config.pooling == "mean":
            return mean
        last = hidden[torch.arange(len(hidden), device=hidden.device), counts[:, 0] - 1]
        largest = hidden.masked_fill(~real[..., None], -torch.inf).amax(dim=1)
        return torch.cat([last, mean, largest], dim=1)
