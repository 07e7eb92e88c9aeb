"""Types that all parts share: the protocols of models, what models return, batches and losses.

Letters in shapes: B batch, T time (tokens), S source tokens, V vocabulary, H hidden width.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol, Self, cast, runtime_checkable

if TYPE_CHECKING:  # n-gram models need no torch, and importing it takes seconds
    import numpy as np
    from torch import Tensor, device, nn

    Array = np.ndarray[Any, Any]


class Ability(StrEnum):
    """What a trained model may be able to do; `Task.abilities` lists those of each task."""

    GENERATE = "generate text"
    GENERATE_MASKED = "generate text by filling gaps"
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


#: A tree of tensors (tuples of tuples of tensors) with the batch as dimension 0 of every leaf.
State = Any


class Output(NamedTuple):
    """What `forward` of a language model returns."""

    logits: Tensor  # (B, T, V); log_softmax(logits)[:, t] = log p(next | state, ids[:, :t+1])
    state: State  # the state after the last token
    hidden: Tensor | None = None  # (B, T, H) input of the output layer, after dropout (for AR)
    raw: Tensor | None = None  # (B, T, H) the same before dropout (for TAR)
    #: n-gram models only: targets (B, T) → which n-grams predict them
    found: Callable[[Tensor], Found] | None = None


class Found(NamedTuple):
    """The n-grams by which an n-gram model predicts given next tokens."""

    log_prob: Tensor  # (B, T) natural logarithms, as the table has them
    order: Tensor  # (B, T) int64, the length of the n-gram; the other words were backed off


class Scored(NamedTuple):
    """What `score` of a language model returns: log-probabilities of the given next tokens."""

    log_prob: Tensor  # (B, T) natural logarithms
    state: State  # the state after the last token
    hit: Tensor | None = None  # (B, T) bool: the target was the most probable token; see `Head`
    hidden: Tensor | None = None  # as in Output
    raw: Tensor | None = None  # as in Output
    mean_log_prob: Callable[[], Tensor] | None = None  # (B, T), over the whole vocabulary


class Predictor(Protocol):
    """A model that maps ids and a state to a distribution over the next id and a new state.

    Example:
        >>> import torch
        >>> from nextword.models.recurrent import RecurrentConfig
        >>> model = RecurrentConfig(hidden=8).build(vocab_size=10)
        >>> ids, targets = torch.tensor([[1, 2]]), torch.tensor([[2, 3]])
        >>> output = model.forward(ids, model.start(1))
        >>> scored = model.score(ids, targets, model.start(1))
        >>> output.logits.shape, scored.log_prob.shape
        (torch.Size([1, 2, 10]), torch.Size([1, 2]))
    """

    vocab_size: int
    context: int | None  # the most past tokens it can use; None = unlimited

    def parameters(self) -> Iterator[nn.Parameter]:
        """The trainable parameters; an n-gram model has none."""
        ...

    def advance(self, ids: Tensor, state: State) -> State:
        """Read `ids` (B, T) without computing logits, and return the state after them."""
        ...

    def forward(self, ids: Tensor, state: State) -> Output:
        """Predict the token after each of `ids` (B, T): logits (B, T, V) and the new state."""
        ...

    def score(self, ids: Tensor, targets: Tensor, state: State) -> Scored:
        """Return the log-probabilities (B, T) of `targets` (B, T) after `ids` (B, T).

        Without gradients it never holds all logits (B·T, V) in memory at once.
        """
        ...


@runtime_checkable
class LanguageModel(Predictor, Protocol):
    """A model that predicts a text from left to right."""

    def start(self, batch_size: int) -> State:
        """Return the state before the first token."""
        ...


class Seq2Seq(Predictor, Protocol):
    """A language model of targets whose first state is computed from a source."""

    def start(self, source: Tensor, mask: Tensor) -> State:
        """Return the state before the first token of the target.

        Args:
            source: ids (B, S).
            mask: (B, S) True = a token, False = padding at the end.
        """
        ...


class Labeller(Protocol):
    """A model that gives scores of labels: of a text, or of each of its tokens."""

    def __call__(self, ids: Tensor, real: Tensor | None, segments: Tensor | None = None) -> Tensor:
        """Score the C labels of texts.

        Args:
            ids: (B, T), padded at the end.
            real: (B, T) True = a token, False = padding.
            segments: (B, T) 0 for the first text of a pair, 1 for the second.

        Returns:
            Logits (B, C) of the text's label, or (B, T, C) of each token's.
        """
        ...


class MaskedLanguageModel(Protocol):
    """A model that predicts masked tokens from the other tokens on both sides."""

    vocab_size: int
    context: int | None  # the most tokens of a text; None = unlimited

    def __call__(
        self, ids: Tensor, real: Tensor | None = None, segments: Tensor | None = None
    ) -> Tensor:
        """Encode ids (B, T) into hidden vectors (B, T, H); `real` (B, T) is False for padding."""
        ...

    def logits(self, hidden: Tensor) -> Tensor:
        """Return logits (..., V) of the token at each position from `hidden` (..., H)."""
        ...

    def predict(self, hidden: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
        """Score targets (N,) at positions with the vectors hidden (N, H).

        Returns:
            Log-probabilities (N,), and whether each target was the most probable token (N,).
        """
        ...

    def next_sentence(self, hidden: Tensor) -> Tensor:
        """Return logits (B, 2) from `hidden` (B, T, H): segment 2 follows segment 1, or not."""
        ...


@runtime_checkable
class Stored(Protocol):
    """A model that reads its own file format from a run instead of tensors."""

    @property
    def size(self) -> int:
        """The number of numbers in the model."""
        ...

    def read(self, path: Path) -> None:
        """Load the model from a file."""
        ...

    def to(self, device: str) -> Self:
        """Set the device on which results are returned."""
        ...


class Predicted(NamedTuple):
    """What an `ArrayModel` predicts after each of ids (T,)."""

    log_probs: Array  # (T, V) float32, natural logarithms
    state: State  # after the last token
    #: n-gram models only: targets (T,) → which n-grams predict them
    found: Callable[[Array], FoundInArrays] | None = None


class FoundInArrays(NamedTuple):
    """`Found` for one text, in arrays."""

    log_prob: Array  # (T,) float32, natural logarithms, as the table has them
    order: Array  # (T,) int64, the length of the n-gram


@runtime_checkable
class ArrayModel(Protocol):
    """A language model that also reads one text at a time with arrays in the place of tensors, so
    that it needs no torch: n-gram models and mixtures of them.

    Its states are values of its own; None is the state before the first token.
    """

    vocab_size: int

    def advance_ids(self, ids: Array, state: State = None) -> State:
        """Return the state after ids (T,)."""
        ...

    def predict_ids(self, ids: Array, state: State = None) -> Predicted:
        """Predict the token after each of ids (T,), as `forward` does."""
        ...

    def score_ids(
        self, ids: Array, before: Array | None = None, progress: Callable[[int], None] | None = None
    ) -> tuple[Array, Array]:
        """Score ids (N,) of any length, each after all that stand before it.

        Args:
            before: what is read first, from the start on, at least one token; None = `<eos>`.
            progress: called with the number of tokens just scored.

        Returns:
            The natural log-probabilities (N,) float32, and whether each token was the most probable
            one (N,) bool.
        """
        ...


@dataclass(frozen=True)
class Batch:
    """A batch: tokens, the targets to predict, and what else a model reads."""

    ids: Tensor  # (B, T) int64
    targets: Tensor  # (B, T) int64
    continues: bool  # starts from the final state of the previous batch
    mask: Tensor | None = None  # (B, T) bool, True = target counts; None = all count
    lr_scale: float = 1.0  # the learning rate is multiplied by this
    source: Tensor | None = None  # (B, S) int64, ids of the source in sentence pairs
    source_mask: Tensor | None = None  # (B, S) bool, True = a token
    done: float = 0.0  # fraction of the training that is over
    real: Tensor | None = None  # (B, T) bool, for encoders: False = padding
    segments: Tensor | None = None  # (B, T) int64: 0 = first text, 1 = second text
    labels: Tensor | None = None  # int64: (B,) per text or (B, T) per token; -1 = no label

    @property
    def tokens(self) -> int:
        """The number of targets that count; for encoders the number of tokens without padding."""
        if self.real is not None:
            return int(self.real.sum())
        return self.targets.numel() if self.mask is None else int(self.mask.sum())

    def to(self, where: device) -> Batch:
        """Return the batch on another device."""
        from torch import Tensor

        move: dict[str, Any] = {
            name: value.to(where, non_blocking=True)
            for name, value in vars(self).items()
            if isinstance(value, Tensor) and value.device != where
        }
        return replace(self, **move) if move else self

    def start(self, model: object) -> State:
        """Return the state of `model` before the first token; None for an encoder."""
        if self.real is not None:
            return None
        if self.source is None:
            return cast("LanguageModel", model).start(len(self.ids))
        assert self.source_mask is not None
        return cast("Seq2Seq", model).start(self.source, self.source_mask)


class Term(NamedTuple):
    """One summand of a loss: the sum `total` over `count` items.

    Over several batches totals and counts are added before they are divided.
    """

    total: Tensor
    count: int  # type: ignore[assignment]  # hides tuple.count
    learnt: bool = True  # part of the loss; False = only reported


#: (model, batch, state) → (terms by name, new state); the loss is the sum of the terms' means.
Objective = Callable[[Predictor, Batch, State], tuple[dict[str, Term], State]]
