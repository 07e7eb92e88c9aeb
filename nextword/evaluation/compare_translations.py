"""`compare` for translators: a paired bootstrap, and BLEU by the length of the source."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from .. import plot
from ..files import AnyPath, Paths
from ..generation.decoding import Decoding
from ..numerals import between, fixed
from ..run import Run
from ..screen import Bar
from .bootstrap import FEWEST, Interval, remarks
from .translation import TranslationEvaluation, evaluate_translation, metrics, quality

SAMPLES = 1000  # bootstrap samples
_EDGES = (0, 3, 6, 9, 12, 1 << 30)  # bounds of the classes of source lengths, in words
_FEWEST = 10  # fewest sentences in a class for which BLEU is computed


@dataclass(frozen=True)
class TranslationRow:
    """One run of the comparison."""

    name: str
    evaluation: TranslationEvaluation
    bleu_interval: Interval  # 95 %
    chrf_interval: Interval  # 95 %
    bleu_p: float | None  # p-value of "no difference from the baseline"; None if there is no test
    chrf_p: float | None  # the same for chrF


@dataclass(frozen=True)
class TranslationComparison:
    """The comparison of translators, highest BLEU first."""

    rows: list[TranslationRow]
    baseline: str  # the run that the others are tested against: the first one given

    def as_dict(self) -> dict[str, Any]:
        """Return all figures by name, for programs."""
        return {
            "baseline": self.baseline,
            "rows": [
                {
                    "name": row.name,
                    "bleu_interval": row.bleu_interval,
                    "chrf_interval": row.chrf_interval,
                    "bleu_p": row.bleu_p,
                    "chrf_p": row.chrf_p,
                    "by_length": by_length(row.evaluation),
                }
                | row.evaluation.as_dict()
                for row in self.rows
            ],
        }

    def table(self) -> tuple[list[str], list[list[str]]]:
        """Return the headings of the columns after the run's name, and the cells of each row."""
        rows = []
        for row in self.rows:
            e = row.evaluation
            rows.append(
                [
                    row.name,
                    f"{e.targets.parameters:,}",
                    fixed(e.quality.bleu),
                    between(row.bleu_interval),
                    fixed(row.bleu_p, 3),
                    fixed(e.quality.chrf),
                    between(row.chrf_interval),
                    fixed(row.chrf_p, 3),
                    fixed(e.targets.perplexity),
                    f"{len(e.sources) / e.seconds:,.1f}",
                ]
            )
        headings = ["parameters", "BLEU", "95 %", "p", "chrF", "95 %", "p", "ppl/token"]
        return [*headings, "lines/s"], rows

    def notes(self) -> list[str]:
        """Return lines to print below the table."""
        e = self.rows[0].evaluation
        sentences = len(e.sources)
        notes = remarks([row.bleu_interval for row in self.rows], sentences, "sentences")
        if sentences >= FEWEST:
            notes.append(f"p: paired bootstrap against {self.baseline}")
        return [*notes, e.quality.bleu_signature, e.quality.chrf_signature]

    def draw(self, path: AnyPath) -> None:
        """BLEU over the source's length, a line for each run."""
        draw_lengths(self, path)


def compare_translations(
    runs: Sequence[Run],
    data: Paths,
    targets: Paths = (),
    *,
    how: Decoding | None = None,
    bar: Bar | None = None,
) -> TranslationComparison:
    """Evaluate every run on the same pairs and test each against the first.

    The test is sacrebleu's paired bootstrap over sentences (Koehn 2004).

    Args:
        data: the path of a file of pairs, or of sources, or several.
        targets: the files of targets, if `data` has the sources only.
        how: how translations are searched.
        bar: starts a progress bar for each run; called with the number of sentences.

    Raises:
        InputError: a run does not translate, or a text cannot be read.
    """
    found = [evaluate_translation(run, data, targets, how=how, bar=bar) for run in runs]
    rows = _tested(runs, found)
    rows.sort(key=lambda row: -row.evaluation.quality.bleu)
    return TranslationComparison(rows, runs[0].name)


def _tested(runs: Sequence[Run], found: list[TranslationEvaluation]) -> list[TranslationRow]:
    """Make the rows, with intervals and p-values if there are enough sentences for them."""
    from sacrebleu.significance import PairedTest

    references = found[0].references
    if len(references) < FEWEST:
        return [
            TranslationRow(run.name, one, None, None, None, None)
            for run, one in zip(runs, found, strict=True)
        ]
    bleu, chrf = metrics(references)
    systems = [(f"{i}", one.translations) for i, one in enumerate(found)]
    if len(systems) == 1:
        systems.append(("again", found[0].translations))  # sacrebleu needs at least two systems
    test: Any = PairedTest(
        systems,  # type: ignore[arg-type]
        {"BLEU": bleu, "chrF": chrf},
        [references],
        test_type="bs",
        n_samples=SAMPLES,
        n_jobs=1,
    )
    _, results = test()
    of_metric = [values for name, values in results.items() if name != "System"]
    rows = []
    for run, one, of_bleu, of_chrf in zip(runs, found, *of_metric, strict=False):
        intervals = _interval(of_bleu), _interval(of_chrf)
        p_values = of_bleu.p_value, of_chrf.p_value
        if one.translations == found[0].translations and one is not found[0]:
            p_values = 1.0, 1.0  # sacrebleu would give 1 / (1 + SAMPLES)
        rows.append(TranslationRow(run.name, one, *intervals, *p_values))
    return rows


def by_length(evaluation: TranslationEvaluation) -> list[dict[str, Any]]:
    """Compute BLEU for classes of source length in words (in characters for texts without spaces).

    Returns:
        For each class: words (its name), sentences (their number), bleu.
    """
    lengths = [len(text.split()) for text in evaluation.sources]
    if sum(lengths) < 2 * len(lengths):
        lengths = [len(text) for text in evaluation.sources]
    parts = []
    for low, high in pairwise(_EDGES):
        rows = [i for i, length in enumerate(lengths) if low < length <= high]
        if len(rows) < _FEWEST:
            continue
        score = quality(
            [evaluation.translations[i] for i in rows], [evaluation.references[i] for i in rows]
        )
        label = f"{low + 1}-{high}" if high < _EDGES[-1] else f"{low + 1}+"
        parts.append({"words": label, "sentences": len(rows), "bleu": score.bleu})
    return parts


def draw_lengths(comparison: TranslationComparison, path: AnyPath) -> None:
    """Draw BLEU by the length of the source, one line per run."""
    with plot.figure(path) as (ax,):
        for row in comparison.rows:
            parts = by_length(row.evaluation)
            ax.plot(
                [part["words"] for part in parts],
                [part["bleu"] for part in parts],
                marker="o",
                label=plot.entry(row.name),
            )
        ax.set(
            xlabel="words of the source",
            ylabel="BLEU",
            title="Translation quality over the length of the source",
            ylim=(0, None),
        )
        ax.legend()


def _interval(result: Any) -> Interval:
    if not result.ci:  # every sample has the same score
        return None
    return float(result.mean - result.ci), float(result.mean + result.ci)
