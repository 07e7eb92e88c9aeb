"""How sure a figure is: the bootstrap (Efron 1979), and its paired test (Koehn 2004, section 4)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

SAMPLES = 10_000

Array = np.ndarray[Any, Any]


def join(columns: Array, pieces: int) -> Array:
    """columns (R, S) → (R, at most `pieces`), neighbours added up."""
    size = columns.shape[1]
    starts = np.unique(np.linspace(0, size, min(size, pieces), endpoint=False).astype(int))
    return np.add.reduceat(columns, starts, axis=1)


def resample(columns: Array) -> Array:
    """columns (R, S): sums over S pieces drawn with replacement, the same for every row:
    (R, SAMPLES)."""
    rng = np.random.default_rng(0)
    pieces = columns.shape[1]
    sums = np.empty((len(columns), SAMPLES))
    step = max(1, 1_000_000 // pieces)
    for start in range(0, SAMPLES, step):
        count = min(step, SAMPLES - start)
        drawn = rng.integers(0, pieces, (count, pieces))
        sums[:, start : start + count] = columns[:, drawn].sum(axis=-1)
    return sums


def interval(samples: Array) -> tuple[float, float]:
    """That holds 95 % of the samples."""
    low, high = np.percentile(samples, [2.5, 97.5])
    return float(low), float(high)


def paired(differences: Array) -> float:
    """Two-sided p of "no difference" for the pieces' differences (S,)."""
    return p_value(resample(differences[None])[0]) if differences.any() else 1.0


def p_value(differences: Array) -> float:
    """Two-sided p of "no difference" for a resampled difference (SAMPLES,)."""
    tail = min((differences <= 0).mean(), (differences >= 0).mean())
    return float(min(1.0, 2 * max(tail, 1 / SAMPLES)))


def verdict(names: Sequence[str], p: float | None, over: str) -> list[str]:
    """Whether the first of the named runs is better than the second, as a line; none without a p.

    Args:
        over: what was resampled, as in "1,000 pieces of the text".
    """
    if p is None:
        return []
    better = "better than" if p < 0.05 else "not clearly better than"
    sign = "<" if p < 1e-3 else "="
    first, second = names[:2]
    return [
        f"{first} is {better} {second}: paired bootstrap over {over}, p {sign} {max(p, 1e-3):.3f}"
    ]
