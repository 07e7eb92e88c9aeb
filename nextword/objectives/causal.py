"""Predict the next token, with the two activation penalties of Merity, McCann, Socher 2017
(arXiv:1708.01009).

    nll = -Σ log p(w_{t+1} | w_≤t)
    AR  = α mean(m ∘ h_t)²            on what the head saw (dropout applied)
    TAR = β mean(h_t - h_{t-1})²      on the raw output of the last layer
"""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from ..config import Part
from ..types import Batch, LanguageModel, State, Term


class Causal(Part):
    name: Literal["causal"] = "causal"
    ar: float = Field(0.0, ge=0, description="α, activation regularisation")
    tar: float = Field(0.0, ge=0, description="β, temporal activation regularisation")

    def __call__(
        self, model: LanguageModel, batch: Batch, state: State
    ) -> tuple[dict[str, Term], State]:
        scored = model.score(batch.ids, batch.targets, state)
        log_prob = scored.log_prob
        if batch.mask is not None:
            log_prob = log_prob * batch.mask
        terms = {"nll": Term(-log_prob.sum(), batch.tokens)}
        if self.ar and scored.hidden is not None:
            h = scored.hidden
            terms["ar"] = Term(self.ar * h.pow(2).sum(), h.numel())
        if self.tar and scored.raw is not None and scored.raw.shape[1] > 1:
            change = scored.raw[:, 1:] - scored.raw[:, :-1]
            terms["tar"] = Term(self.tar * change.pow(2).sum(), change.numel())
        return terms, scored.state
