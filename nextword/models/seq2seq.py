"""The recurrent sequence-to-sequence model: an encoder reads a source (B, S), and a decoder, which
begins with the encoder's last states, predicts the target (B, T). Without attention it is the model
of Sutskever, Vinyals, Le 2014, arXiv:1409.3215; with attention to the encoder's outputs it is that
of Luong, Pham, Manning 2015, arXiv:1508.04025, sections 3.1 and 3.3.

    m, s = encoder(source)               s, the last states, is the first state of the decoder
    h_t = decoder(E[w_t], h_{t-1})       with input feeding: decoder([E[w_t]; a_{t-1}], h_{t-1})
    c_t = Σ_j softmax(score(h_t, m))_j m_j
    a_t = tanh(C [c_t; h_t])             p(w_{t+1}) = softmax(E' a_t + b)

Without attention a_t = h_t: all that the decoder knows of the source is s.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar, Literal, Self

import torch
from pydantic import Field, field_validator, model_validator
from torch import Tensor, nn

from .. import bounds, registry
from ..config import Use
from ..nn.attention import Score, attend_by_score
from ..nn.bidirectional import Bidirectional, OneWay
from ..nn.dropout import dropout
from ..nn.recurrent import RecurrentLayer, RecurrentStack
from ..types import State
from .base import dropout_unused
from .softmax import Headed, SoftmaxSettings


class Seq2SeqConfig(SoftmaxSettings):
    """The settings of the recurrent sequence-to-sequence model."""

    name: Literal["seq2seq"] = "seq2seq"
    task: ClassVar[str] = "pairs"
    gives_raw: ClassVar[bool] = True

    cell: str = Field(
        "lstm", description="kind of recurrent cell", json_schema_extra={"kind": "cell"}
    )
    embedding: int | None = Field(
        None, ge=1, le=bounds.WIDTH, description="width of the word vectors; none = hidden"
    )
    hidden: int = Field(256, ge=2, le=bounds.WIDTH, description="width of the layers")
    layers: int = Field(
        1, ge=1, le=bounds.LAYERS, description="number of layers of the encoder, and of the decoder"
    )
    bidirectional: bool = Field(True, description="the encoder reads the source in both directions")
    attention: str | None = Field(
        "dot",
        description="how the decoder scores the places of the source; none = no attention: the "
        "decoder has the encoder's last state only",
        json_schema_extra={"kind": "attention"},
    )
    attention_positions: int = Field(
        200,
        ge=1,
        le=bounds.COUNT,
        description="attention=location: places of the source that the decoder can attend to, "
        "from its beginning",
    )
    input_feeding: bool = Field(
        False,
        description="each step of the decoder also reads the attention vector of the last step",
    )
    dropout_input: float = Field(
        0.0, ge=0, lt=1, description="dropout between the embeddings and the first layers"
    )
    dropout_hidden: float = Field(0.0, ge=0, lt=1, description="dropout between the layers")
    dropout_output: float = Field(
        0.0, ge=0, lt=1, description="dropout between the decoder and the softmax"
    )
    locked: bool = Field(
        True, description="dropout keeps one mask for all steps of a sequence (variational dropout)"
    )

    @field_validator("attention", mode="before")
    @classmethod
    def _none(cls, value: Any) -> Any:
        return None if value == "none" else value  # TOML has no null

    @model_validator(mode="after")
    def _fits(self) -> Self:
        registry.load("cell", self.cell)
        if self.attention:
            registry.load("attention", self.attention)
        elif self.input_feeding:
            raise ValueError("input_feeding feeds what attention saw; set model.attention too")
        if self.bidirectional and self.hidden % 2:
            raise ValueError(
                f"hidden = {self.hidden}: two directions share it; give an even number"
            )
        if self.tied and self.embedding not in (None, self.hidden):
            raise ValueError(
                f"tied: the word vectors are what hidden vectors are compared with, so embedding = "
                f"{self.embedding} must be hidden = {self.hidden}"
            )
        return self

    def unused(self, key: str, use: Use) -> str | None:
        if key == "attention_positions" and self.attention != "location":
            return "model.attention=location"
        dropouts = (self.dropout_input, self.dropout_output)
        found = dropout_unused(key, self.layers, dropouts, self.dropout_hidden)
        return found or super().unused(key, use)

    @property
    def by_backend(self) -> bool:
        return True

    @property
    def width(self) -> int:
        """The width of the word vectors."""
        return self.embedding or self.hidden

    def build(self, vocab_size: int, source_vocab_size: int, joint: bool = False) -> Seq2Seq:
        """Make the model, with new weights."""
        return Seq2Seq(self, vocab_size, source_vocab_size, joint)


class Seq2Seq(Headed):
    """A language model of targets whose first state is computed from a source.

    State: what attention reads, if there is attention (the mask (B, S), the encoder's outputs and
    their keys (B, S, H)); the state of the decoder; and, with input feeding, a_t (B, H).
    """

    def __init__(
        self, config: Seq2SeqConfig, vocab_size: int, source_vocab_size: int, joint: bool
    ) -> None:
        """`joint`: source and target share one vocabulary and one embedding."""
        super().__init__()
        self.config = config
        self.vocab_size = vocab_size
        c = config
        self.embedding = _vectors(vocab_size, c.width)
        self.own_source = None if joint else _vectors(source_vocab_size, c.width)
        encoder = Bidirectional if c.bidirectional else OneWay
        widths = [c.hidden] * c.layers
        self.encoder = encoder(c.cell, [c.width, *widths], c.dropout_hidden, c.locked)
        fed = c.hidden if c.input_feeding else 0
        self.stack = RecurrentStack(c.cell, [c.width + fed, *widths], c.dropout_hidden, c.locked)
        self.attention: Score | None = None
        if c.attention:
            kind = registry.load("attention", c.attention)
            self.attention = kind(c.hidden, c.attention_positions)
            self.combine = nn.Linear(2 * c.hidden, c.hidden, bias=False)
        self.head = c.head(c.hidden, vocab_size)

    def layer_parameters(self) -> list[list[nn.Parameter]]:
        """The parameters of each layer: the encoder's, then the decoder's."""
        return [*self.encoder.layer_parameters(), *self.stack.layer_parameters()]

    @property
    def recurrent_layers(self) -> dict[str, Sequence[RecurrentLayer]]:
        ways = self.encoder.by_direction().items()
        return {"decoder": self.stack.layers} | {f"encoder {way}": read for way, read in ways}

    @property
    def source_embedding(self) -> nn.Embedding:
        """The word vectors of the source."""
        return self.embedding if self.own_source is None else self.own_source

    def start(self, source: Tensor, mask: Tensor) -> State:
        """source (B, S), mask (B, S) → the state before the first token of the target."""
        c = self.config
        x = dropout(self.source_embedding(source.T), c.dropout_input, self.training, c.locked)
        memory, state = self.encoder(x, mask.sum(dim=1))
        if self.attention is None:
            return None, state, None
        memory = memory.transpose(0, 1)  # (B, S, H)
        fed = memory.new_zeros(len(source), c.hidden) if c.input_feeding else None
        places = self.attention.places(mask)
        return (places, memory, self.attention.keys(memory)), state, fed

    def hidden(self, ids: Tensor, state: State) -> tuple[Tensor, Tensor | None, State]:
        """ids (B, T) → the input of the head (B, T, H), the same before dropout, the new state."""
        c = self.config
        source, state, fed = state
        x = dropout(self.embedding(ids.T), c.dropout_input, self.training, c.locked)
        if fed is None:
            h, state = self.stack(x, state)
            raw = self._attend(h.transpose(0, 1), source)
        else:
            steps = []
            masks = self.stack.masks(x)
            for x_t in x:
                h, state = self.stack(torch.cat([x_t, fed], dim=1)[None], state, masks)
                fed = self._attend(h.transpose(0, 1), source)[:, 0]
                steps.append(fed)
            raw = torch.stack(steps, dim=1)
        seen = dropout(raw.transpose(0, 1), c.dropout_output, self.training, c.locked)
        return seen.transpose(0, 1), raw, (source, state, fed)

    def _attend(self, h: Tensor, source: State) -> Tensor:
        """h (B, T, H) → a (B, T, H)."""
        if self.attention is None:
            return h
        mask, memory, keys = source
        context, _ = attend_by_score(self.attention, h, keys, memory, mask)
        out: Tensor = self.combine(torch.cat([context, h], dim=2)).tanh()
        return out


def _vectors(words: int, width: int) -> nn.Embedding:
    embedding = nn.Embedding(words, width)
    nn.init.normal_(embedding.weight, std=0.05)
    return embedding
