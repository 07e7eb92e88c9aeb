"""Smoothing methods: how much of its count a seen n-gram keeps. Each method is one class.

The n-gram h w occurs c times, its context h occurs N times and is followed by T different words.
`keep` gives c', the part of c that the n-gram keeps. The mass that the followers of h lose
together,

    γ(h) = Σ_w (c - c') / N,

goes to the lower order. With interpolation p(w|h) = c'/N + γ(h) p(w|h'). With back-off, seen words
have c'/N, and γ(h) is distributed over the unseen words in proportion to p(w|h'). So every method
is normalised by construction. The order below the unigrams is the uniform distribution 1/V.

The sections named below are those of the survey of Chen and Goodman 1998 (TR-10-98, Harvard).
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, ClassVar, Self

import numpy as np

from .settings import NgramSettings

Array = np.ndarray[Any, Any]

TIMES = ("never", "once", "twice", "three times", "four times", "five times", "six times")
FALLBACK = (0.5, 1.0, 1.5)  # discounts of lmplz if they cannot be computed from the text


@dataclass(frozen=True)
class Statistics:
    """The statistics of one order, from which a method computes its parameters."""

    order: int
    vocab_size: int
    counts_of_counts: Array  # (7,) how many n-grams have the count 0, 1, … 6
    settings: NgramSettings
    #: yields the order in pieces: (count, total of the context, probability in the lower order),
    #: each (m,)
    sweep: Callable[[], Iterator[tuple[Array, Array, Array]]]


class Smoothing(ABC):
    """A smoothing method, fitted to one order of one text.

    Example:
        >>> nothing = np.zeros(7, np.int64)
        >>> method = WittenBell.fit(Statistics(2, 10, nothing, 1.0, sweep=lambda: iter(())))
        >>> count, total, types = (np.array([x], np.float32) for x in (3, 4, 2))
        >>> method.keep(count, total, types).tolist()  # 3 · 4 / (4 + 2)
        [2.0]
    """

    #: Whether lower orders use continuation counts, the number of different words that precede an
    #: n-gram, instead of occurrences (Kneser and Ney 1995); see `adjusted_counts`.
    continuation: ClassVar[bool] = False

    #: Whether the mass goes to all words alike, 1/V each, instead of to the lower order.
    uniform: ClassVar[bool] = False

    #: Whether the method always backs off, whatever `interpolate` says. A context whose words keep
    #: all of their counts then still leaves the mass 1 / (N + 1), else unseen words would be
    #: impossible after it (so does SRILM: Stolcke 2002).
    backs_off: ClassVar[bool] = False

    #: The discounts of the counts 1, 2, and 3 or more; empty if the method does not discount.
    discounts: tuple[float, ...] = ()

    @classmethod
    @abstractmethod
    def fit(cls, statistics: Statistics) -> Self:
        """Compute the parameters of the method for one order.

        A text from which they cannot be computed is no error: the method takes other values and
        says so in `note`.

        Example:
            method = ModifiedKneserNey.fit(statistics)
        """

    @abstractmethod
    def keep(self, count: Array, total: Array, types: Array) -> Array:
        """How much each of m seen n-grams keeps of its count.

        Args:
            count: (m,) float32, c: the count of each n-gram.
            total: (m,) float32, N: the sum of the counts in its context.
            types: (m,) float32, T: the number of different words after its context.

        Returns:
            c' (m,) float32, from 0 to c.

        Example:
            kept = method.keep(count, total, types)
        """

    def describe(self) -> dict[str, float]:
        """The fitted parameters by name."""
        return {}

    @property
    def note(self) -> str | None:
        """A remark for the user about the parameters; None = no remark."""
        return None


@dataclass(frozen=True)
class MaximumLikelihood(Smoothing):
    """c' = c: no smoothing. Unseen n-grams have the probability 0 (section 1.1)."""

    @classmethod
    def fit(cls, statistics: Statistics) -> Self:
        return cls()

    def keep(self, count: Array, total: Array, types: Array) -> Array:
        return count


@dataclass(frozen=True)
class AddK(Smoothing):
    """p = (c + k) / (N + kV): add k to the count of every word, seen or not (Lidstone; section
    2.1). So c' = c N / (N + kV), and the rest goes to all words alike."""

    uniform: ClassVar[bool] = True

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
class Dirichlet(AddK):
    """c' = c N / (N + kV), and the mass kV / (N + kV) goes to the lower order:

        p(w|h) = (c + kV p(w|h')) / (N + kV)      (MacKay and Peto 1995, equation 31)

    This is the mean of the posterior under a Dirichlet prior of the weight kV whose mean is the
    lower order.
    """

    uniform: ClassVar[bool] = False


@dataclass(frozen=True)
class JelinekMercer(Smoothing):
    """c' = λ c, where the weight λ depends on the count N of the context (section 2.3).

    All contexts whose N has the same bit length share a weight. The weights maximise the leave-one-
    out likelihood, the probability of each occurrence given the counts of all others, by
    expectation maximisation; so no held-out text is needed.
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
            # The + 1 keeps weights below 1, so that unseen words get some mass. Rounding makes the
            # result independent of the pieces in which the sums were added.
            weights = np.round(mine / (all_ + 1), 9)
        return cls(weights)

    def keep(self, count: Array, total: Array, types: Array) -> Array:
        weights: Array = self.weights.astype(np.float32)
        return weights[_bits(total)] * count

    def describe(self) -> dict[str, float]:
        return {f"λ{1 << b >> 1}": float(w) for b, w in enumerate(self.weights) if w > 0}


def _bits(total: Array) -> Array:
    """The bit lengths (m,) of numbers below 2^32."""
    bits: Array = np.frexp(total.astype(np.float64))[1].astype(np.int64)
    return bits


@dataclass(frozen=True)
class WittenBell(Smoothing):
    """c' = c N / (N + T): the more different words follow a context, the more mass goes to the
    lower order (section 2.5)."""

    @classmethod
    def fit(cls, statistics: Statistics) -> Self:
        return cls()

    def keep(self, count: Array, total: Array, types: Array) -> Array:
        kept: Array = count * (total / (total + types))
        return kept


@dataclass(frozen=True)
class Discounting(Smoothing):
    """c' = c - D_c, with discounts for the counts 1, 2, and 3 or more."""

    discounts: tuple[float, float, float] = field()
    reason: str | None = None  # why the discounts were not computed from the text

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
    """One discount for all counts, D = n1 / (n1 + 2 n2) (section 2.6; Ney, Essen and Kneser 1994).
    n1 and n2 are the numbers of n-grams with the counts 1 and 2."""

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
    """Absolute discounting, with continuation counts in the lower orders (section 2.7; Kneser and
    Ney 1995)."""

    continuation: ClassVar[bool] = True


@dataclass(frozen=True)
class ModifiedKneserNey(Discounting):
    """Separate discounts for the counts 1, 2, and 3 or more, with continuation counts in the lower
    orders:

        Y = n1 / (n1 + 2 n2)   D_c = c - (c + 1) Y n_{c+1} / n_c      (section 3, equation 26)

    If they cannot be computed (a count of counts is zero) or a discount is not between 0 and c, the
    method uses the discounts that lmplz uses in this case, and `note` says so.
    """

    continuation: ClassVar[bool] = True

    @classmethod
    def fit(cls, statistics: Statistics) -> Self:
        n = statistics.counts_of_counts
        for c in (1, 2, 3):
            if n[c] == 0:
                return cls(FALLBACK, f"none was seen {TIMES[c]}")
        # Single precision, as in lmplz, so that the discounts agree to the last bit.
        y = np.float32(np.float32(n[1]) / np.float32(n[1] + 2.0 * n[2]))
        found = []
        for c in (1, 2, 3):
            slope = np.float32(c + 1) * y * np.float32(n[c + 1]) / np.float32(n[c])
            discount = float(np.float32(c) - slope)
            if not 0 <= discount <= c:
                return cls(FALLBACK, f"D{c} would be {discount:.3g}")
            found.append(discount)
        return cls((found[0], found[1], found[2]))
