"""The common part of models with Transformer layers: settings, the embedding of words and
positions, and the stack of causal layers with its KV cache."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Literal, Self

import torch
from pydantic import Field, model_validator
from torch import Tensor, nn

from .. import bounds
from ..config import Part
from ..nn.dropout import dropout
from ..nn.transformer import (
    Activation,
    PositionKind,
    Positions,
    Shape,
    TransformerLayer,
    causal_mask,
)
from ..types import State
from .softmax import SoftmaxSettings


class Sizes(Part):
    """The sizes of a stack of Transformer layers."""

    hidden: int = Field(256, ge=2, le=bounds.WIDTH, description="width of every vector")
    layers: int = Field(4, ge=1, le=bounds.LAYERS, description="number of Transformer layers")
    heads: int = Field(
        4,
        ge=1,
        le=bounds.LAYERS,
        description="attention heads of a layer; hidden must be divisible by their number",
    )
    inner: int | None = Field(
        None,
        ge=1,
        le=bounds.WIDTH,
        description="width inside the feed-forward part; none = 4 x hidden",
    )
    dropout: float = Field(
        0.1,
        ge=0,
        lt=1,
        description="dropout of the embeddings, and of what each attention and feed-forward part "
        "adds",
    )

    @model_validator(mode="after")
    def _heads_divide(self) -> Self:
        if self.hidden % self.heads:
            raise ValueError(
                f"hidden = {self.hidden} is not divisible by heads = {self.heads}; "
                f"try hidden={self.heads * max(1, round(self.hidden / self.heads))}"
            )
        return self

    @property
    def output_width(self) -> int:
        """H, the width of the output vectors."""
        return self.hidden


class TransformerSettings(Sizes, SoftmaxSettings):
    """The settings of a stack that predicts the next token."""

    context: int = Field(
        256, ge=2, le=bounds.CONTEXT, description="the most tokens that the model sees at once"
    )
    positions: PositionKind = Field("sinusoidal", description="how a token's place is encoded")
    norm: Literal["pre", "post"] = Field(
        "pre",
        description="where layer normalisation stands: before each part (pre), or after each "
        "residual sum as in the paper (post)",
    )
    activation: Activation = Field("relu", description="non-linearity of the feed-forward part")
    dropout_attention: float = Field(
        0.0, ge=0, lt=1, description="dropout of the attention weights"
    )
    scale_embedding: bool = Field(
        True, description="word vectors are multiplied by √hidden before positions are added"
    )

    @property
    def shape(self) -> Shape:
        """The sizes and options of every layer."""
        return Shape(
            self.hidden,
            self.heads,
            self.inner or 4 * self.hidden,
            self.dropout,
            self.dropout_attention,
            self.norm == "pre",
            self.activation,
        )

    def embed(self, vocab_size: int) -> nn.Embedding:
        """New word vectors. With the scaling of `scale_embedding`, or without it, their standard
        deviation suits tied weights."""
        embedding = nn.Embedding(vocab_size, self.hidden)
        nn.init.normal_(embedding.weight, std=self.hidden**-0.5 if self.scale_embedding else 0.02)
        return embedding


class Embedded(nn.Module):
    """Embeds words and positions: x_t = √H E[w_t] + P[t] (Vaswani et al. 2017, sections 3.4 and
    3.5); without `scale_embedding` the factor √H is 1."""

    def __init__(self, config: TransformerSettings) -> None:
        super().__init__()
        self.config = config
        self.positions = Positions(config.positions, config.context, config.hidden)

    def forward(self, ids: Tensor, embedding: nn.Embedding, first: Tensor | None = None) -> Tensor:
        """ids (B, T), the first of which has the position `first` (B,), default 0 → (B, T, H)."""
        c = self.config
        places = torch.arange(ids.shape[1], device=ids.device)[None]
        if first is not None:
            places = places + first[:, None]
        x = embedding(ids)
        if c.scale_embedding:
            x = x * math.sqrt(c.hidden)
        return dropout(x + self.positions(places), c.dropout, self.training, locked=False)


class CausalStack(nn.Module):
    """Layers in which no token attends to a later one.

    The state is a KV cache: the number of tokens read (B,), and for each layer their keys and
    values (B, P, H). The last token is at the end; before the first one there may be padding.
    """

    def __init__(self, config: TransformerSettings, *, source: bool, name: str) -> None:
        super().__init__()
        self.config = config
        layers = nn.ModuleList(
            TransformerLayer(config.shape, source=source, name=f"{name}.{i}.")
            for i in range(config.layers)
        )
        self.layers: Sequence[TransformerLayer] = layers  # type: ignore[assignment]
        self.norm = nn.LayerNorm(config.hidden) if config.norm == "pre" else nn.Identity()

    def start(self, batch_size: int, like: Tensor) -> State:
        """The empty cache, with the type and device of `like`."""
        count = torch.zeros(batch_size, dtype=torch.int64, device=like.device)
        none = like.new_zeros(batch_size, 0, self.config.hidden)
        return count, tuple((none, none) for _ in self.layers)

    def sources(self, memory: Tensor) -> State:
        """memory (B, S, H) → its keys and values (B, S, H) for the cross-attention of each
        layer."""
        attentions = [layer.source_attention for layer in self.layers]
        return tuple(a.keys_values(memory) for a in attentions if a is not None)

    def forward(
        self, x: Tensor, state: State, sources: State = None, source_mask: Tensor | None = None
    ) -> tuple[Tensor, State]:
        """x (B, T, H), state, the source's keys and values (B, S, H) for each layer from `sources`,
        its mask (B, S) → outputs (B, T, H), the new state."""
        count, cached = state
        mask, causal = causal_mask(count, cached[0][0].shape[1], x.shape[1])
        if source_mask is not None:
            source_mask = source_mask[:, None, None]
        kept = []
        for index, layer in enumerate(self.layers):
            x, keys_values = layer(
                x,
                mask,
                causal=causal,
                cached=cached[index],
                source=None if sources is None else sources[index],
                source_mask=source_mask,
            )
            kept.append(keys_values)
        return self.norm(x), (count + x.shape[1], tuple(kept))
