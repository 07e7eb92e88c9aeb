"""The weights of a mixture, found on held-out text."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import torch

from ..data.stream import Ids, rows
from ..evaluation.figures import safe_exp
from ..evaluation.token_scores import score_tokens
from ..models.mixture import MixtureConfig, mix
from ..run import Run

_ROUNDS = 200
_ENOUGH = 1e-7  # nats a token: EM stops when it gains less
_TOKENS = 20_000  # of held-out text that log-linear weights are found on
_NEWTON = 12  # steps at most


class Weighed(NamedTuple):
    """What the weights of a mixture are worth on a text."""

    weights: tuple[float, ...]
    alone: list[float]  # perplexity of each member
    together: float  # perplexity of the mixture


def weigh(members: list[Run], ids: Ids, config: MixtureConfig) -> Weighed:
    """Find the weights that make a text most probable, unless the settings give them.

    Args:
        ids: of the text (N,).
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
    """The weights (K,) that maximise Σ log Σ_i λ_i p_i over tokens (N, K) (Jelinek 1997, §4.4)."""
    log_probs = log_probs[np.isfinite(log_probs).any(1)]  # what no member allows says nothing
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
    # It stops a little short of the optimum, where one member alone may be better by a hair.
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
    """Log-linear weights by Newton's method: -Σ log p is convex in them, its gradient the expected
    less the observed log-probabilities and its Hessian their covariance."""
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
