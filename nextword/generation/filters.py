"""Filters for sampling: functions of logits (B, V) that set the logits of excluded tokens to -∞.

Example:
    >>> top_k(torch.tensor([[3.0, 1.0, 2.0]]), 2).tolist()
    [[3.0, -inf, 2.0]]
"""

from __future__ import annotations

import torch
from torch import Tensor

from ..errors import InputError


def top_k(logits: Tensor, k: int) -> Tensor:
    """Keep the k most probable tokens (Fan et al. 2018, arXiv:1805.04833)."""
    if k >= logits.shape[-1]:
        return logits
    return _keep(logits, logits >= logits.topk(k).values[..., -1:])


def top_p(logits: Tensor, p: float) -> Tensor:
    """Keep the smallest set of most probable tokens that together have at least the probability p
    (nucleus sampling; Holtzman et al. 2020, arXiv:1904.09751, section 3.1)."""
    ranked, order = logits.sort(descending=True, dim=-1)
    probs = ranked.softmax(-1)
    keep = probs.cumsum(-1) - probs < p  # mass before the token
    keep[..., 0] = True  # a tiny p may be 0 in the precision of the logits
    return _keep(logits, torch.zeros_like(keep).scatter(-1, order, keep))


def min_p(logits: Tensor, p: float) -> Tensor:
    """Keep the tokens that are at least p times as probable as the most probable one (Nguyen et al.
    2024, arXiv:2407.01082)."""
    probs = logits.softmax(-1)
    return _keep(logits, probs >= p * probs.amax(-1, keepdim=True))


def penalise(logits: Tensor, seen: Tensor, penalty: float) -> Tensor:
    """Make tokens less probable that a text has already: their log-probabilities are multiplied.

    Keskar et al. (2019, arXiv:1909.05858, section 4.1) multiply scores; log-probabilities are never
    positive, and do not depend on a constant that a model adds to its scores.

    Args:
        seen: (B, V) True = the text has the token.
        penalty: the factor, 1 or more.

    Returns:
        Log-probabilities (B, V), not normalised.
    """
    log_probs = logits.log_softmax(-1)
    return torch.where(seen.to(logits.device), penalty * log_probs, log_probs)


def forbid(logits: Tensor, ids: list[int]) -> Tensor:
    """Exclude the tokens with the given ids."""
    logits = logits.clone()
    logits[..., ids] = -torch.inf
    return logits


def check(logits: Tensor) -> Tensor:
    """Return the logits if they are those of a distribution: no NaN, no +∞, not all -∞.

    Raises:
        InputError: they are not; weights or back-offs of the model are damaged.
    """
    if not torch.isfinite(logits.amax(dim=-1)).all():
        raise InputError(
            "the model gives no probabilities (its numbers are infinite or not numbers, or every "
            "token is impossible): its file is damaged or its training diverged; train it again"
        )
    return logits


def force(logits: Tensor, index: int) -> Tensor:
    """Exclude all tokens but the one with the given id."""
    kept = torch.full_like(logits, -torch.inf)
    kept[..., index] = logits[..., index]
    return kept


def repeated(written: Tensor, size: int, words: int) -> Tensor:
    """Find the tokens that would complete an n-gram that a text already has (Paulus et al. 2017,
    arXiv:1705.04304, section 2.5).

    Args:
        written: ids of the texts so far (N, T).
        size: n, the length of the n-grams.
        words: V, the number of ids.

    Returns:
        (N, V) True = the token would repeat an n-gram.

    Example:
        >>> repeated(torch.tensor([[1, 2, 3, 1]]), 2, 5).tolist()
        [[False, False, True, False, False]]
    """
    found = torch.zeros(len(written), words, dtype=torch.bool)
    for row, ids in enumerate(written.tolist()):
        last = ids[len(ids) - size + 1 :] if size > 1 else []
        for start in range(len(ids) - size + 1):
            if ids[start : start + size - 1] == last:
                found[row, ids[start + size - 1]] = True
    return found.to(written.device)


def _keep(logits: Tensor, keep: Tensor) -> Tensor:
    return logits.masked_fill(~keep, -torch.inf)
