"""Bootstrap confidence intervals (Efron 1979), and the paired test of Koehn (2004, section 4)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

SAMPLES = 10_000  # bootstrap samples

Array = np.ndarray[Any, Any]


def join(columns: Array, pieces: int) -> Array:
    """Add up neighbouring columns (R, S) until at most `pieces` are left: (R, pieces)."""
    size = columns.shape[1]
    starts = np.unique(np.linspace(0, size, min(size, pieces), endpoint=False).astype(int))
    return np.add.reduceat(columns, starts, axis=1)


def resample(columns: Array) -> Array:
    """Sum the columns (R, S) over S pieces drawn with replacement: (R, SAMPLES).

    All rows use the same draws, so their differences can be tested.
    """
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
    """Return the bounds between which 95 % of the samples lie."""
    low, high = np.percentile(samples, [2.5, 97.5])
    return float(low), float(high)


def paired(differences: Array) -> float:
    """Return the two-sided p-value of "no difference", given the difference of each piece (S,)."""
    return p_value(resample(differences[None])[0]) if differences.any() else 1.0


def p_value(differences: Array) -> float:
    """Return the two-sided p-value of "no difference", given resampled differences (SAMPLES,)."""
    tail = min((differences <= 0).mean(), (differences >= 0).mean())
    return float(min(1.0, 2 * max(tail, 1 / SAMPLES)))


def verdict(names: Sequence[str], p: float | None, over: str) -> list[str]:
    """Say in one line whether the first run is significantly better than the second (p < 0.05).

    Args:
        names: the runs, best first.
        p: the p-value; None = there is no test, and no line.
        over: what was resampled, such as "1,000 pieces of the text".
    """
    if p is None:
        return []
    better = "better than" if p < 0.05 else "not clearly better than"
    sign = "<" if p < 1e-3 else "="
    first, second = names[:2]
    return [
        f"{first} is {better} {second}: paired bootstrap over {over}, p {sign} {max(p, 1e-3):.3f}"
    ]
