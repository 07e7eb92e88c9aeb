"""BERT, a Transformer encoder in which every token attends to all others: ids (B, T) → hidden
vectors (B, T, H). It learns to predict masked words, and whether the second of two pieces of text
follows the first (Devlin et al. 2019, arXiv:1810.04805, section 3).

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

from .. import bounds
from ..config import Use
from ..nn.dropout import dropout
from ..nn.heads import SoftmaxHead
from ..nn.transformer import Activation, Shape, TransformerLayer, activate, sinusoids
from ..text.tokenizer import EOS
from ..text.wordpiece import CLS
from .base import Encoder, EncoderConfig
from .transformer_settings import Sizes


class BertConfig(Sizes, EncoderConfig):
    """The settings of BERT."""

    name: Literal["bert"] = "bert"
    task: ClassVar[str] = "sentences"
    exports: ClassVar[tuple[str, ...]] = ("hf",)
    of_the_head: ClassVar[frozenset[str]] = frozenset({"predicts"})

    context: int = Field(
        128,
        ge=8,
        le=bounds.CONTEXT,
        description="the most tokens of a sequence, [CLS] and [SEP] included",
    )
    segments: int = Field(
        2,
        ge=1,
        le=bounds.LAYERS,
        description="number of segment embeddings; a pair of texts needs 2",
    )
    activation: Activation = Field("gelu", description="non-linearity of the feed-forward part")
    dropout_attention: float = Field(
        0.1, ge=0, lt=1, description="dropout of the attention weights"
    )
    epsilon: float = Field(
        1e-12, gt=0, le=bounds.NUMBER, description="added to the variance in layer normalisation"
    )
    predicts: bool = Field(
        True, description="the model has the layers that predict masked words and next sentences"
    )

    def unused(self, key: str, use: Use) -> str | None:
        if key == "predicts" and not self.predicts:
            return "models from other programs, which may lack these layers,"
        return super().unused(key, use)

    @property
    def reads_marks(self) -> bool:
        return True

    @property
    def shape(self) -> Shape:
        """The sizes and options of every layer."""
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
        """Make the model, with new weights."""
        return Bert(self, vocab_size)

    def build_encoder(self, vocab_size: int) -> Bert:
        return self.model_copy(update={"predicts": False}).build(vocab_size)


class Bert(Encoder):
    """An encoder with two heads: one predicts masked words, the other whether the second piece of
    text follows the first."""

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
        """Initialise the weights.

        The paper uses a standard deviation of 0.02, with a width of 768 and a small learning rate.
        At the higher rates of short trainings a few steps of Adam undo this initialisation, and a
        masked token needs thousands of steps to learn to attend to its neighbours. So the word and
        position vectors have a standard deviation of 1/√H here; the positions are sinusoids, which
        are similar for near positions; and the query matrix is correlated with the key matrix.
        Every position then attends to near ones first (to the same effect as Trockman and Kolter
        2023, arXiv:2305.09828). The matrices are not equal, because equal ones cannot distinguish
        the word before from the word after.
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
        """The hidden vectors (B, T, H), as `forward`; see `Encoder.encode`."""
        return self(ids, real, segments)  # type: ignore[no-any-return]

    def pool(self, hidden: Tensor) -> Tensor:
        """hidden (B, T, H) → tanh(C h_1 + c) (B, H), a vector for the whole sequence."""
        out: Tensor = self.pooler(hidden[:, 0]).tanh()
        return out

    def next_sentence(self, hidden: Tensor) -> Tensor:
        """hidden (B, T, H) → logits (B, 2); class 0: the second piece follows the first, class 1:
        it does not."""
        out: Tensor = self.follows(self.pool(hidden))
        return out

    def transformed(self, hidden: Tensor) -> Tensor:
        """hidden (..., H) → LN(act(M h + m)) (..., H), the input of the softmax over words."""
        y = activate(self.transform(hidden), self.config.activation)
        out: Tensor = self.transform_norm(y)
        return out

    def logits(self, hidden: Tensor) -> Tensor:
        """hidden (..., H) → logits (..., V) of the word at each position."""
        out: Tensor = self.head(self.transformed(hidden), self.embedding.weight)
        return out

    def predict(self, hidden: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
        """hidden (N, H), targets (N,) → log-probabilities (N,), and whether each target was the
        most probable word (N,)."""
        log_prob, hit = self.head.score(self.transformed(hidden), targets, self.embedding.weight)
        assert hit is not None
        return log_prob, hit
