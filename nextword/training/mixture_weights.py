"""Mixture weights that maximise the probability of held-out text."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import torch

from ..data.stream import Ids, rows
from ..evaluation.figures import safe_exp
from ..evaluation.token_scores import score_tokens
from ..models.mixture import MixtureConfig, mix
from ..run import Run

_ROUNDS = 200  # most rounds of EM
_ENOUGH = 1e-7  # nats per token: EM stops when it gains less
_TOKENS = 20_000  # of held-out text that log-linear weights are fitted to
_NEWTON = 12  # most steps of Newton's method


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
        score_tokens(run.model, ids, run.device).log_prob.astype(np.float64) for run in members
    ]
    alone = [safe_exp(-float(score.mean())) for score in scores]
    if config.kind == "linear":
        weights = config.weights or expectation_maximisation(np.stack(scores, 1))
        with np.errstate(divide="ignore"):
            log_probs = np.stack(scores, 1) + np.log(weights)
        nll = -float(np.logaddexp.reduce(log_probs, 1).mean())
        return Weighed(tuple(weights), alone, safe_exp(nll))
    weights, nll = _newton(members, ids[:_TOKENS], config.weights)
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


@torch.no_grad()
def _newton(
    members: list[Run], ids: Any, given: tuple[float, ...]
) -> tuple[tuple[float, ...], float]:
    """Find log-linear weights by Newton's method.

    -Σ log p is convex in the weights. Its gradient is the expected minus the observed
    log-probabilities of the members, and its Hessian is their covariance.

    Returns:
        The weights (K,), and the negative log-likelihood in nats per token.
    """
    count = len(members)
    weights = torch.tensor(given or (1 / count,) * count, dtype=torch.float64)
    best = (tuple(weights.tolist()), float("inf"))
    for _ in range(1 if given else _NEWTON):
        loss, gradient, hessian = (
            0.0,
            torch.zeros(count).double(),
            torch.zeros(count, count).double(),
        )
        states = [run.model.start(1) for run in members]
        vocab_size = members[0].model.vocab_size
        step = max(1, (1 << 22) // vocab_size)
        for at in range(0, len(ids), step):
            inputs, targets = rows(ids, np.array([at]), min(step, len(ids) - at))
            parts = []
            for index, run in enumerate(members):
                output = run.model.forward(inputs.to(run.device), states[index])
                states[index] = output.state
                parts.append(output.logits[0].float().log_softmax(-1).cpu())
            features = torch.stack(parts, -1).clamp_min(-100)  # (t, V, K)
            log_prob = mix(parts, weights.float(), "log-linear").log_softmax(-1)
            probs = log_prob.exp()
            observed = features.gather(1, targets[0][:, None, None].expand(-1, 1, count))[:, 0]
            expected = torch.einsum("tv,tvk->tk", probs, features)
            second = torch.einsum("tv,tvk,tvl->tkl", probs, features, features)
            loss -= float(log_prob.gather(1, targets[0][:, None]).double().sum())
            gradient += (expected - observed).double().sum(0)
            hessian += (second - expected[:, :, None] * expected[:, None, :]).double().sum(0)
        if loss < best[1] - 1e-6 * len(ids):
            best = (tuple(weights.tolist()), loss)
        else:
            break
        weights = weights - torch.linalg.solve(hessian + 1e-6 * torch.eye(count), gradient)
    return best[0], best[1] / len(ids)
