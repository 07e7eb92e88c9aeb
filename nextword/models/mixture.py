"""A mixture combines the predictions of several language models that have the same vocabulary: ids
(B, T) → logits (B, T, V), the logarithm of

    linear      p(w) = Σ_i λ_i p_i(w)                    Σ λ_i = 1   (Jelinek and Mercer 1980)
    log-linear  p(w) = Π_i p_i(w)^{λ_i} / Z                          (Klakow 1998)

p_i is the distribution of member i. The state is the tuple of the members' states.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal, Self, cast

import numpy as np
from pydantic import Field, model_validator

from .. import bounds
from ..config import Part
from ..errors import InputError
from ..logarithms import log_softmax
from ..ngram.interface import Listable
from ..text.tokenizer import EOS
from ..types import ArrayModel, LanguageModel, Output, Predicted, Scored, State, Stored

if TYPE_CHECKING:
    from torch import Tensor, nn

    from ..ngram.table import Table

Array = np.ndarray[Any, Any]

_NOTHING = -1e4  # natural log-probability that stands for 0 in a log-linear mixture
_NUMBERS = 1 << 24  # probabilities that `score` holds at a time


class MixtureConfig(Part):
    """The settings of a mixture."""

    name: Literal["mixture"] = "mixture"
    trained_by: ClassVar[Literal["gradient", "counting", "mixing"]] = "mixing"
    exports: ClassVar[tuple[str, ...]] = ("arpa", "kenlm-probing", "kenlm-trie")

    kind: Literal["linear", "log-linear"] = Field(
        "linear",
        description="whether probabilities are added (linear) or multiplied (log-linear)",
    )
    weights: tuple[Annotated[float, Field(ge=-bounds.NUMBER, le=bounds.NUMBER)], ...] = Field(
        (), description="one weight for each member; empty = found on the --valid text"
    )

    @model_validator(mode="after")
    def _a_distribution(self) -> Self:
        weights = self.weights
        linear = self.kind == "linear" and weights
        if linear and (min(weights) < 0 or abs(sum(weights) - 1) > 1e-6):
            raise ValueError("weights of a linear mixture are not negative and add up to 1")
        if weights and not any(weights):
            raise ValueError("weights must not all be 0")
        return self

    def of(self, members: list[LanguageModel], vocab_size: int) -> MixtureLM:
        """Make a mixture of models with the same vocabulary."""
        kind = ArrayMixtureLM if all(isinstance(one, ArrayModel) for one in members) else MixtureLM
        return kind(self, members, vocab_size)

    def build(self, vocab_size: int) -> MixtureLM:
        """Make a mixture without members. Opening a run makes one with its members."""
        return MixtureLM(self, [], vocab_size)


class MixtureLM:
    """A mixture of language models. Without members all words are equally probable."""

    def __init__(
        self, config: MixtureConfig, members: list[LanguageModel], vocab_size: int
    ) -> None:
        self.config = config
        self.members = members
        self.vocab_size = vocab_size
        contexts = [member.context for member in members]
        known = [context for context in contexts if context is not None]
        self.context: int | None = max(known) if len(known) == len(contexts) and known else None
        self.weights = config.weights or (1 / max(1, len(members)),) * len(members)
        if len(self.weights) != len(members):
            raise ValueError(f"{len(self.weights)} weights for {len(members)} members")

    @property
    def size(self) -> int:
        """The number of parameters of all members, plus the weights."""
        return sum(_size(member) for member in self.members) + len(self.weights)

    def read(self, path: Path) -> None:
        """Nothing to read: the weights are settings, and the members are runs of their own."""

    def as_table(self) -> Table:
        """The static form of a linear mixture of n-gram models: the n-grams of all members, each
        with the probability Σ λ_i p_i(w | h), and back-off weights computed anew.

        Raises:
            InputError: the mixture is log-linear, or a member is no n-gram model.
        """
        from ..ngram.merging import Member, merge
        from ..text.lexicon import Lexicon

        if self.config.kind != "linear":
            raise InputError(
                "a log-linear mixture is no list of n-grams; train it with model.kind=linear"
            )
        tables = []
        for number, member in enumerate(self.members):
            if not isinstance(member, Listable):
                raise InputError(
                    f"member {number} of the mixture is no n-gram model, so the mixture is no list "
                    "of n-grams"
                )
            tables.append(member.as_table())
        same = np.arange(self.vocab_size, dtype=np.uint32)
        names = Lexicon.of(map(str, range(self.vocab_size)))  # the members have the same ids
        return merge([Member(table, same) for table in tables], names, self.weights)

    def parameters(self) -> Iterator[nn.Parameter]:
        for member in self.members:
            yield from member.parameters()

    def eval(self) -> Self:
        return self

    def to(self, device: object) -> Self:
        return self

    def start(self, batch_size: int) -> State:
        """The state before a text: the tuple of the members' states."""
        import torch

        if not self.members:
            return torch.zeros(batch_size)
        return tuple(member.start(batch_size) for member in self.members)

    def advance(self, ids: Tensor, state: State) -> State:
        """The state after ids (B, T)."""
        if not self.members:
            return state
        pairs = zip(self.members, state, strict=True)
        return tuple(member.advance(ids, one) for member, one in pairs)

    def forward(self, ids: Tensor, state: State) -> Output:
        """ids (B, T) → logits (B, T, V): the logarithm of the mixture, up to a constant if it is
        log-linear. `hidden` comes from the first member that has hidden vectors."""
        import torch

        if not self.members:
            return Output(torch.zeros(*ids.shape, self.vocab_size), state)
        outputs = [
            member.forward(ids, one) for member, one in zip(self.members, state, strict=True)
        ]
        logits = mix([output.logits for output in outputs], self.weights, self.config.kind)
        hidden = next((output.hidden for output in outputs if output.hidden is not None), None)
        return Output(logits, tuple(output.state for output in outputs), hidden)

    def score(self, ids: Tensor, targets: Tensor, state: State) -> Scored:
        """ids (B, T), targets (B, T) → log-probabilities (B, T), computed for some tokens at a
        time."""
        import torch

        steps = max(1, _NUMBERS // (self.vocab_size * max(1, ids.shape[0])))
        log_probs, hits, hidden = [], [], []
        parts = zip(torch.split(ids, steps, 1), torch.split(targets, steps, 1), strict=True)
        for some, wanted in parts:
            output = self.forward(some, state)
            state = output.state
            log_prob = output.logits.log_softmax(-1)
            log_probs.append(log_prob.gather(-1, wanted[..., None]).squeeze(-1))
            hits.append(output.logits.argmax(-1) == wanted)
            if output.hidden is not None:
                hidden.append(output.hidden)
        together = torch.cat(hidden, 1) if hidden else None
        return Scored(torch.cat(log_probs, 1), state, torch.cat(hits, 1), together)


class ArrayMixtureLM(MixtureLM):
    """A mixture of models each of which is an `ArrayModel`, as n-gram models are."""

    def advance_ids(self, ids: Array, state: State = None) -> State:
        """See `ArrayModel`; the state is the tuple of the members' states."""
        return tuple(member.advance_ids(ids, one) for member, one in self._with_states(state))

    def predict_ids(self, ids: Array, state: State = None) -> Predicted:
        """See `ArrayModel`."""
        rows = [member.predict_ids(ids, one) for member, one in self._with_states(state)]
        log_probs = mix_arrays([row.log_probs for row in rows], self.weights, self.config.kind)
        return Predicted(log_probs, tuple(row.state for row in rows))

    def score_ids(
        self, ids: Array, before: Array | None = None, progress: Callable[[int], None] | None = None
    ) -> tuple[Array, Array]:
        """See `ArrayModel`; the whole distribution is computed before each token."""
        log_prob, hit = np.empty(len(ids), np.float32), np.empty(len(ids), bool)
        before = np.array([EOS]) if before is None else before
        state, last = self.advance_ids(before[:-1]), before[-1:]
        steps = max(1, _NUMBERS // self.vocab_size)
        for first in range(0, len(ids), steps):
            some = ids[first : first + steps]
            predicted = self.predict_ids(np.concatenate([last, some[:-1]]), state)
            state, last = predicted.state, some[-1:]
            part = slice(first, first + len(some))
            log_prob[part] = np.take_along_axis(predicted.log_probs, some[:, None], 1)[:, 0]
            hit[part] = predicted.log_probs.argmax(1) == some
            if progress:
                progress(len(some))
        return log_prob, hit

    def _with_states(self, state: State) -> Iterator[tuple[ArrayModel, State]]:
        states = [None] * len(self.members) if state is None else state
        for member, one in zip(self.members, states, strict=True):
            yield cast(ArrayModel, member), one


def _size(member: LanguageModel) -> int:
    """The number of parameters of a member."""
    if isinstance(member, Stored):
        return member.size
    return sum(parameter.numel() for parameter in member.parameters())


def mix(logits: list[Tensor], weights: tuple[float, ...] | Tensor, kind: str) -> Tensor:
    """Combine logits (..., V) of each member into log-probabilities (..., V) of the mixture. `kind`
    is "linear" or "log-linear"; the result of a log-linear mixture is not normalised.

    Example:
        >>> import torch
        >>> even, sure = torch.zeros(2), torch.tensor([0.0, -100.0])
        >>> mix([even, sure], (0.5, 0.5), "linear").exp()  # (1/2 + 1) / 2, (1/2 + 0) / 2
        tensor([0.7500, 0.2500])
    """
    import torch

    parts = [part.float().log_softmax(-1) for part in logits]
    if kind == "log-linear":  # probability 0 of one member counts as very small
        parts = [part.clamp_min(_NOTHING) for part in parts]
        return torch.stack(
            [weight * part for weight, part in zip(weights, parts, strict=True)]
        ).sum(0)
    shares = torch.as_tensor(weights, dtype=torch.float32).log()
    return torch.stack([part + share for part, share in zip(parts, shares, strict=True)]).logsumexp(
        0
    )


def mix_arrays(log_probs: list[Array], weights: tuple[float, ...], kind: str) -> Array:
    """Combine log-probabilities (T, V) of each member into those of the mixture, as `mix` does with
    tensors, and normalise them."""
    parts = [log_softmax(part) for part in log_probs]
    if kind == "log-linear":
        clipped = [
            weight * part.clip(_NOTHING) for weight, part in zip(weights, parts, strict=True)
        ]
        return log_softmax(np.sum(clipped, 0))
    with np.errstate(divide="ignore"):
        shares = np.log(np.array(weights, np.float32))
    joint = [part + share for part, share in zip(parts, shares, strict=True)]
    return log_softmax(np.logaddexp.reduce(joint))
