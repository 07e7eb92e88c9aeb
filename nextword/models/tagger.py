"""A tagger gives each word of a sentence a tag: an encoder reads the sentence, and at the first
token of every word a softmax chooses among the tags (Devlin et al. 2019, arXiv:1810.04805,
section 5.3).
"""

from __future__ import annotations

from typing import ClassVar, Literal

from torch import Tensor

from .encoder_classifier import EncoderClassifier, EncoderClassifierConfig


class TaggerConfig(EncoderClassifierConfig):
    name: Literal["tagger"] = "tagger"
    task: ClassVar[str] = "tagged"

    def build(self, vocab_size: int) -> Tagger:
        return Tagger(self, vocab_size)


class Tagger(EncoderClassifier):
    """Sentences → logits of every token's tag."""

    def __init__(self, config: TaggerConfig, vocab_size: int) -> None:
        super().__init__(config, vocab_size)
        self.config = config

    def forward(self, ids: Tensor, real: Tensor, segments: Tensor | None = None) -> Tensor:
        """ids (B, T), real (B, T) False = padding at the end → logits (B, T, C)."""
        hidden, _ = self.encode(ids, real, segments)
        return self.classify(hidden[:, 1:])
