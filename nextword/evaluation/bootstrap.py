"""Bootstrap confidence intervals (Efron 1979), and the paired test of Koehn (2004, section 4)."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, Literal

import numpy as np

SAMPLES = 10_000  # bootstrap samples
#: Fewest pieces that the bootstrap draws from. One piece resampled is always itself: its interval
#: would have no width and its p-value would be the smallest possible. Percentile intervals of 20
#: pieces are still a few percent too narrow; those of fewer are worse.
FEWEST = 20

Interval = tuple[float, float] | None  # None = there is none, and `remarks` says why
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


def interval(samples: Array, pieces: int) -> Interval:
    """Return the bounds between which 95 % of the samples of a figure lie.

    Args:
        samples: the figure of each bootstrap sample (SAMPLES,).
        pieces: number of pieces that were drawn from.

    Returns:
        The bounds; None if there are fewer than `FEWEST` pieces, or if all samples are equal.
    """
    if pieces < FEWEST or np.isnan(samples).any() or _alike(samples):
        return None
    # Between a finite and an infinite sample there is nothing to interpolate.
    method: Literal["linear", "higher"] = "linear" if np.isfinite(samples).all() else "higher"
    low, high = np.percentile(samples, [2.5, 97.5], method=method)
    return float(low), float(high)


def paired(differences: Array) -> float | None:
    """Return the two-sided p-value of "no difference", given the difference of each piece (S,).

    None if there are too few pieces, or all differ by the same; see `p_value`.
    """
    return p_value(resample(differences[None])[0], len(differences))


def p_value(differences: Array, pieces: int) -> float | None:
    """Return the two-sided p-value of "no difference", given resampled differences (SAMPLES,).

    Args:
        pieces: number of pieces that were drawn from.

    Returns:
        The p-value; None if there are fewer than `FEWEST` pieces, or if all samples have the same
        difference, which says nothing of how it varies. Without any difference it is 1.
    """
    if pieces < FEWEST or np.isnan(differences).any():
        return None
    if not differences.any():
        return 1.0
    if _alike(differences):
        return None
    tail = min((differences <= 0).mean(), (differences >= 0).mean())
    return float(min(1.0, 2 * max(tail, 1 / SAMPLES)))


def _alike(values: Array) -> bool:
    """Return whether values are equal up to rounding."""
    low, high = float(values.min()), float(values.max())
    return math.isclose(low, high, rel_tol=1e-9)


def remarks(intervals: Sequence[Interval], pieces: int, what: str) -> list[str]:
    """Say in one line why there are no intervals and no test; [] if every interval is there.

    Args:
        pieces: number of pieces that were drawn from.
        what: the pieces, such as "pieces of the text".
    """
    if pieces < FEWEST:
        return [
            f"no confidence intervals and no test: they need at least {FEWEST} {what} "
            f"(here: {pieces})"
        ]
    if None in intervals:
        return [f"- in place of an interval: all {what} have the same figure"]
    return []


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
