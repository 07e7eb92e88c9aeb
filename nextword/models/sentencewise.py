"""A wrapper that makes any language model begin every sentence with a fresh state: ids (B, T) →
logits (B, T, V).

A model that was trained on single sentences (`train.stream=sentences`) has never had a state that
was carried from one to the next. With this wrapper it reads a running text as it was trained, in
`evaluate`, `score` and `generate`.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise

import torch
from torch import Tensor

from ..state import concatenate, select
from ..text.tokenizer import EOS
from ..types import Output, Scored, State
from .windowed import Wrapped


class Sentencewise(Wrapped):
    """A language model whose state is that of the start whenever it reads `<eos>`.

    State: that of the inner model.
    """

    def start(self, batch_size: int) -> State:
        """The state before a text."""
        return self.inner.start(batch_size)

    def advance(self, ids: Tensor, state: State) -> State:
        """The state after ids (B, T)."""
        for first, end, fresh in self._parts(ids):
            state = self.inner.advance(ids[:, first:end], self._renewed(state, fresh))
        return state

    def forward(self, ids: Tensor, state: State) -> Output:
        """ids (B, T) → logits (B, T, V)."""
        parts = []
        for first, end, fresh in self._parts(ids):
            output = self.inner.forward(ids[:, first:end], self._renewed(state, fresh))
            parts.append(output)
            state = output.state
        return Output(
            torch.cat([part.logits for part in parts], dim=1),
            state,
            _joined([part.hidden for part in parts]),
            _joined([part.raw for part in parts]),
        )

    def score(self, ids: Tensor, targets: Tensor, state: State) -> Scored:
        """ids (B, T), targets (B, T) → log-probabilities (B, T)."""
        parts = []
        for first, end, fresh in self._parts(ids):
            begun = self._renewed(state, fresh)
            scored = self.inner.score(ids[:, first:end], targets[:, first:end], begun)
            parts.append(scored)
            state = scored.state
        return Scored(
            torch.cat([part.log_prob for part in parts], dim=1),
            state,
            _joined([part.hit for part in parts]),
            _joined([part.hidden for part in parts]),
            _joined([part.raw for part in parts]),
        )

    def _parts(self, ids: Tensor) -> Iterator[tuple[int, int, Tensor]]:
        """Cut ids (B, T) where a sentence begins in some row: first column, end column, and which
        rows (B,) begin a sentence there."""
        begins = ids == EOS
        edges = sorted({0, *begins.any(dim=0).nonzero()[:, 0].tolist(), ids.shape[1]})
        for first, end in pairwise(edges):
            yield first, end, begins[:, first]

    def _renewed(self, state: State, fresh: Tensor) -> State:
        """The state with that of the start in the rows `fresh` (B,)."""
        if not fresh.any():
            return state
        if fresh.all():
            return self.start(len(fresh))
        (new,), (old,) = fresh.nonzero(as_tuple=True), (~fresh).nonzero(as_tuple=True)
        both = concatenate([self.start(len(new)), select(state, old)])
        return select(both, torch.cat([new, old]).argsort())


def _joined(parts: list[Tensor | None]) -> Tensor | None:
    """Tensors (B, T, ...) side by side in time; None if one is missing."""
    there = [part for part in parts if part is not None]
    return torch.cat(there, dim=1) if len(there) == len(parts) else None
