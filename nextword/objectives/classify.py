"""The objective of classifiers and taggers: cross-entropy of the label of each text, or of the tag
of each word."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import torch
import torch.nn.functional as F
from pydantic import Field, field_validator

from .. import bounds
from ..config import Part
from ..types import Batch, Labeller, State, Term


class Classify(Part):
    """Cross-entropy of labels. Its terms are `nll` and, for the log only, `accuracy`."""

    name: Literal["classify"] = "classify"
    label_smoothing: float = Field(
        0.0,
        ge=0,
        lt=1,
        description="ε: share of the target probability that is spread evenly over all labels",
    )
    weights: list[Annotated[float, Field(ge=0, le=bounds.NUMBER)]] | Literal["none", "balanced"] = (
        Field(
            "none",
            description="how much an example of each label counts: none = all alike; balanced = so "
            "that all labels count alike together; or a number for each label",
        )
    )

    @field_validator("weights", mode="before")
    @classmethod
    def _none(cls, value: Any) -> Any:
        return "none" if value is None else value  # `--set objective.weights=none` arrives as None

    def __call__(
        self, model: Labeller, batch: Batch, state: State
    ) -> tuple[dict[str, Term], State]:
        assert batch.labels is not None
        logits = model(batch.ids, batch.real, batch.segments).float()
        labels = batch.labels
        if logits.dim() == 3:  # a tagger: keep the tokens that have a tag
            logits, labels = logits[labels >= 0], labels[labels >= 0]
        weight = None
        if isinstance(self.weights, list):
            weight = torch.tensor(self.weights, device=logits.device)
        loss = F.cross_entropy(
            logits,
            labels,
            weight,
            reduction="sum",
            label_smoothing=self.label_smoothing if torch.is_grad_enabled() else 0.0,
        )
        right = (logits.detach().argmax(dim=1) == labels).sum()
        return {
            "nll": Term(loss, max(1, len(logits))),
            "accuracy": Term(right, max(1, len(logits)), learnt=False),
        }, None
