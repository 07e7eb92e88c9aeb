"""Weights of a log-linear mixture that maximise the probability of held-out text."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from ..data.stream import rows
from ..models.mixture import mix
from ..run import Run

_NEWTON = 12  # most steps of Newton's method


@torch.no_grad()
def newton(
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
