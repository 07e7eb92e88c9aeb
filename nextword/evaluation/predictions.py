"""What a model predicts before each token of a line: the token's probability, the entropy, the
token's rank, and how probable it is that a word begins there."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from ..logarithms import log_softmax, log_sum_exp

Array = np.ndarray[Any, Any]

NUMBERS = 1 << 22  # probabilities that are held at a time


class Predictions(NamedTuple):
    """The predictions of T tokens, each before the token is read; natural logarithms."""

    log_prob: Array  # (T,) float64, of the token
    entropy: Array  # (T,) float64, of the distribution, in nats
    rank: Array  # (T,) int64; 1 = no token was more probable
    boundary: Array | None = None  # (T,) float64, log p(a word begins here, or the line ends)
    order: Array | None = None  # (T,) int64, n-gram models: the length of the n-gram that answered


def describe(logits: Array, targets: Array, boundaries: Array | None) -> Predictions:
    """Describe the predictions logits (N, V) of targets (N,).

    Args:
        boundaries: the ids (M,) of the tokens that begin a word or end a line, if there are any.
    """
    wanted = targets[:, None]
    log_probs = log_softmax(logits.astype(np.float64))
    probs = np.exp(log_probs)
    possible = np.where(probs > 0, log_probs, 0)
    return Predictions(
        np.take_along_axis(log_probs, wanted, 1)[:, 0],
        -(probs * possible).sum(-1),
        (logits > np.take_along_axis(logits, wanted, 1)).sum(-1) + 1,
        None if boundaries is None else log_sum_exp(log_probs[:, boundaries]),
    )


def as_found(row: Predictions, log_prob: Array, order: Array) -> Predictions:
    """The predictions with the probabilities that an n-gram table has, and the orders."""
    return row._replace(log_prob=log_prob.astype(np.float64), order=order)


def joined(parts: list[Predictions], length: int) -> Predictions:
    """The first `length` of predictions that follow each other."""

    def whole(column: list[Array]) -> Array:
        return np.concatenate(column)[:length]

    boundary = [part.boundary for part in parts if part.boundary is not None]
    order = [part.order for part in parts if part.order is not None]
    return Predictions(
        whole([part.log_prob for part in parts]),
        whole([part.entropy for part in parts]),
        whole([part.rank for part in parts]),
        whole(boundary) if boundary else None,
        whole(order) if order else None,
    )
