"""Mixture weights that maximise the probability of held-out text."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from ..data.stream import Ids
from ..evaluation.figures import safe_exp
from ..evaluation.token_scores import score_tokens
from ..models.mixture import MixtureConfig
from ..run import Run

_ROUNDS = 200  # most rounds of EM
_ENOUGH = 1e-7  # nats per token: EM stops when it gains less
_TOKENS = 20_000  # of held-out text that log-linear weights are fitted to


class Weighed(NamedTuple):
    """The weights of a mixture and what they achieve on a text."""

    weights: tuple[float, ...]  # one per member
    alone: list[float]  # perplexity of each member
    together: float  # perplexity of the mixture


def weigh(members: list[Run], ids: Ids, config: MixtureConfig) -> Weighed:
    """Find the weights that make a text most probable, unless the settings give them.

    Args:
        members: runs with the same vocabulary.
        ids: the text (N,); log-linear weights use its first tokens only.
        config: the settings of the mixture.
    """
    scores = [
        score_tokens(run.model, ids, run.where).log_prob.astype(np.float64) for run in members
    ]
    alone = [safe_exp(-float(score.mean())) for score in scores]
    if config.kind == "linear":
        weights = config.weights or expectation_maximisation(np.stack(scores, 1))
        with np.errstate(divide="ignore"):
            log_probs = np.stack(scores, 1) + np.log(weights)
        nll = -float(np.logaddexp.reduce(log_probs, 1).mean())
        return Weighed(tuple(weights), alone, safe_exp(nll))
    from .log_linear_weights import newton

    weights, nll = newton(members, ids[:_TOKENS], config.weights)
    return Weighed(weights, alone, safe_exp(nll))


def expectation_maximisation(log_probs: Ids) -> tuple[float, ...]:
    """Find weights λ (K,) that maximise Σ log Σ_i λ_i p_i (Jelinek 1997, section 4.4).

    Args:
        log_probs: log-probability of each token by each member (N, K).
    """
    log_probs = log_probs[
        np.isfinite(log_probs).any(1)
    ]  # no weights can make these tokens possible
    count = int(log_probs.shape[1])
    if not len(log_probs):
        return tuple(1 / count for _ in range(count))
    weights = np.full(count, 1 / count)
    before = -np.inf
    for _ in range(_ROUNDS):
        with np.errstate(divide="ignore"):
            joint = log_probs + np.log(weights)
        total = np.logaddexp.reduce(joint, 1)
        mean = float(total.mean())
        if mean - before < _ENOUGH:
            break
        before = mean
        weights = np.exp(joint - total[:, None]).mean(0)
    # EM stops a little short of the optimum, so if that is a single member, try each member alone.
    candidates = [weights / weights.sum(), *np.eye(count)]
    best = max(candidates, key=lambda some: _mean_log(log_probs, some))
    return tuple(float(weight) for weight in best)


def _mean_log(log_probs: Ids, weights: Any) -> float:
    with np.errstate(divide="ignore"):
        return float(np.logaddexp.reduce(log_probs + np.log(weights), 1).mean())
