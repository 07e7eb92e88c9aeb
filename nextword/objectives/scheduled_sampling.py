"""Scheduled sampling (Bengio et al. 2015, arXiv:1506.03099, section 2.4): at random steps of the
training a model reads a word that it has drawn itself instead of the word of the text, as it does
when it generates.

    the input at t is w_t with probability ε, else drawn from p(. | the inputs before t)

ε falls during the training, linearly or by the paper's inverse sigmoid k / (k + exp(i / k)). Each
time step needs the output of the one before, so a batch of T steps costs T calls of the model.
"""

from __future__ import annotations

import math
from typing import Literal

import torch
from pydantic import Field
from torch import Tensor

from ..config import Use
from ..nn.randomness import generator, generator_of
from ..types import Batch, Predictor, Scored, State
from .causal import Causal


class ScheduledSampling(Causal):
    """`Causal` with inputs that are partly drawn from the model."""

    name: Literal["scheduled-sampling"] = "scheduled-sampling"  # type: ignore[assignment]
    rate: float = Field(
        0.25,
        ge=0,
        le=1,
        description="probability, at the end of the training, that the model reads its own word "
        "instead of the text's",
    )
    decay: Literal["linear", "inverse-sigmoid"] = Field(
        "linear",
        description="how that probability rises over the training: evenly, or slowly at first",
    )

    def unused(self, key: str, use: Use) -> str | None:
        if key == "decay" and not self.rate:
            return "objective.rate above 0"
        return super().unused(key, use)

    def own(self, done: float) -> float:
        """The probability 1 - ε of an input that the model has drawn itself, when the share `done`
        of the training is over."""
        if self.decay == "linear":
            return self.rate * min(1.0, done)
        k = 10.0  # over 100 units of training; the curve is halfway after 23 of them
        return self.rate * (1 - k / (k + math.exp(100 * min(1.0, done) / k)))

    def score(self, model: Predictor, batch: Batch, state: State) -> Scored:
        """Score the targets (B, T) after inputs that are drawn step by step. No gradient flows
        through the drawing."""
        share = self.own(batch.done)
        if share == 0:
            return super().score(model, batch, state)
        parts: list[Scored] = []
        steps = batch.ids.shape[1]
        own = torch.rand(batch.ids.shape, generator=generator()) < share
        read = batch.ids[:, :1]
        for t in range(steps):
            output = model.forward(read, state)
            state = output.state
            log_probs = output.logits.float().log_softmax(dim=-1)  # (B, 1, V)
            target = batch.targets[:, t : t + 1]
            log_prob = log_probs.gather(2, target[..., None])[..., 0]
            parts.append(Scored(log_prob, state, None, output.hidden, output.raw, _mean(log_probs)))
            if t + 1 < steps:
                probs = log_probs[:, 0].detach().exp()
                drawn = torch.multinomial(probs, 1, generator=generator_of(probs.device))
                follows = batch.ids[:, t + 1 : t + 2]
                read = drawn.where(own[:, t + 1 : t + 2].to(drawn.device), follows)
        return _join(parts)


def _mean(log_probs: Tensor):  # type: ignore[no-untyped-def]
    return lambda: log_probs.mean(dim=-1)


def _join(parts: list[Scored]) -> Scored:
    """Concatenate the parts in time."""

    def cat(values: list[Tensor | None]) -> Tensor | None:
        there = [value for value in values if value is not None]
        return torch.cat(there, dim=1) if there else None

    return Scored(
        torch.cat([part.log_prob for part in parts], dim=1),
        parts[-1].state,
        None,
        cat([part.hidden for part in parts]),
        cat([part.raw for part in parts]),
        lambda: torch.cat([p.mean_log_prob() for p in parts if p.mean_log_prob is not None], dim=1),
    )
