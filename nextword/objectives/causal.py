"""The objective of language models: predict the next token.

    nll = -Σ log p(w_{t+1} | w_≤t)

Optional terms are the two activation penalties of Merity, McCann, Socher 2017 (arXiv:1708.01009)

    AR  = α mean(m ∘ h_t)²            on the input of the head (after dropout)
    TAR = β mean(h_t - h_{t-1})²      on the output of the last layer (before dropout)

and label smoothing (Szegedy et al. 2016, arXiv:1512.00567, section 7), which gives every word the
target probability ε / V, and the next token 1 - ε more:

    nll + ε (Σ log p(w_{t+1} | w_≤t) - Σ mean_v log p(v | w_≤t))
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from pydantic import Field

from .. import bounds
from ..config import Part, Use
from ..types import Batch, Predictor, Scored, State, Term

if TYPE_CHECKING:  # a model that does without torch must not wait for it
    from torch import Tensor


class Causal(Part):
    """Cross-entropy of the next token, with the optional terms above.

    Calling it with a model, a batch and a state gives its terms by name (`nll`, `smoothing`, `ar`,
    `tar`) and the new state; the loss is the sum of the terms' means.
    """

    name: Literal["causal"] = "causal"
    ar: float = Field(
        0.0,
        ge=0,
        le=bounds.NUMBER,
        description="α of activation regularisation: penalty on large activations",
    )
    tar: float = Field(
        0.0,
        ge=0,
        le=bounds.NUMBER,
        description="β of temporal activation regularisation: penalty on activations that change "
        "quickly",
    )
    label_smoothing: float = Field(
        0.0,
        ge=0,
        lt=1,
        description="ε: share of the target probability that is spread evenly over all words; 0.1 "
        "is usual for translation",
    )

    def unused(self, key: str, use: Use) -> str | None:
        if key == "tar" and not use.config.model.gives_raw:
            return "recurrent models"
        return super().unused(key, use)

    def __call__(
        self, model: Predictor, batch: Batch, state: State
    ) -> tuple[dict[str, Term], State]:
        scored = self.score(model, batch, state)
        log_prob = _counted(scored.log_prob, batch)
        terms = {"nll": Term(-log_prob.sum(), batch.tokens)}
        if self.label_smoothing and scored.mean_log_prob is not None:
            mean = _counted(scored.mean_log_prob(), batch)
            smoothing = self.label_smoothing * (log_prob.sum() - mean.sum())
            terms["smoothing"] = Term(smoothing, batch.tokens)
        if self.ar and scored.hidden is not None:
            h = scored.hidden
            terms["ar"] = Term(self.ar * h.pow(2).sum(), h.numel())
        if self.tar and scored.raw is not None and scored.raw.shape[1] > 1:
            change = scored.raw[:, 1:] - scored.raw[:, :-1]
            terms["tar"] = Term(self.tar * change.pow(2).sum(), change.numel())
        return terms, scored.state

    def score(self, model: Predictor, batch: Batch, state: State) -> Scored:
        """Score the targets (B, T). The model reads the tokens of the text (teacher forcing)."""
        return model.score(batch.ids, batch.targets, state)


def _counted(values: Tensor, batch: Batch) -> Tensor:
    """The values (B, T), with zeros where the batch is padded."""
    return values if batch.mask is None else values * batch.mask
