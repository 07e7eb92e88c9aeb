"""The common part of models with a softmax over the vocabulary: its settings, and `forward` and
`score` in terms of hidden vectors."""

from __future__ import annotations

from abc import abstractmethod
from itertools import pairwise
from typing import Annotated, ClassVar, Literal, Self

from pydantic import Field, model_validator
from torch import Tensor, nn

from .. import bounds
from ..config import Use
from ..errors import InputError
from ..nn.heads import AdaptiveHead, Head, MixtureHead, SampledHead, SoftmaxHead
from ..types import Output, Scored, State
from .base import TrainableModel, TrainedPart


class SoftmaxSettings(TrainedPart):
    """The settings of the softmax that predicts the next token."""

    tied: bool = Field(False, description="the output weights are the embedding")
    softmax: Literal["full", "sampled", "adaptive"] = Field(
        "full",
        description="full = over all words. For vocabularies of 30,000 words and more: sampled = "
        "training counts the frequent words, the batch's own and a sample of the others; adaptive "
        "= rare words have narrower vectors",
    )
    cutoffs: list[Annotated[int, Field(ge=1, le=bounds.COUNT)]] = Field(
        [2000, 10000],
        min_length=1,
        description="softmax=adaptive: the first id of each cluster of rare words; "
        "softmax=sampled: the first number is how many frequent words always count",
    )
    softmaxes: int = Field(
        1, ge=1, le=bounds.LAYERS, description="number of softmaxes that are mixed; 1 = no mixture"
    )
    samples: int = Field(
        2000, ge=1, le=bounds.COUNT, description="softmax=sampled: rare words drawn for each batch"
    )

    @model_validator(mode="after")
    def _one_kind_of_softmax(self) -> Self:
        if self.softmax == "adaptive" and self.tied:
            raise ValueError(
                "an adaptive softmax has narrow vectors of its own; use softmax=full or tied=false"
            )
        if self.softmaxes > 1 and self.softmax != "full":
            raise ValueError(
                f"a mixture of softmaxes is made of full ones, not of softmax={self.softmax}; "
                "use softmax=full or softmaxes=1"
            )
        if self.cutoffs[0] < 1 or any(a >= b for a, b in pairwise(self.cutoffs)):
            raise ValueError(f"cutoffs = {self.cutoffs}: give rising ids, for example [2000,10000]")
        return self

    def unused(self, key: str, use: Use) -> str | None:
        match key:
            case "cutoffs" if self.softmax == "full":
                return "model.softmax=sampled or model.softmax=adaptive"
            case "samples" if self.softmax != "sampled":
                return "model.softmax=sampled"
        return super().unused(key, use)

    def head(self, width: int, vocab_size: int) -> Head:
        """Make the head for hidden vectors of this width.

        Raises:
            InputError: a cutoff of the adaptive softmax is beyond the vocabulary.
        """
        if self.softmaxes > 1:
            return MixtureHead(width, vocab_size, self.tied, self.softmaxes)
        if self.softmax == "full":
            return SoftmaxHead(width, vocab_size, self.tied)
        if self.softmax == "sampled":
            return SampledHead(width, vocab_size, self.tied, self.cutoffs[0], self.samples)
        if self.cutoffs[-1] >= vocab_size:
            raise InputError(
                f"model.cutoffs = {self.cutoffs}: the vocabulary ends at {vocab_size:,}; give "
                "smaller ones, or model.softmax=full"
            )
        return AdaptiveHead(width, vocab_size, self.cutoffs)

    @property
    def fixed_shapes(self) -> bool:
        """Whether the head's computation depends only on the shape of a batch."""
        return self.softmax == "full"


#: the settings above that matter for the head alone
HEAD = frozenset({"softmax", "cutoffs", "softmaxes", "samples"})


class Headed(TrainableModel):
    """A model that computes hidden vectors from ids, with a head that predicts tokens from them.
    A subclass implements `hidden`; `forward`, `score` and `advance` are derived from it."""

    embedding: nn.Embedding
    head: Head
    #: Whether `hidden` returns (T, B, H). The head then reads the vectors in that order, which is
    #: their order in memory: transposing would copy them and change the order in which losses are
    #: summed. The results of `forward` and `score` are batch first in any case.
    time_first: ClassVar[bool] = False

    @abstractmethod
    def hidden(self, ids: Tensor, state: State) -> tuple[Tensor, Tensor | None, State]:
        """ids (B, T) → the input of the head (B, T, H), or (T, B, H) if `time_first`; the same
        before dropout, None if there is no dropout; the state after ids."""

    def without_head(self) -> Self:
        """Remove the head and return the model, which then encodes but cannot predict."""
        del self.head
        return self

    def advance(self, ids: Tensor, state: State) -> State:
        """The state after ids (B, T)."""
        return self.hidden(ids, state)[2]

    def forward(self, ids: Tensor, state: State) -> Output:
        """ids (B, T) → logits (B, T, V)."""
        h, raw, state = self.hidden(ids, state)
        logits = self.head(h, self.embedding.weight)
        return Output(
            self._turned(logits), state, self._turned(h), None if raw is None else self._turned(raw)
        )

    def score(self, ids: Tensor, targets: Tensor, state: State) -> Scored:
        """ids (B, T), targets (B, T) → log-probabilities (B, T)."""
        h, raw, state = self.hidden(ids, state)
        y = self._turned(targets)
        log_prob, hit = self.head.score(h, y, self.embedding.weight)
        return Scored(
            self._turned(log_prob),
            state,
            None if hit is None else self._turned(hit),
            self._turned(h),
            None if raw is None else self._turned(raw),
            lambda: self._turned(self.head.mean_log_prob(h, y, log_prob, self.embedding.weight)),
        )

    def _turned(self, x: Tensor) -> Tensor:
        """A view with batch and time swapped if `time_first`: from the order (B, T, ...) to that of
        `hidden`, or back."""
        return x.transpose(0, 1) if self.time_first else x
