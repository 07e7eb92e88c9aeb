"""Statistics of counts: the confidence interval of a share, and the paired test of two shares."""

from __future__ import annotations

import math

from .bootstrap import FEWEST, Interval

_Z = 1.959964  # 97.5 % of the normal distribution lie below


def wilson(right: int, of: int) -> Interval:
    """Return the 95 % confidence interval of a share (Wilson 1927): the shares from which what was
    counted differs by at most 1.96 standard errors. It is never outside 0 to 1, and has a width
    even if all or none are right.

    Returns:
        The bounds; None if there are fewer than `FEWEST`.

    Example:
        >>> [round(bound, 3) for bound in wilson(18, 20)]
        [0.699, 0.972]
        >>> wilson(9, 10) is None
        True
    """
    if of < FEWEST:
        return None
    share, z = right / of, _Z**2 / of
    middle = (share + z / 2) / (1 + z)
    half = _Z / (1 + z) * math.sqrt(share * (1 - share) / of + z / (4 * of))
    return max(0.0, middle - half), min(1.0, middle + half)


def mcnemar(only_first: int, only_second: int) -> float:
    """Return the two-sided p-value of "both are right equally often", given how many cases only the
    first and only the second has right: the exact form of McNemar's test (1947), a sign test.

    Example:
        >>> mcnemar(0, 5), mcnemar(3, 3)
        (0.0625, 1.0)
    """
    n = only_first + only_second
    tail = term = 1  # Σ and last of the binomial coefficients of n, from the smaller side
    for k in range(min(only_first, only_second)):
        term = term * (n - k) // (k + 1)
        tail += term
    return min(1.0, 2 * tail / (1 << n))
