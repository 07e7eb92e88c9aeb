"""How much of its count a seen n-gram keeps: one class per method, one function each.

For an n-gram h w seen c times after a context h that was seen N times, followed by T different
words, `keep` says how much of c it keeps: c'. What the words of a context leave over,

    γ(h) = Σ_w (c - c') / N,

goes to the lower order: interpolated, p(w|h) = c'/N + γ(h) p(w|h'); backing off, seen words have
c'/N alone and unseen ones share γ(h) in proportion to p(w|h'). So every method is normalised by
construction. The lowest order is followed by 1/V for each of the V words.

Surveyed in Chen and Goodman 1998 (TR-10-98, Harvard), whose sections are named below.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, ClassVar, Self

import numpy as np

from .settings import NgramSettings

Array = np.ndarray[Any, Any]

FALLBACK = (0.5, 1.0, 1.5)  # discounts where a text gives none: lmplz's


@dataclass(frozen=True)
class Statistics:
    """What a method may know of one order before it starts."""

    order: int
    vocab_size: int
    counts_of_counts: Array  # (5,) how many n-grams were seen 0, 1, 2, 3, 4 times
    settings: NgramSettings
    #: pieces of the order: (how often, context's total, probability at the lower order), each (m,)
    sweep: Callable[[], Iterator[tuple[Array, Array, Array]]]


class Smoothing(ABC):
    """A method, fitted to one order of one text."""

    #: Lower orders count the different words that come before, not the occurrences (Kneser and
    #: Ney 1995), but for n-grams at the beginning of a line, before which nothing can come.
    continuation: ClassVar[bool] = False

    #: what is taken off counts of 1, 2, and 3 or more; empty where the method is no discounting
    discounts: tuple[float, ...] = ()

    @classmethod
    @abstractmethod
    def fit(cls, statistics: Statistics) -> Self:
        """The method's parameters for this order."""

    @abstractmethod
    def keep(self, count: Array, total: Array, types: Array) -> Array:
        """How much each of m seen n-grams keeps of its count.

        Args:
            count: (m,) float32 how often each came: c.
            total: (m,) float32 how often its context came: N.
            types: (m,) float32 how many different words followed its context: T.

        Returns:
            c' (m,) float32.
        """

    def describe(self) -> dict[str, float]:
        """The fitted parameters by name."""
        return {}

    @property
    def note(self) -> str | None:
        """What the user should know of the fit, None = nothing."""
        return None


@dataclass(frozen=True)
class MaximumLikelihood(Smoothing):
    """c' = c: no smoothing. What was not seen is impossible (section 1)."""

    @classmethod
    def fit(cls, statistics: Statistics) -> Self:
        return cls()

    def keep(self, count: Array, total: Array, types: Array) -> Array:
        return count


@dataclass(frozen=True)
class AddK(Smoothing):
    """c' = c N / (N + kV): k more of every word (Lidstone; section 2.1).

    At order 1 this is the textbook's (c + k) / (N + kV). Above, the k of every word are given out
    as the lower order says instead of evenly.
    """

    add: float
    vocab_size: int

    @classmethod
    def fit(cls, statistics: Statistics) -> Self:
        return cls(statistics.settings.add_k, statistics.vocab_size)

    def keep(self, count: Array, total: Array, types: Array) -> Array:
        return count * (total / (total + np.float32(self.add * self.vocab_size)))

    def describe(self) -> dict[str, float]:
        return {"k": self.add}


@dataclass(frozen=True)
class JelinekMercer(Smoothing):
    """c' = λ c, the weight λ depending on how often the context was seen (section 2.3).

    Contexts share a weight with those of the same bit length of N. The weights maximise the
    probability that each occurrence has under the counts of all others (leaving one out), found by
    expectation maximisation, so that no other text is needed.
    """

    weights: Array = field(repr=False)  # (33,) by the bit length of N

    ROUNDS: ClassVar[int] = 20

    @classmethod
    def fit(cls, statistics: Statistics) -> Self:
        weights = np.full(33, 0.5)
        for _ in range(cls.ROUNDS):
            mine, all_ = np.zeros(33), np.zeros(33)
            for count, total, lower in statistics.sweep():
                bucket = _bits(total)
                others = (count - 1) / np.maximum(total - 1, 1)
                own = weights[bucket] * others
                rest = (1 - weights[bucket]) * lower
                share = np.divide(own, own + rest, out=np.zeros_like(own), where=own > 0)
                mine += np.bincount(bucket, count * share, 33)
                all_ += np.bincount(bucket, count, 33)
            # Never quite 1, so that something is left for the unseen; rounded, so that it does not
            # matter in which pieces the sums were made.
            weights = np.round(mine / (all_ + 1), 9)
        return cls(weights)

    def keep(self, count: Array, total: Array, types: Array) -> Array:
        weights: Array = self.weights.astype(np.float32)
        return weights[_bits(total)] * count

    def describe(self) -> dict[str, float]:
        return {f"λ{1 << b >> 1}": float(w) for b, w in enumerate(self.weights) if w > 0}


def _bits(total: Array) -> Array:
    """Bit lengths (m,) of numbers below 2^32."""
    bits: Array = np.frexp(total.astype(np.float64))[1].astype(np.int64)
    return bits


@dataclass(frozen=True)
class WittenBell(Smoothing):
    """c' = c N / (N + T): a context leaves as much over as it had different words (section 2.5)."""

    @classmethod
    def fit(cls, statistics: Statistics) -> Self:
        return cls()

    def keep(self, count: Array, total: Array, types: Array) -> Array:
        kept: Array = count * (total / (total + types))
        return kept


@dataclass(frozen=True)
class Discounting(Smoothing):
    """c' = c - D_c with a discount each for c of 1, 2, and 3 or more."""

    discounts: tuple[float, float, float] = field()
    reason: str | None = None  # why these are not the text's own

    def keep(self, count: Array, total: Array, types: Array) -> Array:
        discount = np.array((0.0, *self.discounts), np.float32)
        kept: Array = count - discount[np.minimum(count, 3).astype(np.uint8)]
        return np.maximum(kept, 0, out=kept)

    def describe(self) -> dict[str, float]:
        return dict(zip(("D1", "D2", "D3+"), self.discounts, strict=True))

    @property
    def note(self) -> str | None:
        if self.reason is None:
            return None
        return f"{self.reason}: discounts {', '.join(f'{d:g}' for d in self.discounts)}"


@dataclass(frozen=True)
class AbsoluteDiscounting(Discounting):
    """D = n1 / (n1 + 2 n2) for every c (section 2.6; Ney, Essen and Kneser 1994)."""

    @classmethod
    def fit(cls, statistics: Statistics) -> Self:
        n1, n2 = (float(n) for n in statistics.counts_of_counts[1:3])
        if n1 == 0 or n2 == 0:
            return cls((0.75,) * 3, "none was seen " + ("once" if n1 == 0 else "twice"))
        return cls((n1 / (n1 + 2 * n2),) * 3)

    def describe(self) -> dict[str, float]:
        return {"D": self.discounts[0]}


@dataclass(frozen=True)
class KneserNey(AbsoluteDiscounting):
    """Absolute discounting over continuation counts (section 2.7; Kneser and Ney 1995)."""

    continuation: ClassVar[bool] = True


@dataclass(frozen=True)
class ModifiedKneserNey(Discounting):
    """Discounts of their own for c of 1, 2 and more, over continuation counts:

        Y = n1 / (n1 + 2 n2)   D_c = c - (c + 1) Y n_{c+1} / n_c      (section 3, equation 26)

    Where a text gives no such discounts (a count of counts is zero, or one leaves 0 … c) it uses
    lmplz's fallback and says so.
    """

    continuation: ClassVar[bool] = True

    @classmethod
    def fit(cls, statistics: Statistics) -> Self:
        n = statistics.counts_of_counts
        for c in (1, 2, 3):
            if n[c] == 0:
                return cls(FALLBACK, f"none was seen {('once', 'twice', 'three times')[c - 1]}")
        # Single precision where lmplz has it: the discounts agree to the last bit.
        y = np.float32(np.float32(n[1]) / np.float32(n[1] + 2.0 * n[2]))
        found = []
        for c in (1, 2, 3):
            slope = np.float32(c + 1) * y * np.float32(n[c + 1]) / np.float32(n[c])
            discount = float(np.float32(c) - slope)
            if not 0 <= discount <= c:
                return cls(FALLBACK, f"D{c} would be {discount:.3g}")
            found.append(discount)
        return cls((found[0], found[1], found[2]))
