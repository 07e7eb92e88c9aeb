"""The recurrent language model: word vectors, a stack of recurrent layers, and a softmax that
predicts the next word: ids (B, T) → logits (B, T, V).

    x_t = E[w_t]      h_t, state = stack(x_t, state)      p(w_{t+1}) = softmax(E' h_t + b)

(Mikolov et al. 2010; with LSTM cells Zaremba et al. 2014, arXiv:1409.2329; the forms of dropout and
weight tying of the AWD-LSTM: Merity et al. 2017, arXiv:1708.02182, sections 2 and 4.)
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar, Literal, Self

import torch
from pydantic import Field, model_validator
from torch import Tensor, nn

from .. import bounds, registry
from ..config import Use
from ..nn.dropout import drop_words, dropout
from ..nn.recurrent import RecurrentLayer, RecurrentStack
from ..text.tokenizer import EOS
from ..types import State
from .base import Encoder, EncoderConfig, dropout_unused
from .softmax import HEAD, Headed, SoftmaxSettings


class RecurrentConfig(SoftmaxSettings, EncoderConfig):
    """The settings of a recurrent language model."""

    name: Literal["recurrent"] = "recurrent"
    layered: ClassVar[bool] = True
    gives_raw: ClassVar[bool] = True
    of_the_head: ClassVar[frozenset[str]] = HEAD

    cell: str = Field(
        "lstm", description="kind of recurrent cell", json_schema_extra={"kind": "cell"}
    )
    embedding: int | None = Field(
        None, ge=1, le=bounds.WIDTH, description="width of the word vectors; none = hidden"
    )
    hidden: int = Field(256, ge=1, le=bounds.WIDTH, description="width of the layers")
    layers: int = Field(1, ge=1, le=bounds.LAYERS, description="number of recurrent layers")
    embedding_std: float = Field(
        0.05, gt=0, le=bounds.NUMBER, description="standard deviation of the initial word vectors"
    )
    recurrent_gain: float = Field(
        1.0,
        gt=0,
        le=bounds.NUMBER,
        description="the initial recurrent matrices are multiplied by this; with a large gain "
        "gradients explode, with a small one they vanish",
    )
    tied: bool = Field(
        False,
        description="the output weights are the embedding; the last layer takes the embedding's "
        "width",
    )
    dropout_embedding: float = Field(
        0.0, ge=0, lt=1, description="dropout of whole words: share of the vocabulary"
    )
    dropout_input: float = Field(
        0.0, ge=0, lt=1, description="dropout between the embedding and the first layer"
    )
    dropout_hidden: float = Field(0.0, ge=0, lt=1, description="dropout between the layers")
    dropout_output: float = Field(
        0.0, ge=0, lt=1, description="dropout between the last layer and the softmax"
    )
    dropout_weight: float = Field(
        0.0, ge=0, lt=1, description="weight drop: dropout of the recurrent matrices"
    )
    dropout_weight_input: float = Field(
        0.0,
        ge=0,
        lt=1,
        description="weight drop of the matrices that multiply a layer's input, too",
    )
    mogrify: int = Field(
        0,
        ge=0,
        le=bounds.LAYERS,
        description="Mogrifier: rounds in which a layer's input and state gate each other; 0 = "
        "none, 5 is usual",
    )
    mogrify_rank: int = Field(
        64,
        ge=0,
        le=bounds.WIDTH,
        description="Mogrifier: rank of the gating matrices; 0 = full rank",
    )
    locked: bool = Field(
        True, description="dropout keeps one mask for all steps of a sequence (variational dropout)"
    )

    @model_validator(mode="after")
    def _known_cell(self) -> Self:
        registry.load("cell", self.cell)
        return self

    def unused(self, key: str, use: Use) -> str | None:
        match key:
            case "mogrify_rank" if not self.mogrify:
                return "model.mogrify above 0"
            case "embedding_std" | "recurrent_gain" if use.same_model:
                return "models with new weights"
        dropouts = (self.dropout_input, self.dropout_output)
        found = dropout_unused(key, self.layers, dropouts, self.dropout_hidden)
        return found or super().unused(key, use)

    @property
    def by_backend(self) -> bool:
        return not self.mogrify

    @property
    def by_graphs(self) -> bool:
        return self.fixed_shapes

    @property
    def widths(self) -> list[int]:
        """The width of the word vectors, then of each layer."""
        embedding = self.embedding or self.hidden
        layers = [self.hidden] * self.layers
        if self.tied:
            layers[-1] = embedding
        return [embedding, *layers]

    @property
    def output_width(self) -> int:
        return self.widths[-1]

    def build(self, vocab_size: int) -> RecurrentLM:
        """Make the model, with new weights."""
        return RecurrentLM(self, vocab_size)

    def build_encoder(self, vocab_size: int) -> RecurrentLM:
        return self.build(vocab_size).without_head()


class RecurrentLM(Headed, Encoder):
    """A recurrent language model.

    State: for each layer the tensors (B, H) of its cell.

    Example:
        >>> import torch
        >>> model = RecurrentConfig(hidden=8).build(vocab_size=10)
        >>> output = model.forward(torch.tensor([[1, 2, 3]]), model.start(1))
        >>> output.logits.shape
        torch.Size([1, 3, 10])
    """

    begin_id = EOS
    time_first = True  # the layers compute (T, B, H)

    def __init__(self, config: RecurrentConfig, vocab_size: int) -> None:
        super().__init__()
        self.config = config
        self.vocab_size = vocab_size
        width, *_, top = config.widths
        self.embedding = nn.Embedding(vocab_size, width)
        nn.init.normal_(self.embedding.weight, std=config.embedding_std)
        self.stack = RecurrentStack(
            config.cell,
            config.widths,
            config.dropout_hidden,
            config.locked,
            config.dropout_weight,
            (config.mogrify, config.mogrify_rank),
            config.dropout_weight_input,
        )
        with torch.no_grad():
            for layer in self.stack.layers:
                layer.U.mul_(config.recurrent_gain)
        self.head = config.head(top, vocab_size)

    @property
    def width(self) -> int:
        return self.config.output_width

    @property
    def fixed_shapes(self) -> bool:
        """True with a full softmax: the work of other heads depends on the words of a batch."""
        return self.config.fixed_shapes

    @property
    def recurrent_layers(self) -> dict[str, Sequence[RecurrentLayer]]:
        return {"text": self.stack.layers}

    def layer_parameters(self) -> list[list[nn.Parameter]]:
        return self.stack.layer_parameters()

    def start(self, batch_size: int) -> State:
        """The state before a text: for each layer the tensors (B, H) of its cell, all zeros."""
        return self.stack.start(batch_size)

    def hidden(self, ids: Tensor, state: State) -> tuple[Tensor, Tensor, State]:
        """ids (B, T) → the input of the head (T, B, H), the same before dropout, the new state."""
        c = self.config
        steps = ids.T.contiguous()  # (T, B)
        x = self.embedding(steps)
        x = drop_words(x, steps, c.dropout_embedding, self.vocab_size, self.training)
        x = dropout(x, c.dropout_input, self.training, c.locked)
        raw, state = self.stack(x, state)
        return dropout(raw, c.dropout_output, self.training, c.locked), raw, state

    def encode(self, ids: Tensor, real: Tensor, segments: Tensor | None = None) -> Tensor:
        """ids (B, T) → vectors (B, T, H), each of which depends on its token and those before it.
        Padding is at the end, so it changes no vector of a real token."""
        return self.hidden(ids, self.start(len(ids)))[0].transpose(0, 1)
