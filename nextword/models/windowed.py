"""A wrapper that restricts any language model to the last C tokens: ids (B, T) → logits (B, T, V).

A model that was trained on windows has never had a state that was carried far; in the RNN with
identity initialisation such a state even grows without limit. With this wrapper the model predicts
every token from exactly the C tokens before it, in `evaluate`, `score` and `generate`.
"""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor, nn

from ..text.tokenizer import EOS
from ..types import LanguageModel, Output, Scored, State

_TOKENS = 1 << 15  # tokens in the windows of one call of the model


class Wrapped(nn.Module):
    """A language model that reads as it was trained, around the model that was trained."""

    def __init__(self, inner: LanguageModel) -> None:
        super().__init__()
        self.inner = inner
        self.context = inner.context
        self.vocab_size = inner.vocab_size


def unwrapped(model: LanguageModel) -> LanguageModel:
    """The model inside a `Wrapped`; any other model is returned unchanged."""
    return model.inner if isinstance(model, Wrapped) else model


class Windowed(Wrapped):
    """A language model that reads only the C tokens before the one to be predicted.

    State: the last C - 1 ids (B, C - 1); before the first token they are `<eos>`.
    """

    def __init__(self, inner: LanguageModel, context: int) -> None:
        super().__init__(inner)
        self.context = context
        self._length = context
        self._where: Tensor
        self.register_buffer("_where", torch.empty(0), persistent=False)

    def start(self, batch_size: int) -> State:
        """The state before a text."""
        shape = (batch_size, self._length - 1)
        return torch.full(shape, EOS, dtype=torch.int64, device=self._where.device)

    def advance(self, ids: Tensor, state: State) -> State:
        """The state after ids (B, T)."""
        return self._past(ids, state)[:, ids.shape[1] :]

    def forward(self, ids: Tensor, state: State) -> Output:
        """ids (B, T) → logits (B, T, V)."""
        outputs = [
            self.inner.forward(last, inner_state).logits
            for last, _, inner_state in self._windows(ids, ids, state)
        ]
        return Output(torch.cat(outputs).view(*ids.shape, -1), self.advance(ids, state))

    def score(self, ids: Tensor, targets: Tensor, state: State) -> Scored:
        """ids (B, T), targets (B, T) → log-probabilities (B, T)."""
        parts = [
            self.inner.score(last, target, inner_state)
            for last, target, inner_state in self._windows(ids, targets, state)
        ]
        hits = [part.hit for part in parts if part.hit is not None]
        return Scored(
            torch.cat([part.log_prob for part in parts]).view(ids.shape),
            self.advance(ids, state),
            torch.cat(hits).view(ids.shape) if hits else None,
        )

    def _past(self, ids: Tensor, state: Tensor) -> Tensor:
        return torch.cat([state, ids], dim=1)  # (B, C - 1 + T)

    def _windows(
        self, ids: Tensor, targets: Tensor, state: Tensor
    ) -> Iterator[tuple[Tensor, Tensor, State]]:
        """For some tokens at a time: the tokens (N, 1), their targets (N, 1), and the states of the
        inner model (N rows) after the C - 1 tokens before each."""
        windows = self._past(ids, state).unfold(1, self._length, 1).flatten(0, 1)  # (B·T, C)
        rows = max(1, _TOKENS // self._length)
        parts = torch.split(windows, rows), torch.split(targets.reshape(-1, 1), rows)
        for window, target in zip(*parts, strict=True):
            inner = self.inner.start(len(window))
            if self._length > 1:
                inner = self.inner.advance(window[:, :-1], inner)
            yield window[:, -1:], target, inner
