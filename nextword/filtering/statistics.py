"""Counts and distributions of the scores of documents, in bounded memory."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import Any, Self

import numpy as np

from ..evaluation.documents import FIGURES, DocumentScore, DocumentScores

Array = np.ndarray[Any, Any]

#: Figures are counted in bins of equal ratio: bin b holds 2^(b / _FINE + _LOW) and more. So a
#: quantile is known to half a bin, 0.3 %.
_FINE, _LOW, _HIGH = 128, -16, 64
QUANTILES = (0.01, 0.05, 0.1, 0.25, 0.5, 0.75, 0.9, 0.95, 0.99)
_SUMS = ("log_prob", "tokens", "words", "bytes", "oov", "oov_bytes")


@dataclass
class Statistics:
    """Sums over documents, and how many there are with each figure. Two can be added."""

    documents: int = 0
    sums: dict[str, float] = field(default_factory=lambda: dict.fromkeys(_SUMS, 0))
    groups: Counter[str] = field(default_factory=Counter)  # of each bucket, and "kept", "dropped"
    bins: dict[str, Counter[int]] = field(
        default_factory=lambda: {name: Counter() for name in FIGURES}
    )

    @classmethod
    def of(cls, scores: DocumentScores, figures: dict[str, Array], groups: Counter[str]) -> Self:
        """The statistics of some documents."""
        log_prob, tokens, oov, oov_bytes = scores.sums
        columns = (log_prob, tokens, scores.words, scores.bytes, oov, oov_bytes)
        sums = {name: column.sum().item() for name, column in zip(_SUMS, columns, strict=True)}
        bins = {}
        for name, values in figures.items():
            found, counts = np.unique(_bin_of(values), return_counts=True)
            bins[name] = Counter(dict(zip(found.tolist(), counts.tolist(), strict=True)))
        return cls(len(log_prob), sums, groups, bins)

    def add(self, other: Statistics) -> None:
        """Add the documents of other statistics."""
        self.documents += other.documents
        self.groups.update(other.groups)
        for name in _SUMS:
            self.sums[name] += other.sums[name]
        for name in FIGURES:
            self.bins[name].update(other.bins[name])

    def overall(self) -> DocumentScore:
        """All documents together as one."""
        return DocumentScore(**self.sums)  # type: ignore[arg-type]

    def quantiles(self, name: str) -> dict[str, float]:
        """The quantiles of a figure, known to 0.3 %; {} if there are no documents."""
        found = sorted(self.bins[name])
        if not found:
            return {}
        below = np.cumsum([self.bins[name][number] for number in found])
        places = np.searchsorted(below, np.array(QUANTILES) * below[-1])
        return {
            str(q): round(middle_of(found[at]), 4)
            for q, at in zip(QUANTILES, places.tolist(), strict=True)
        }

    def as_dict(self) -> dict[str, Any]:
        """Return all as values for JSON."""
        bins = {name: sorted(counts.items()) for name, counts in self.bins.items()}
        groups = dict(sorted(self.groups.items()))
        return {"documents": self.documents, "sums": self.sums, "groups": groups, "bins": bins}

    @classmethod
    def restore(cls, values: dict[str, Any]) -> Self:
        """Make the statistics again from what `as_dict` returned."""
        bins = {name: Counter(dict(values["bins"][name])) for name in FIGURES}
        return cls(values["documents"], dict(values["sums"]), Counter(values["groups"]), bins)


def _bin_of(values: Array) -> Array:
    with np.errstate(divide="ignore"):
        places = np.floor((np.log2(values) - _LOW) * _FINE)
    found: Array = np.clip(places, 0, (_HIGH - _LOW) * _FINE - 1).astype(np.int64)
    return found


def middle_of(number: int, width: int = 1) -> float:
    """The figure in the middle of `width` bins from a bin on."""
    return float(2 ** ((number + width / 2) / _FINE + _LOW))
