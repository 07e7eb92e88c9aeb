"""The unigram model: every token as probable as it was frequent, whatever came before.

    p(w) = (c(w) + k) / (N + k V)

The rung that every other model must beat.
"""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
import torch
from pydantic import Field
from torch import Tensor, nn

from ..config import Part
from ..types import Output, Scored, State

_PIECE = 1 << 20


class UnigramConfig(Part):
    name: Literal["unigram"] = "unigram"
    add: float = Field(1.0, gt=0, description="k, added to every count")

    def build(self, vocab_size: int) -> UnigramLM:
        return UnigramLM(self, vocab_size)


class UnigramLM(nn.Module):
    """Frequencies; the state is nothing."""

    context = 0

    def __init__(self, config: UnigramConfig, vocab_size: int) -> None:
        super().__init__()
        self.config = config
        self.vocab_size = vocab_size
        self.log_probs: Tensor
        self.register_buffer("log_probs", torch.full((vocab_size,), -float(np.log(vocab_size))))

    def fit(self, ids: np.ndarray[Any, Any]) -> None:
        """Count; `ids` (N,), read piece by piece: bincount widens what it is given."""
        counts = np.full(self.vocab_size, self.config.add)
        for start in range(0, len(ids), _PIECE):
            counts += np.bincount(ids[start : start + _PIECE], minlength=self.vocab_size)
        self.log_probs.copy_(torch.from_numpy(np.log(counts / counts.sum())))

    def start(self, batch_size: int) -> State:
        return ()

    def advance(self, ids: Tensor, state: State) -> State:
        return state

    def forward(self, ids: Tensor, state: State) -> Output:
        return Output(self.log_probs.expand(*ids.shape, -1), state)

    def score(self, ids: Tensor, targets: Tensor, state: State) -> Scored:
        return Scored(self.log_probs[targets], state, targets == self.log_probs.argmax())
