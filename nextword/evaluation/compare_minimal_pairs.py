"""Compares runs on the same minimal pairs, with McNemar's test."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from ..errors import shown
from ..numerals import percent
from .bootstrap import FEWEST
from .minimal_pairs import MinimalPairEvaluation, between_percents
from .proportions import mcnemar


@dataclass(frozen=True)
class MinimalPairRow:
    """One run of the comparison."""

    name: str
    evaluation: MinimalPairEvaluation
    only_best: int  # pairs that the best run has right and this one has not
    only_this: int  # pairs that this run has right and the best one has not
    p_value: float | None  # two-sided, against the best run; None = the best itself, or few pairs


@dataclass(frozen=True)
class MinimalPairComparison:
    """Runs on the same minimal pairs, best first."""

    rows: list[MinimalPairRow]

    @property
    def p_value(self) -> float | None:
        """Two-sided, best against second; None if there is no test."""
        return self.rows[1].p_value if len(self.rows) > 1 else None

    @property
    def significant(self) -> bool:
        """Whether the best run differs from the second with p < 0.05."""
        return self.p_value is not None and self.p_value < 0.05

    def as_dict(self) -> dict[str, Any]:
        """Return all figures by name, for programs."""
        runs = [
            {
                "run": row.name,
                "only_best": row.only_best,
                "only_this": row.only_this,
                "p_value": row.p_value,
            }
            | row.evaluation.as_dict()
            for row in self.rows
        ]
        return {"runs": runs, "p_value": self.p_value, "significant": self.significant}

    def table(self) -> tuple[list[str], list[list[str]]]:
        """Return the headings of the columns after the run's name, and the cells of each row."""
        rows = []
        for row in self.rows:
            total = row.evaluation.total
            p = "-" if row.p_value is None else f"{row.p_value:.3f}"
            rows.append(
                [
                    row.name,
                    percent(total.share),
                    between_percents(total.interval),
                    f"{total.pairs:,}",
                    f"{total.ties:,}",
                    row.evaluation.by,
                    p,
                ]
            )
        return ["accuracy", "95 %", "pairs", "ties", "by", "p"], rows

    def notes(self) -> list[str]:
        """Return lines to print below the table: each phenomenon, and the test."""
        notes = []
        for name in self.rows[0].evaluation.phenomena:
            shares = [percent(row.evaluation.phenomena[name].share) for row in self.rows]
            pairs = self.rows[0].evaluation.phenomena[name].pairs
            notes.append(f"{shown(name, 60)} ({pairs:,} pairs): {', '.join(shares)}")
        pairs = self.rows[0].evaluation.total.pairs
        if pairs < FEWEST:
            return [*notes, f"no confidence interval and no test below {FEWEST} pairs"]
        if self.p_value is not None:
            better = "better than" if self.significant else "not clearly better than"
            first, second = self.rows[:2]
            notes.append(
                f"{first.name} is {better} {second.name}: McNemar's exact test, "
                f"{second.only_best:,} against {second.only_this:,} pairs, p = {self.p_value:.3f}"
            )
        return notes


def ranked(names: Sequence[str], found: Sequence[MinimalPairEvaluation]) -> MinimalPairComparison:
    """Rank runs by their evaluations on the same pairs, and test each against the best."""
    order = sorted(range(len(found)), key=lambda i: -found[i].accuracy)
    best = found[order[0]].outcomes
    rows = []
    for i in order:
        both = list(zip(best, found[i].outcomes, strict=True))
        only_best = sum(a.is_right and not b.is_right for a, b in both)
        only_this = sum(b.is_right and not a.is_right for a, b in both)
        is_tested = i != order[0] and len(best) >= FEWEST
        p = mcnemar(only_best, only_this) if is_tested else None
        rows.append(MinimalPairRow(names[i], found[i], only_best, only_this, p))
    return MinimalPairComparison(rows)
