"""A tagger predicts a tag for each word of a sentence: an encoder computes vectors of the tokens,
and at the first token of every word a softmax predicts the tag (Devlin et al. 2019,
arXiv:1810.04805, section 5.3).
"""

from __future__ import annotations

from typing import ClassVar, Literal

from torch import Tensor

from .encoder_classifier import EncoderClassifier, EncoderClassifierConfig


class TaggerConfig(EncoderClassifierConfig):
    """The settings of a tagger."""

    name: Literal["tagger"] = "tagger"
    task: ClassVar[str] = "tagged"

    def build(self, vocab_size: int) -> Tagger:
        """Make the model, with new weights."""
        return Tagger(self, vocab_size)


class Tagger(EncoderClassifier):
    """An encoder, and layers to the logits of the C tags at every token."""

    def __init__(self, config: TaggerConfig, vocab_size: int) -> None:
        super().__init__(config, vocab_size)
        self.config = config

    def forward(self, ids: Tensor, real: Tensor, segments: Tensor | None = None) -> Tensor:
        """ids (B, T), real (B, T) False = padding at the end → logits (B, T, C)."""
        hidden, _ = self.encode(ids, real, segments)
        return self.classify(hidden[:, 1:])
