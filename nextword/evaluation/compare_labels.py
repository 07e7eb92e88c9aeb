"""`compare` for classifiers or taggers: confidence intervals, and a test of the best two runs.

The bootstrap draws texts (for taggers sentences) with replacement, the same ones for every run. If
there are more than a thousand, neighbours are joined first.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..numerals import fixed, percent
from ..run import Run
from .bootstrap import Interval, interval, join, p_value, remarks, resample, verdict
from .classification import ClassifierEvaluation
from .tagging import TaggerEvaluation

PIECES = 1000  # most pieces that the bootstrap draws from


@dataclass(frozen=True)
class LabelRow:
    """One run of the comparison."""

    name: str
    evaluation: ClassifierEvaluation | TaggerEvaluation
    interval: Interval  # 95 % confidence interval of `LabelComparison.metric`


@dataclass(frozen=True)
class LabelComparison:
    """The comparison of classifiers or taggers, best run first."""

    rows: list[LabelRow]
    metric: str  # the figure that rows are ranked by: "accuracy", or "f1" of spans
    p_value: float | None  # two-sided, best against second; None if there is no test

    @property
    def significant(self) -> bool:
        """Whether the best run differs from the second with p < 0.05."""
        return self.p_value is not None and self.p_value < 0.05

    def as_dict(self) -> dict[str, Any]:
        """Return all figures by name, for programs."""
        return {
            "runs": [
                {"run": row.name, f"{self.metric}_interval": row.interval}
                | row.evaluation.as_dict()
                for row in self.rows
            ],
            "metric": self.metric,
            "p_value": self.p_value,
            "significant": self.significant,
        }

    def table(self) -> tuple[list[str], list[list[str]]]:
        """Return the headings of the columns after the run's name, and the cells of each row."""
        called = {"accuracy": "accuracy", "f1": "F1"}
        other = "f1" if self.metric == "accuracy" else "accuracy"
        rows = []
        for row in self.rows:
            e, quality = row.evaluation, row.evaluation.quality.as_dict()
            rows.append(
                [
                    row.name,
                    f"{e.parameters:,}",
                    percent(quality[self.metric], 2),
                    _percents(row.interval),
                    percent(quality[other], 2),
                    fixed(quality["matthews"], 3),
                    f"{e.shares.shape[1] / e.seconds:,.0f}",
                ]
            )
        headings = ["parameters", called[self.metric], "95 %", called[other], "Matthews"]
        return [*headings, "texts/s"], rows

    def notes(self) -> list[str]:
        """Return lines to print below the table."""
        names = [row.name for row in self.rows]
        texts = self.rows[0].evaluation.shares.shape[1]
        notes = remarks([row.interval for row in self.rows], texts, "texts")
        return notes + verdict(names, self.p_value, f"{texts} texts")


def compare_labels(
    runs: Sequence[Run], found: Sequence[ClassifierEvaluation | TaggerEvaluation]
) -> LabelComparison:
    """Rank classifiers or taggers by their evaluations on the same text.

    Args:
        runs: the runs.
        found: the evaluation of each run.
    """
    metric = "f1" if any(one.ranked_by == "f1" for one in found) else "accuracy"
    table = join(np.concatenate([one.shares for one in found]), PIECES)
    sums, pieces = resample(table), table.shape[1]
    ratios = sums[0::2] / np.maximum(1, sums[1::2])  # (R, SAMPLES)
    order = sorted(range(len(found)), key=lambda i: -found[i].quality.as_dict()[metric])
    p = None
    if len(order) > 1:
        difference = ratios[order[0]] - ratios[order[1]]
        p = p_value(difference, pieces)
    rows = [LabelRow(runs[i].name, found[i], interval(ratios[i], pieces)) for i in order]
    return LabelComparison(rows, metric, p)


def _percents(interval: Interval) -> str:
    return "-" if interval is None else "-".join(percent(bound) for bound in interval)
