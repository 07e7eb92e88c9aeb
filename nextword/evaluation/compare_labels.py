"""`compare` for classifiers, or for taggers: one table with intervals, and a test of the best two.

Texts (for taggers sentences; neighbours are joined until a thousand are left) are drawn with
replacement, the same for every run.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..run import Run
from .bootstrap import interval, join, p_value, resample
from .classification import ClassifierEvaluation, evaluate_classifier
from .tagging import TaggerEvaluation, evaluate_tagger, in_spans

PIECES = 1000


@dataclass(frozen=True)
class LabelRow:
    """One run of the comparison."""

    name: str
    evaluation: ClassifierEvaluation | TaggerEvaluation
    interval: tuple[float, float]  # 95 %, of what the rows are ranked by


@dataclass(frozen=True)
class LabelComparison:
    """Rows from the best to the worst."""

    rows: list[LabelRow]
    metric: str  # what they are ranked by: accuracy, or of taggers of spans f1
    p_value: float | None  # two-sided, best against second; None for a single run

    @property
    def significant(self) -> bool:
        return self.p_value is not None and self.p_value < 0.05

    def as_dict(self) -> dict[str, Any]:
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


def compare_labels(runs: Sequence[Run], data: Any) -> LabelComparison:
    """Evaluate classifiers, or taggers, on the same labelled text.

    Raises:
        InputError: a text that cannot be read, or a run of another kind.
    """
    found: list[ClassifierEvaluation | TaggerEvaluation] = [
        evaluate_tagger(run, data)
        if run.config.model.reads == "tagged"
        else evaluate_classifier(run, data)
        for run in runs
    ]
    metric = "accuracy"
    if any(isinstance(one, TaggerEvaluation) and in_spans(one.tags) for one in found):
        metric = "f1"
    sums = resample(join(np.concatenate([one.shares for one in found]), PIECES))
    ratios = sums[0::2] / np.maximum(1, sums[1::2])  # (R, SAMPLES)
    order = sorted(range(len(found)), key=lambda i: -float(getattr(found[i].quality, metric)))
    p = None
    if len(order) > 1:
        difference = ratios[order[0]] - ratios[order[1]]
        p = p_value(difference)
    rows = [LabelRow(runs[i].name, found[i], interval(ratios[i])) for i in order]
    return LabelComparison(rows, metric, p)
