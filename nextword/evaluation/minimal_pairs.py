"""Minimal pairs: how often a model finds the good one of two sentences more probable than the bad
one (Linzen et al. 2016, arXiv:1611.01368; Warstadt et al. 2020, arXiv:1912.00582, "BLiMP")."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from .. import plot
from ..errors import shown
from ..files import AnyPath
from ..numerals import between, percent
from .bootstrap import FEWEST, Interval
from .proportions import wilson

#: Scores that differ by less than this part of themselves are equal: single precision and the
#: order of additions, which depends on the batch, decide about the digits beyond.
TOLERANCE = 1e-6


class Outcome(NamedTuple):
    """How a run scores one pair."""

    file: str
    phenomenon: str
    good: float  # scores: log-probabilities, natural logarithms, as `by` says
    bad: float
    unknown: bool  # a word of one of the sentences is not in the vocabulary

    @property
    def is_tie(self) -> bool:
        """Whether both sentences have the same score, but for rounding."""
        return math.isclose(self.good, self.bad, rel_tol=TOLERANCE)

    @property
    def is_right(self) -> bool:
        """Whether the good sentence has the higher score."""
        return self.good > self.bad and not self.is_tie


class Accuracy(NamedTuple):
    """How many pairs are right, of some."""

    right: int
    ties: int  # both sentences score the same: not right
    unknown: int  # pairs with a word that is not in the vocabulary
    pairs: int

    @classmethod
    def of(cls, outcomes: Sequence[Outcome]) -> Accuracy:
        """Count outcomes."""
        return cls(
            sum(one.is_right for one in outcomes),
            sum(one.is_tie for one in outcomes),
            sum(one.unknown for one in outcomes),
            len(outcomes),
        )

    @property
    def share(self) -> float:
        """The fraction of pairs that are right."""
        return self.right / self.pairs

    @property
    def interval(self) -> Interval:
        """The 95 % confidence interval of the share; None if there are too few pairs."""
        return wilson(self.right, self.pairs)

    def as_dict(self) -> dict[str, Any]:
        """Return all figures by name, for programs."""
        return {
            "accuracy": self.share,
            "interval": self.interval,
            "pairs": self.pairs,
            "ties": self.ties,
            "oov_pairs": self.unknown,
        }

    def __str__(self) -> str:
        bounds = "" if self.interval is None else f" ({between_percents(self.interval)})"
        ties = f", {self.ties:,} tied" if self.ties else ""
        return f"{percent(self.share):>6}{bounds} of {self.pairs:,} pairs{ties}"


@dataclass(frozen=True)
class MinimalPairEvaluation:
    """The figures of one run on minimal pairs.

    Example:
        found = nextword.evaluate_minimal_pairs(run, "pairs.tsv")
        found.accuracy, found.phenomena["agreement"].share
    """

    outcomes: list[Outcome]  # of all pairs, in their order
    by: str  # "sum": log-probabilities of sentences; "mean": per token
    pseudo: bool  # scores are pseudo-log-likelihoods (BERT)
    signature: str

    @property
    def total(self) -> Accuracy:
        """The figures of all pairs."""
        return Accuracy.of(self.outcomes)

    @property
    def accuracy(self) -> float:
        """The fraction of pairs whose good sentence has the higher score."""
        return self.total.share

    @property
    def files(self) -> dict[str, Accuracy]:
        """The figures of each file."""
        return _grouped(self.outcomes, [one.file for one in self.outcomes])

    @property
    def phenomena(self) -> dict[str, Accuracy]:
        """The figures of each phenomenon; pairs without one count in `total` only."""
        return _grouped(self.outcomes, [one.phenomenon for one in self.outcomes])

    def as_dict(self) -> dict[str, Any]:
        """Return all figures by name, for programs."""
        return self.total.as_dict() | {
            "by": self.by,
            "pseudo": self.pseudo,
            "files": {name: one.as_dict() for name, one in self.files.items()},
            "phenomena": {name: one.as_dict() for name, one in self.phenomena.items()},
            "signature": self.signature,
        }

    def lines(self) -> list[tuple[str, str]]:
        """Return the figures formatted for people."""
        named = list(self.phenomena.items())
        named += list(self.files.items()) if len(self.files) > 1 else []
        found = [(shown(name, 60), str(one)) for name, one in named]
        found.append(("all", str(self.total)))
        return [*found, ("by", self.scores), *(("note", note) for note in self.notes())]

    @property
    def scores(self) -> str:
        """What is compared, for people."""
        of = "pseudo-log-likelihoods" if self.pseudo else "log-probabilities"
        return f"{self.by} of the {of} of the tokens"

    def notes(self) -> list[str]:
        """Return what limits the figures, for people."""
        notes = []
        if any(one.interval is None for one in (self.total, *self.phenomena.values())):
            notes.append(f"no confidence interval below {FEWEST} pairs")
        if unknown := self.total.unknown:
            notes.append(f"{unknown:,} of {self.total.pairs:,} pairs have unknown words")
        return notes

    def draw(self, path: AnyPath) -> None:
        """Draw a bar for each phenomenon (without phenomena, for each file), into a .png, .svg or
        .pdf file."""
        parts = self.phenomena or self.files
        with plot.figure(path, size=(7, 1.6 + 0.3 * len(parts))) as (ax,):
            names = [plot.entry(shown(name, 40)) for name in parts]
            shares = [100 * one.share for one in parts.values()]
            bounds = [one.interval or (one.share, one.share) for one in parts.values()]
            reach = [
                [share - 100 * low for share, (low, _) in zip(shares, bounds, strict=True)],
                [100 * high - share for share, (_, high) in zip(shares, bounds, strict=True)],
            ]
            places = range(len(parts))
            ax.barh(places, shares, xerr=reach, color=plot.COLOURS[0], ecolor="#333333")
            ax.set_yticks(places, names)
            ax.invert_yaxis()
            ax.axvline(50, color="#888888", linestyle="--", linewidth=1)
            ax.set(
                xlim=(0, 100),
                xlabel="pairs whose good sentence is more probable, %",
                title=f"Minimal pairs: {percent(self.accuracy)} of {len(self.outcomes):,}",
            )


def between_percents(interval: Interval) -> str:
    """Format an interval of fractions as percentages; `-` if there is none."""
    return between(interval and (100 * interval[0], 100 * interval[1]), 1)


def _grouped(outcomes: Sequence[Outcome], names: Sequence[str]) -> dict[str, Accuracy]:
    groups: dict[str, list[Outcome]] = {}
    for name, one in zip(names, outcomes, strict=True):
        if name:
            groups.setdefault(name, []).append(one)
    return {name: Accuracy.of(group) for name, group in groups.items()}
