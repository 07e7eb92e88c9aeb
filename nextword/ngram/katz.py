"""Good-Turing estimates with Katz back-off.

Katz 1987, "Estimation of probabilities from sparse data for the language model component of a
speech recognizer"; section 2.4 of Chen and Goodman 1998 (TR-10-98, Harvard).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar, Self

import numpy as np

from .smoothing import TIMES, Smoothing, Statistics

Array = np.ndarray[Any, Any]


@dataclass(frozen=True)
class Katz(Smoothing):
    """c' = d_c c for counts up to k = 5, and c' = c above, with back-off (Katz 1987; section 2.4).

    The ratios are Good and Turing's, c* = (c + 1) n_{c+1} / n_c, reduced so that the mass of all
    unseen n-grams stays n_1:

        d_c = (c*/c - A) / (1 - A)      A = (k + 1) n_{k+1} / n_1

    k is smaller if a count of counts is zero or a ratio is not between 0 and 1, and `note` says so.
    """

    backs_off: ClassVar[bool] = True
    LARGEST: ClassVar[int] = 5

    ratios: tuple[float, ...] = ()  # d_1, … d_k
    reason: str | None = None  # why k is smaller than 5

    @classmethod
    def fit(cls, statistics: Statistics) -> Self:
        n = statistics.counts_of_counts.tolist()
        reason = None
        for k in range(cls.LARGEST, 1, -1):
            ratios, wrong = cls._ratios(n, k)
            if not wrong:
                return cls(ratios, reason)
            reason = reason or wrong
        return cls((), reason)

    @staticmethod
    def _ratios(n: list[int], k: int) -> tuple[tuple[float, ...], str | None]:
        """d_1 to d_k for the counts of counts n, and what is wrong with them, if anything."""
        for c in range(1, k + 2):
            if n[c] == 0:
                return (), f"none was seen {TIMES[c]}"
        a = (k + 1) * n[k + 1] / n[1]
        if a >= 1:
            return (), f"{k + 1} n{k + 1} is not below n1"
        ratios = tuple(((c + 1) * n[c + 1] / n[c] / c - a) / (1 - a) for c in range(1, k + 1))
        for c, ratio in enumerate(ratios, 1):
            if not 0 < ratio <= 1:
                return (), f"d{c} would be {ratio:.3g}"
        return ratios, None

    def keep(self, count: Array, total: Array, types: Array) -> Array:
        ratio = np.ones(self.LARGEST + 2, np.float32)
        ratio[1 : len(self.ratios) + 1] = self.ratios
        kept: Array = count * ratio[np.minimum(count, self.LARGEST + 1).astype(np.uint8)]
        return kept

    def describe(self) -> dict[str, float]:
        return {f"d{c}": ratio for c, ratio in enumerate(self.ratios, 1)}

    @property
    def note(self) -> str | None:
        if self.reason is None:
            return None
        if not self.ratios:
            return f"{self.reason}: no count is discounted"
        return f"{self.reason}: counts up to {len(self.ratios)} are discounted"
