"""Sums of probabilities that are given by their natural logarithms, in arrays."""

from __future__ import annotations

from typing import Any

import numpy as np

Array = np.ndarray[Any, Any]


def log_sum_exp(values: Array) -> Array:
    """log Σ exp over the last dimension: (..., V) → (...).

    Example:
        >>> log_sum_exp(np.log([0.25, 0.5])).round(4)
        np.float64(-0.2877)
    """
    largest = values.max(-1, keepdims=True)
    largest[~np.isfinite(largest)] = 0  # all are zero probabilities
    with np.errstate(divide="ignore"):
        total: Array = np.log(np.exp(values - largest).sum(-1)) + largest[..., 0]
    return total


def log_softmax(logits: Array) -> Array:
    """The logarithms of the probabilities that logits (..., V) stand for.

    Example:
        >>> np.exp(log_softmax(np.log(np.array([1.0, 3.0]))))
        array([0.25, 0.75])
    """
    return logits - log_sum_exp(logits)[..., None]
