"""BERT is a Transformer encoder that reads text both ways: every token sees all others. It learns
to predict masked words, and whether the second of two pieces of text follows the first: ids (B, T)
→ hidden vectors (B, T, H) (Devlin et al. 2019, arXiv:1810.04805, section 3).

x_t = LN(E[w_t] + P[t] + S[segment_t])      h = layers(x)
p(w_t | the rest) = softmax(E LN(act(M h_t + m)) + b)
p(B follows A) = softmax(N tanh(C h_1 + c))
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar, Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from ..nn.dropout import dropout
from ..nn.heads import SoftmaxHead
from ..nn.transformer import Activation, Shape, TransformerLayer, activate, sinusoids
from ..text.tokenizer import EOS
from ..text.wordpiece import CLS
from .base import Encoder, EncoderConfig
from .transformer_settings import Sizes


class BertConfig(Sizes, EncoderConfig):
    name: Literal["bert"] = "bert"
    task: ClassVar[str] = "sentences"
    exports: ClassVar[tuple[str, ...]] = ("hf",)

    context: int = Field(
        128, ge=8, description="the most tokens of a sequence, [CLS] and [SEP] included"
    )
    segments: int = Field(
        2, ge=1, description="number of segment embeddings; a pair of texts needs 2"
    )
    activation: Activation = Field("gelu", description="non-linearity of the feed-forward part")
    dropout_attention: float = Field(
        0.1, ge=0, lt=1, description="dropout of the attention weights"
    )
    epsilon: float = Field(1e-12, gt=0, description="added to the variance in layer normalisation")
    predicts: bool = Field(
        True, description="the model has the layers that predict masked words and next sentences"
    )

    @property
    def shape(self) -> Shape:
        return Shape(
            self.hidden,
            self.heads,
            self.inner or 4 * self.hidden,
            self.dropout,
            self.dropout_attention,
            pre_norm=False,
            activation=self.activation,
            epsilon=self.epsilon,
        )

    def build(self, vocab_size: int) -> Bert:
        return Bert(self, vocab_size)

    def build_encoder(self, vocab_size: int) -> Bert:
        return self.model_copy(update={"predicts": False}).build(vocab_size)


class Bert(Encoder):
    """An encoder with two heads: one predicts masked words, one whether a piece follows another."""

    begin_id, end_id = CLS, EOS

    def __init__(self, config: BertConfig, vocab_size: int) -> None:
        super().__init__()
        c = self.config = config
        self.vocab_size = vocab_size
        self.context = c.context
        self.embedding = nn.Embedding(vocab_size, c.hidden)
        self.positions = nn.Embedding(c.context, c.hidden)
        self.segments = nn.Embedding(c.segments, c.hidden)
        self.norm = nn.LayerNorm(c.hidden, eps=c.epsilon)
        layers = nn.ModuleList(
            TransformerLayer(c.shape, name=f"layer.{i}.") for i in range(c.layers)
        )
        self.layers: Sequence[TransformerLayer] = layers  # type: ignore[assignment]
        self.pooler = nn.Linear(c.hidden, c.hidden)
        if c.predicts:
            self.follows = nn.Linear(c.hidden, 2)
            self.transform = nn.Linear(c.hidden, c.hidden)
            self.transform_norm = nn.LayerNorm(c.hidden, eps=c.epsilon)
            self.head = SoftmaxHead(c.hidden, vocab_size, tied=True)
        self._begin()

    @property
    def width(self) -> int:
        return self.config.output_width

    def layer_parameters(self) -> list[list[nn.Parameter]]:
        return [list(layer.parameters()) for layer in self.layers]

    @torch.no_grad()
    def _begin(self) -> None:
        """Where weights begin that no file brings.

        The paper's standard deviation of 0.02 is for 768 numbers and a slow rate; at a rate for
        two cores a few steps of Adam undo it, and it takes thousands of them until a gap sees the
        words beside it. So words and positions begin with one of 1/√H, positions as sinusoids, of
        which near ones are alike, and queries begin half as the keys do: every position attends to
        what is near it first (to like effect Trockman and Kolter 2023, arXiv:2305.09828). Only
        half, since what is the same for both cannot tell the word before from the word behind.
        """
        for module in self.modules():
            if isinstance(module, (nn.Linear, nn.Embedding)):
                nn.init.normal_(module.weight, std=0.02)
            if isinstance(module, nn.Linear):
                nn.init.zeros_(module.bias)
        c, std = self.config, self.config.hidden**-0.5
        nn.init.normal_(self.embedding.weight, std=std)
        places = sinusoids(c.context, c.hidden)
        self.positions.weight.copy_(std * places / places.std())
        for layer in self.layers:
            attention = layer.attention
            keys = attention.kv.weight[: c.hidden]
            for weight in (attention.q.weight, keys):
                nn.init.normal_(weight, std=std)
            keys.add_(attention.q.weight).mul_(0.5**0.5)

    def forward(
        self, ids: Tensor, real: Tensor | None = None, segments: Tensor | None = None
    ) -> Tensor:
        """ids (B, T), real (B, T) False = padding, segments (B, T) → hidden vectors (B, T, H)."""
        places = torch.arange(ids.shape[1], device=ids.device)
        which = torch.zeros_like(ids) if segments is None else segments
        x: Tensor = self.embedding(ids) + self.positions(places) + self.segments(which)
        x = dropout(self.norm(x), self.config.dropout, self.training, locked=False)
        mask = None if real is None else real[:, None, None]
        for layer in self.layers:
            x, _ = layer(x, mask)
        return x

    def encode(self, ids: Tensor, real: Tensor, segments: Tensor | None = None) -> Tensor:
        """What `forward` gives."""
        return self(ids, real, segments)  # type: ignore[no-any-return]

    def pool(self, hidden: Tensor) -> Tensor:
        """hidden (B, T, H) → tanh(C h_1 + c) (B, H), of the whole sequence."""
        out: Tensor = self.pooler(hidden[:, 0]).tanh()
        return out

    def next_sentence(self, hidden: Tensor) -> Tensor:
        """hidden (B, T, H) → logits (B, 2): the second piece follows the first, it does not."""
        out: Tensor = self.follows(self.pool(hidden))
        return out

    def transformed(self, hidden: Tensor) -> Tensor:
        """hidden (..., H) → what is compared with the word vectors (..., H)."""
        y = activate(self.transform(hidden), self.config.activation)
        out: Tensor = self.transform_norm(y)
        return out

    def logits(self, hidden: Tensor) -> Tensor:
        """hidden (..., H) → logits (..., V) of the word at each place."""
        out: Tensor = self.head(self.transformed(hidden), self.embedding.weight)
        return out

    def predict(self, hidden: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
        """hidden (N, H), targets (N,) → log-probabilities (N,), and whether each target was the
        most probable word (N,)."""
        log_prob, hit = self.head.score(self.transformed(hidden), targets, self.embedding.weight)
        assert hit is not None
        return log_prob, hit
