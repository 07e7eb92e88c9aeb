"""A bidirectional recurrent encoder: word vectors and bidirectional recurrent layers (Schuster and
Paliwal 1997): ids (B, T) → vectors (B, T, H)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar, Literal, Self

from pydantic import Field, model_validator
from torch import Tensor, nn

from .. import bounds, registry
from ..config import Use
from ..nn.bidirectional import Bidirectional
from ..nn.dropout import dropout
from ..nn.recurrent import RecurrentLayer
from ..text.tokenizer import EOS
from .base import Encoder, EncoderConfig, dropout_unused


class BidirectionalConfig(EncoderConfig):
    """The settings of the bidirectional recurrent encoder."""

    name: Literal["bidirectional"] = "bidirectional"
    encodes: ClassVar[bool] = True
    cell: str = Field(
        "lstm", description="kind of recurrent cell", json_schema_extra={"kind": "cell"}
    )
    embedding: int | None = Field(
        None, ge=1, le=bounds.WIDTH, description="width of the word vectors; none = hidden"
    )
    hidden: int = Field(
        256, ge=2, le=bounds.WIDTH, description="width of a layer, both directions together"
    )
    layers: int = Field(1, ge=1, le=bounds.LAYERS, description="number of recurrent layers")
    dropout_input: float = Field(
        0.3, ge=0, lt=1, description="dropout between the embedding and the first layer"
    )
    dropout_hidden: float = Field(0.3, ge=0, lt=1, description="dropout between the layers")
    dropout_output: float = Field(0.3, ge=0, lt=1, description="dropout after the last layer")
    locked: bool = Field(
        True, description="dropout keeps one mask for all steps of a sequence (variational dropout)"
    )

    @model_validator(mode="after")
    def _fits(self) -> Self:
        registry.load("cell", self.cell)
        if self.hidden % 2:
            raise ValueError(
                f"hidden = {self.hidden}: two directions share it; give an even number"
            )
        return self

    def unused(self, key: str, use: Use) -> str | None:
        dropouts = (self.dropout_input, self.dropout_output)
        return dropout_unused(key, self.layers, dropouts, self.dropout_hidden)

    @property
    def by_backend(self) -> bool:
        return True

    @property
    def output_width(self) -> int:
        return self.hidden

    def build(self, vocab_size: int) -> BidirectionalEncoder:
        """Make the model, with new weights."""
        return BidirectionalEncoder(self, vocab_size)

    def build_encoder(self, vocab_size: int) -> BidirectionalEncoder:
        return self.build(vocab_size)


class BidirectionalEncoder(Encoder):
    """Word vectors and bidirectional layers. The vector of each token depends on the whole text."""

    begin_id = EOS

    def __init__(self, config: BidirectionalConfig, vocab_size: int) -> None:
        super().__init__()
        c = self.config = config
        self.vocab_size = vocab_size
        width = c.embedding or c.hidden
        self.embedding = nn.Embedding(vocab_size, width)
        nn.init.normal_(self.embedding.weight, std=0.1)
        self.stack = Bidirectional(
            c.cell, [width, *[c.hidden] * c.layers], c.dropout_hidden, c.locked
        )

    @property
    def width(self) -> int:
        return self.config.output_width

    @property
    def recurrent_layers(self) -> dict[str, Sequence[RecurrentLayer]]:
        return self.stack.by_direction()

    def layer_parameters(self) -> list[list[nn.Parameter]]:
        return self.stack.layer_parameters()

    def encode(self, ids: Tensor, real: Tensor, segments: Tensor | None = None) -> Tensor:
        """ids (B, T), real (B, T) False = padding at the end → (B, T, H). `segments` are
        ignored."""
        c = self.config
        x = dropout(self.embedding(ids.T), c.dropout_input, self.training, c.locked)
        h, _ = self.stack(x, real.sum(dim=1))
        return dropout(h, c.dropout_output, self.training, c.locked).transpose(0, 1)
