"""What tasks return: reports, comparisons, answers and validations."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from ..files import AnyPath
from ..numerals import fixed, percent, significant

if TYPE_CHECKING:
    from ..evaluation.seed_statistics import SeedStatistics

#: Figures to print: (name, formatted value); an empty name is another unit of the line above.
Lines = list[tuple[str, str]]


class Report(Protocol):
    """The figures of one run on one text."""

    def as_dict(self) -> dict[str, Any]:
        """Return all figures by name, for programs."""
        ...

    def lines(self) -> Lines:
        """Return the figures formatted for people."""
        ...


class Drawn(Protocol):
    """A result with a figure to draw."""

    def draw(self, path: AnyPath) -> None:
        """Draw the figure into a .png, .svg or .pdf file."""
        ...


class Comparison(Protocol):
    """The figures of several runs on the same text, best first."""

    @property
    def rows(self) -> Sequence[Any]:
        """One row per run, best first."""
        ...

    def as_dict(self) -> dict[str, Any]:
        """Return all figures by name, for programs."""
        ...

    def table(self) -> tuple[list[str], list[list[str]]]:
        """Return the headings of the columns after the run's name, and the cells of each row."""
        ...

    def notes(self) -> list[str]:
        """Return lines to print below the table: the test and its result."""
        ...


class Answer(Protocol):
    """The answer of `classify` for one line."""

    @property
    def cut(self) -> bool:
        """Whether the line was too long and was cut."""
        ...

    def as_dict(self) -> dict[str, Any]:
        """Return the answer by name, for programs."""
        ...

    def as_text(self) -> str:
        """Return the line or lines to print, without the last line end."""
        ...


@dataclass(frozen=True)
class SeedsEvaluation:
    """The figures of the runs of several seeds on one text."""

    runs: list[Path]
    results: list[Report]  # of each run

    @property
    def statistics(self) -> dict[str, SeedStatistics]:
        """The mean and standard deviation of each figure over the runs, by name."""
        from ..evaluation.seed_statistics import seed_statistics

        return seed_statistics([result.as_dict() for result in self.results])

    def as_dict(self) -> dict[str, Any]:
        """Return the figures of each run, and their means and deviations, for programs."""
        figures = self.statistics
        return {
            "runs": [
                {"run": str(run)} | result.as_dict()
                for run, result in zip(self.runs, self.results, strict=True)
            ],
            "mean": {name: value.mean for name, value in figures.items()},
            "deviation": {name: value.deviation for name, value in figures.items()},
        }

    def lines(self) -> Lines:
        """Return the figures formatted for people."""
        return [(name, str(value)) for name, value in self.statistics.items()]


@dataclass(frozen=True)
class Validation:
    """The figures of one validation."""

    nll: float  # nats per token (classifiers: per text, taggers: per word)
    figures: dict[str, float] = field(default_factory=dict)  # other figures to record, by name
    metric: str = "loss"  # selects the best weights: "loss" (`nll`) or one of `figures`

    @property
    def cost(self) -> float:
        """The figure that selects the best weights, turned so that smaller is better."""
        return self.nll if self.metric == "loss" else 1 - self.figures[self.metric]

    def __str__(self) -> str:
        return "  ".join(_shown(name, value) for name, value in self.figures.items())


def _shown(name: str, value: float) -> str:
    """Format a figure of a validation; one that is not listed here goes by its own name."""
    called: dict[str, tuple[str, Callable[[float, int], str], int]] = {
        "perplexity": ("perplexity", fixed, 2),
        "accuracy": ("accuracy", percent, 1),
        "bleu": ("BLEU", fixed, 1),
        "loss": ("loss", fixed, 4),
        "f1": ("F1", percent, 1),
        "matthews": ("Matthews", fixed, 3),
        "next_accuracy": ("next sentence", percent, 1),
    }
    if name not in called:
        return f"{name.replace('_', ' ')} {significant(value)}"
    title, written, places = called[name]
    return f"{title} {written(value, places)}"
