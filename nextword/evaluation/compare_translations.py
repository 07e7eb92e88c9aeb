"""`compare` for runs that translate: one table, a paired bootstrap, and quality over length."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from .. import plot
from ..files import AnyPath, Paths
from ..generation.translate import Decoding
from ..run import Run
from ..screen import Bar
from .translation import TranslationEvaluation, evaluate_translation, metrics, quality

SAMPLES = 1000
_EDGES = (0, 3, 6, 9, 12, 1 << 30)  # source lengths in words, of the bars
_FEWEST = 10  # sentences of a length that are worth a BLEU


@dataclass(frozen=True)
class TranslationRow:
    """One run's place in the table."""

    name: str
    evaluation: TranslationEvaluation
    bleu_interval: tuple[float, float]  # 95 %
    chrf_interval: tuple[float, float]
    bleu_p: float | None  # of "no better or worse than the first run named"; None for that one
    chrf_p: float | None


@dataclass(frozen=True)
class TranslationComparison:
    """Runs on the same pairs, best BLEU first."""

    rows: list[TranslationRow]
    baseline: str

    def as_dict(self) -> dict[str, Any]:
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
        """Headings after the run's name, and a row of figures for each run."""
        rows = []
        for row in self.rows:
            e = row.evaluation
            rows.append(
                [
                    row.name,
                    f"{e.targets.parameters:,}",
                    f"{e.quality.bleu:.2f}",
                    "{:.1f}-{:.1f}".format(*row.bleu_interval),
                    "" if row.bleu_p is None else f"{row.bleu_p:.3f}",
                    f"{e.quality.chrf:.2f}",
                    "{:.1f}-{:.1f}".format(*row.chrf_interval),
                    "" if row.chrf_p is None else f"{row.chrf_p:.3f}",
                    f"{e.targets.perplexity:.2f}",
                    f"{len(e.sources) / e.seconds:,.1f}",
                ]
            )
        headings = ["parameters", "BLEU", "95 %", "p", "chrF", "95 %", "p", "ppl/token"]
        return [*headings, "lines/s"], rows

    def notes(self) -> list[str]:
        """What to say below the table."""
        quality = self.rows[0].evaluation.quality
        against = f"p: paired bootstrap against {self.baseline}"
        return [against, quality.bleu_signature, quality.chrf_signature]

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
    """Evaluate every run on the same pairs. The p-values are those of a paired bootstrap (Koehn
    2004) over sentences, as sacrebleu does it, each run against the first.

    Raises:
        InputError: a run does not translate, or a text cannot be read.
    """
    from sacrebleu.significance import PairedTest

    found = [evaluate_translation(run, data, targets, how=how, bar=bar) for run in runs]
    references = found[0].references
    bleu, chrf = metrics(references)
    systems = [(f"{i}", one.translations) for i, one in enumerate(found)]
    if len(systems) == 1:
        systems.append(("again", found[0].translations))  # the test wants two
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
            p_values = 1.0, 1.0  # counting resamples would say 1 / (1 + SAMPLES)
        rows.append(TranslationRow(run.name, one, *intervals, *p_values))
    rows.sort(key=lambda row: -row.evaluation.quality.bleu)
    return TranslationComparison(rows, runs[0].name)


def by_length(evaluation: TranslationEvaluation) -> list[dict[str, Any]]:
    """BLEU of the sentences whose source has so many words (Chinese: characters)."""
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
    """BLEU over the source's length, a line for each run."""
    with plot.figure(path) as (ax,):
        for row in comparison.rows:
            parts = by_length(row.evaluation)
            ax.plot(
                [part["words"] for part in parts],
                [part["bleu"] for part in parts],
                marker="o",
                label=row.name,
            )
        ax.set(
            xlabel="words of the source",
            ylabel="BLEU",
            title="Translation quality over the length of the source",
            ylim=(0, None),
        )
        ax.legend()


def _interval(result: Any) -> tuple[float, float]:
    return float(result.mean - result.ci), float(result.mean + result.ci)
