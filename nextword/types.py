"""The values that are passed between the parts of the package (outputs of models, batches, terms of
losses), and the protocols of models.

Letters used throughout: B batch, T time, V vocabulary, H width of the hidden layer.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol, Self, cast, runtime_checkable

if TYPE_CHECKING:  # n-gram models need no torch, and importing it takes a second
    from torch import Tensor, device, nn


class Ability(StrEnum):
    """What a trained model can do. The task of a model says which abilities it has."""

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


#: A tree of tensors (nested tuples). The batch is dimension 0 of every leaf.
State = Any


class Output(NamedTuple):
    """The result of `forward` of a language model."""

    logits: Tensor  # (B, T, V); log_softmax(logits)[:, t] = log p(next | state, ids[:, :t+1])
    state: State  # the state after the last token
    hidden: Tensor | None = None  # (B, T, H) the input of the head, after dropout (for AR)
    raw: Tensor | None = None  # (B, T, H) the same before dropout (for TAR)


class Scored(NamedTuple):
    """The result of `score` of a language model: the probabilities of given tokens."""

    log_prob: Tensor  # (B, T) natural logarithms
    state: State
    hit: Tensor | None = None  # (B, T) bool: the target was the most probable token, if known
    hidden: Tensor | None = None  # as in Output
    raw: Tensor | None = None  # as in Output
    mean_log_prob: Callable[[], Tensor] | None = None  # computes (B, T), the mean over all words


class Predictor(Protocol):
    """A model that predicts the next token: ids and a state go in, a distribution over the next id
    and a new state come out.

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

    vocab_size: int  # V
    context: int | None  # the longest usable past in tokens; None = no limit of its own

    def parameters(self) -> Iterator[nn.Parameter]:
        """The trainable parameters; an n-gram model has none."""
        ...

    def advance(self, ids: Tensor, state: State) -> State:
        """Read `ids` (B, T) after `state` and return the new state, without computing logits.

        Example:
            state = model.advance(prompt, model.start(len(prompt)))
        """
        ...

    def forward(self, ids: Tensor, state: State) -> Output:
        """Read `ids` (B, T) after `state`; predict the token that follows each of them: logits
        (B, T, V) and the new state.

        Example:
            output = model.forward(ids, state)
            next_ids = output.logits[:, -1].argmax(dim=-1)
        """
        ...

    def score(self, ids: Tensor, targets: Tensor, state: State) -> Scored:
        """Read `ids` (B, T) after `state`; give the natural log-probability (B, T) that each of
        `targets` (B, T) follows. Without gradient it never holds logits of all tokens (B·T, V).

        Example:
            nll = -model.score(ids, targets, state).log_prob.sum()
        """
        ...


@runtime_checkable
class LanguageModel(Predictor, Protocol):
    """A model that predicts a text from its beginning."""

    def start(self, batch_size: int) -> State:
        """The state before the first token, for B = `batch_size` texts."""
        ...


class Seq2Seq(Predictor, Protocol):
    """A model that predicts a target text from a source text: a language model whose first state is
    computed from the source."""

    def start(self, source: Tensor, mask: Tensor) -> State:
        """The state before the first token of the target.

        Args:
            source: (B, S) int64 ids, `<eos>` last.
            mask: (B, S) bool, True = a token, False = padding at the end.
        """
        ...


class MaskedLanguageModel(Protocol):
    """A model that predicts masked tokens of a complete text from all other tokens.

    Example:
        hidden = model(ids, real)  # (B, T, H)
        log_prob, hit = model.predict(hidden[mask], targets[mask])  # of the N masked tokens
    """

    vocab_size: int  # V
    context: int | None  # the most tokens of a text

    def __call__(
        self, ids: Tensor, real: Tensor | None = None, segments: Tensor | None = None
    ) -> Tensor:
        """ids (B, T), real (B, T) False = padding, segments (B, T) → hidden vectors (B, T, H)."""
        ...

    def logits(self, hidden: Tensor) -> Tensor:
        """hidden (..., H) → logits (..., V) of the token at each position."""
        ...

    def predict(self, hidden: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
        """hidden (N, H), targets (N,) → log-probabilities (N,), and whether each target was the
        most probable token (N,)."""
        ...

    def next_sentence(self, hidden: Tensor) -> Tensor:
        """hidden (B, T, H) → logits (B, 2); class 0: the second piece follows the first, class 1:
        it does not."""
        ...


@runtime_checkable
class Stored(Protocol):
    """A model that is stored in a file of its own format instead of `model.safetensors`."""

    @property
    def size(self) -> int:
        """The number of parameters."""
        ...

    def read(self, path: Path) -> None:
        """Load the model that is in a file.

        Raises:
            InputError: the file is missing or damaged.
        """
        ...

    def to(self, device: str) -> Self:
        """Set the device of the results, and return the model."""
        ...


@dataclass(frozen=True)
class Batch:
    """The input and the targets of one training step. Each kind of stream fills the fields that its
    models need."""

    ids: Tensor  # (B, T) int64, what the model reads
    targets: Tensor  # (B, T) int64, what it shall predict
    continues: bool  # the batch continues the one before, so the state carries over
    mask: Tensor | None = None  # (B, T) bool, True = this target counts; None = all count
    lr_scale: float = 1.0  # the learning rate of the step is multiplied by it
    source: Tensor | None = None  # (B, S) int64, the sources of sentence pairs
    source_mask: Tensor | None = None  # (B, S) bool, True = a token, False = padding
    done: float = 0.0  # the share of the training that is over
    real: Tensor | None = None  # (B, T) bool, False = padding; set for models that read both ways
    segments: Tensor | None = None  # (B, T) int64: 0 in the first text of a pair, 1 in the second
    labels: Tensor | None = None  # int64: (B,) of rows, or (B, T) of tokens with -1 = no label

    @property
    def tokens(self) -> int:
        """How many targets count; for models that read both ways, how many tokens are read."""
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
        """The state of a model before the first token; None for models that read both ways."""
        if self.real is not None:
            return None
        if self.source is None:
            return cast("LanguageModel", model).start(len(self.ids))
        assert self.source_mask is not None
        return cast("Seq2Seq", model).start(self.source, self.source_mask)


class Term(NamedTuple):
    """One term of a loss: a sum over `count` items; its mean is `total / count`. To average over
    batches, add the totals and the counts, then divide once."""

    total: Tensor
    count: int  # type: ignore[assignment]  # hides tuple.count, which is not needed
    learnt: bool = True  # False: it is only reported and is no part of the loss


#: (model, batch, state) → (terms by name, new state); the loss is the sum of the terms' means.
Objective = Callable[[Predictor, Batch, State], tuple[dict[str, Term], State]]
