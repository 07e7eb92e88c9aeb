"""The values that travel between the parts (what a model answers, what a batch holds) and the
protocols of models.

Letters used throughout: B batch, T time, V vocabulary, H width of the hidden layer.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol, Self, cast, runtime_checkable

if TYPE_CHECKING:  # a model that does without torch must not wait for it
    from torch import Tensor, device, nn


class Ability(StrEnum):
    """What one can ask of a trained model. Which of them a model has, its task says."""

    GENERATE = "generate text"
    PREDICT = "predict running text"
    SCORE = "score sentences"
    EVALUATE = "be evaluated on a text"
    TRANSLATE = "translate"
    FILL = "fill gaps"
    CLASSIFY = "classify texts"
    TAG = "tag words"
    EMBED = "turn texts into vectors"
    MIX = "be mixed with others"
    GRADIENTS = "show how far back a loss reaches"
    ATTENTION = "show what it attends to in a source"
    CONFUSION = "draw a confusion matrix"
    LENGTHS = "draw BLEU over the length of the source"


#: A tree of tensors (tuples of tuples of tensors), the batch being dimension 0 of every leaf.
State = Any


class Output(NamedTuple):
    """The answer of a language model to `forward`."""

    logits: Tensor  # (B, T, V); log_softmax(logits)[:, t] = log p(next | state, ids[:, :t+1])
    state: State  # the state after the last token
    hidden: Tensor | None = None  # (B, T, H) what the head saw, dropout applied (for AR)
    raw: Tensor | None = None  # (B, T, H) the same before dropout (for TAR)


class Scored(NamedTuple):
    """The answer of a language model to `score`: how probable the given next tokens were."""

    log_prob: Tensor  # (B, T) natural logarithms
    state: State
    hit: Tensor | None = None  # (B, T) bool: the target was the most probable token; see `Head`
    hidden: Tensor | None = None  # as in Output
    raw: Tensor | None = None  # as in Output
    mean_log_prob: Callable[[], Tensor] | None = None  # (B, T), over the whole vocabulary


class Predictor(Protocol):
    """Ids and a state go in, a distribution over the next id and a state come out."""

    vocab_size: int
    context: int | None  # the longest usable past in tokens; None = no limit of its own

    def parameters(self) -> Iterator[nn.Parameter]:
        """Trainable numbers; none of a model of counts."""
        ...

    def advance(self, ids: Tensor, state: State) -> State:
        """The state after `ids` (B, T), when nobody asks for the logits on the way."""
        ...

    def forward(self, ids: Tensor, state: State) -> Output:
        """`ids` (B, T) → logits (B, T, V) for the token that follows each of them."""
        ...

    def score(self, ids: Tensor, targets: Tensor, state: State) -> Scored:
        """Log-probability (B, T) of `targets` (B, T), never holding (B·T, V) when no gradient
        is asked for."""
        ...


@runtime_checkable
class LanguageModel(Predictor, Protocol):
    """Predicts a text from its beginning."""

    def start(self, batch_size: int) -> State:
        """The state before the first token."""
        ...


class Seq2Seq(Predictor, Protocol):
    """Predicts a text from another one: a language model whose first state comes from it."""

    def start(self, source: Tensor, mask: Tensor) -> State:
        """The state before the first token of the target; source (B, S), mask (B, S) True = a
        token, False = padding at the end."""
        ...


class MaskedLanguageModel(Protocol):
    """Predicts masked tokens from all others of a text that is all there."""

    vocab_size: int
    context: int | None  # most tokens of a text

    def __call__(
        self, ids: Tensor, real: Tensor | None = None, segments: Tensor | None = None
    ) -> Tensor:
        """ids (B, T), real (B, T) False = padding, segments (B, T) → hidden vectors (B, T, H)."""
        ...

    def logits(self, hidden: Tensor) -> Tensor:
        """hidden (..., H) → logits (..., V) of the token at each place."""
        ...

    def predict(self, hidden: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
        """hidden (N, H), targets (N,) → log-probabilities (N,), and whether each target was the
        most probable token (N,)."""
        ...

    def next_sentence(self, hidden: Tensor) -> Tensor:
        """hidden (B, T, H) → logits (B, 2): the second piece follows the first, it does not."""
        ...


@runtime_checkable
class Stored(Protocol):
    """A model that keeps a file of its own kind in its run instead of weights."""

    @property
    def size(self) -> int:
        """How many numbers it holds."""
        ...

    def read(self, path: Path) -> None:
        """Become the model in a file."""
        ...

    def to(self, device: str) -> Self:
        """Where answers go."""
        ...


@dataclass(frozen=True)
class Batch:
    """Tokens and the tokens that follow them."""

    ids: Tensor  # (B, T) int64
    targets: Tensor  # (B, T) int64
    continues: bool  # the state of the batch before carries over into this one
    mask: Tensor | None = None  # (B, T) bool, True = counts; None = everything counts
    lr_scale: float = 1.0  # the learning rate is multiplied by this
    source: Tensor | None = None  # (B, S) int64, of sentence pairs
    source_mask: Tensor | None = None  # (B, S) bool, True = a token
    done: float = 0.0  # share of the training that is over
    real: Tensor | None = None  # (B, T) bool, of models that read both ways: False = padding
    segments: Tensor | None = None  # (B, T) int64: first or second piece of text
    labels: Tensor | None = None  # int64: (B,) of whole rows, (B, T) of tokens, -1 = none

    @property
    def tokens(self) -> int:
        """How many targets count; of models that read both ways, how many tokens are read."""
        if self.real is not None:
            return int(self.real.sum())
        return self.targets.numel() if self.mask is None else int(self.mask.sum())

    def to(self, where: device) -> Batch:
        """The same batch on another device."""
        from torch import Tensor

        move: dict[str, Any] = {
            name: value.to(where, non_blocking=True)
            for name, value in vars(self).items()
            if isinstance(value, Tensor) and value.device != where
        }
        return replace(self, **move) if move else self

    def start(self, model: object) -> State:
        """A model's state before the first token; none of a model that reads both ways."""
        if self.real is not None:
            return None
        if self.source is None:
            return cast("LanguageModel", model).start(len(self.ids))
        assert self.source_mask is not None
        return cast("Seq2Seq", model).start(self.source, self.source_mask)


class Term(NamedTuple):
    """One summand of a loss: a total over `count` items. Meters add both and divide once."""

    total: Tensor
    count: int  # type: ignore[assignment]  # hides tuple.count, which nobody wants here
    learnt: bool = True  # else it is only told, and no part of the loss


#: (model, batch, state) → (terms by name, new state); the loss is the sum of the terms' means.
Objective = Callable[[Predictor, Batch, State], tuple[dict[str, Term], State]]
