"""Compiled loops that compute the probability of every seen n-gram and the back-off weight of its
context.

For the words seen after a context, c is the count, N the sum of the counts, c' the part of c that
the smoothing method keeps, and p' the probability of the word in the lower order. The mass that is
left, γ = Σ (c - c') / N, goes to the lower order in one of two ways (Chen and Goodman 1998, section
2.8):

    interpolate   p = c'/N + γ p', and the back-off weight is γ
    back_off      p = c'/N, and the back-off weight distributes γ over the unseen words (Katz 1987)
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ..compiled import Int, compiled, stack

Array = np.ndarray[Any, Any]


@compiled
def context_totals(begin: Array, adjusted: Array, count: Array, total: Array, types: Array) -> None:
    """Fill count, total and types (m,) float32 for the m followers of G contexts: the adjusted
    count of each, the sum of the adjusted counts in its context, and the number of followers of its
    context. begin (G + 1,) says where the followers of each context begin; begin[0] may have any
    value."""
    base = begin[0]
    for group in range(begin.size - 1):
        low, high = begin[group] - base, begin[group + 1] - base
        sum_ = np.int64(0)
        for at in range(low, high):
            sum_ += adjusted[at]
        for at in range(low, high):
            count[at] = adjusted[at]
            total[at] = sum_
            types[at] = high - low


@compiled
def interpolate(
    begin: Array,
    occurrences: Array,
    threshold: Int,
    count: Array,
    kept: Array,
    discounts: Array,
    lower: Array,
    prob: Array,
    backoff: Array,
) -> None:
    """Fill prob (m,) and backoff (G,): p = c'/N + γ p', γ = Σ (c - c') / N.

    An n-gram that occurs `threshold` times or less is pruned: it keeps nothing of its count. With
    discounts (3,), γ is (Σ D_c n_c) / N, summed in the order of lmplz, so that the results agree to
    the last bit. A context without followers has the weight 1.
    """
    base = begin[0]
    seen = stack(4, np.int64)
    for group in range(begin.size - 1):
        low, high = begin[group] - base, begin[group + 1] - base
        if low == high:
            backoff[group] = 1
            continue
        total, pruned = np.int64(0), np.int64(0)
        over = 0.0
        seen[:] = 0
        for at in range(low, high):
            total += np.int64(count[at])
            if occurrences[at] <= threshold:
                pruned += np.int64(count[at])
            else:
                over += count[at] - kept[at]
                c: np.int64 = min(np.int64(count[at]), np.int64(3))
                seen[c] += 1
        if discounts.size:
            mass = np.float32(0)
            for times in range(1, 4):
                part = np.float32(discounts[times - 1] * np.float32(seen[times]))
                mass = np.float32(mass + part)
        else:
            mass = np.float32(max(over, 0.0))
        gamma = np.float32(np.float32(mass + np.float32(pruned)) / np.float32(total))
        backoff[group] = gamma
        for at in range(low, high):
            prob[at] = np.float32(kept[at] / np.float32(total)) + np.float32(gamma * lower[at])


@compiled
def back_off(
    spare: bool,
    begin: Array,
    occurrences: Array,
    threshold: Int,
    count: Array,
    kept: Array,
    discounts: Array,
    lower: Array,
    prob: Array,
    backoff: Array,
) -> None:
    """Fill prob (m,) and backoff (G,): p = c'/N, and the back-off weight is γ / (1 - Σ p'), the sum
    running over the seen words.

    An n-gram that keeps nothing of its count, or is pruned (see `interpolate`), counts as unseen.
    If every word was seen after a context, γ is distributed over the seen words. With `spare`, a
    context whose words keep all of their counts has γ = 1 / (N + 1) and p = c' / (N + 1).
    """
    base = begin[0]
    for group in range(begin.size - 1):
        low, high = begin[group] - base, begin[group + 1] - base
        total = np.int64(0)
        over, seen = 0.0, 0.0
        for at in range(low, high):
            total += np.int64(count[at])
            over += count[at]
            if occurrences[at] > threshold:
                over -= kept[at]
                if kept[at] > 0:
                    seen += lower[at]
        if low == high:
            backoff[group] = 1
            continue
        gamma = max(over, 0.0) / total
        share = 1.0
        rest = total
        if spare and over <= 0:
            rest = total + 1
            gamma = 1 / rest
        if seen > 1 - 1e-6:
            share = 1 / max(1 - gamma, 1e-30)
            backoff[group] = 0
        else:
            backoff[group] = gamma / (1 - seen)
        for at in range(low, high):
            prob[at] = kept[at] / rest * share if kept[at] > 0 else backoff[group] * lower[at]
