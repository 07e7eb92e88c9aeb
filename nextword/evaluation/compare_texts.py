"""`compare` for models of running text, which may have different tokenizers.

The text is divided into pieces that are the same for every tokenizer: about 256 bytes, up to the
end of a word or line; in long texts neighbours are joined until a thousand are left. The bootstrap
over the negative log-likelihoods of the pieces gives confidence intervals and a paired test of the
best two runs.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..files import Paths
from ..numerals import between, fixed, percent
from ..run import Run
from ..scratch import temporary_folder
from ..screen import Bar
from ..text.corpus import Corpus
from .bootstrap import Interval, interval, join, paired, remarks, resample, verdict
from .figures import Evaluation
from .perplexity import load_text
from .reading import Reading
from .token_scores import TokenScores

#: (run, text, how to read it, bar) → the figures, and the score of every token
EvaluateCorpus = Callable[[Run, Corpus, Reading, Bar | None], tuple[Evaluation, TokenScores]]

PIECE = 256  # bytes
PIECES = 1000  # most pieces that the bootstrap draws from


@dataclass(frozen=True)
class TextRow:
    """One run of the comparison."""

    name: str
    evaluation: Evaluation
    bits_per_byte_interval: Interval  # 95 %
    word_perplexity_interval: Interval  # 95 %


@dataclass(frozen=True)
class TextComparison:
    """The comparison of language models, lowest bits per byte first.

    Pseudo-log-likelihoods (of BERT) are not probabilities of the text and come last.
    """

    rows: list[TextRow]
    p_value: float | None  # two-sided, best against second; None if there is no test
    pieces: int  # number of pieces that the bootstrap drew from

    @property
    def significant(self) -> bool:
        """Whether the best run differs from the second with p < 0.05."""
        return self.p_value is not None and self.p_value < 0.05

    def as_dict(self) -> dict[str, Any]:
        """Return all figures by name, for programs."""
        return {
            "runs": [
                {
                    "run": row.name,
                    "bits_per_byte_interval": row.bits_per_byte_interval,
                    "word_perplexity_interval": row.word_perplexity_interval,
                }
                | row.evaluation.as_dict()
                for row in self.rows
            ],
            "p_value": self.p_value,
            "significant": self.significant,
            "pieces": self.pieces,
        }

    def table(self) -> tuple[list[str], list[list[str]]]:
        """Return the headings of the columns after the run's name, and the cells of each row."""
        rows = []
        for row in self.rows:
            e = row.evaluation
            rows.append(
                [
                    f"{row.name} (pseudo)" if e.pseudo else row.name,
                    f"{e.parameters:,}",
                    fixed(e.bits_per_byte, 4),
                    between(row.bits_per_byte_interval, 3),
                    fixed(e.word_perplexity),
                    between(row.word_perplexity_interval),
                    fixed(e.perplexity),
                    percent(e.accuracy),
                    percent(e.oov / e.tokens, 2),
                    f"{e.tokens / e.seconds:,.0f}",
                ]
            )
        headings = ["parameters", "bits/byte", "95 %", "ppl/word", "95 %", "ppl/token", "accuracy"]
        return [*headings, "unknown", "tokens/s"], rows

    def notes(self) -> list[str]:
        """Return lines to print below the table."""
        notes = []
        if any(row.evaluation.pseudo for row in self.rows):
            notes.append(
                "pseudo: each token is predicted from all others of its line, which gives no "
                "probability of the text; such figures compare only with each other"
            )
        intervals = [row.bits_per_byte_interval for row in self.rows]
        notes += remarks(intervals, self.pieces, "pieces of the text")
        names = [row.name for row in self.rows]
        return notes + verdict(names, self.p_value, f"{self.pieces} pieces of the text")


def compare_texts(
    runs: Sequence[Run],
    data: Paths,
    evaluate: Sequence[EvaluateCorpus],
    *,
    how: Reading,
    bar: Bar | None = None,
) -> TextComparison:
    """Evaluate every run on the same text files and rank them by bits per byte.

    Args:
        data: the path of a file, or several.
        evaluate: for each run, the function that evaluates it on a prepared text.
        how: how the text is read.
        bar: starts a progress bar; called with the number of tokens.

    Raises:
        InputError: a text cannot be read, or a run does not predict running text.
    """
    evaluations, costs, sizes, words = [], [], np.zeros(0), 0
    for run, evaluate_corpus in zip(runs, evaluate, strict=True):
        with temporary_folder() as folder:
            corpus = load_text(run, data, folder, segment=PIECE)
            evaluation, scores = evaluate_corpus(run, corpus, how, bar)
        assert corpus.segment_ends is not None and corpus.segment_bytes is not None
        starts = np.concatenate([[0], corpus.segment_ends[:-1]])
        nats = np.add.reduceat(-scores.log_prob.astype(np.float64), starts)
        evaluations.append(evaluation)
        costs.append(nats)
        sizes, words = corpus.segment_bytes, evaluation.words
    table = join(np.stack([*costs, sizes]), PIECES)  # (R + 1, S)
    resampled, pieces = resample(table), table.shape[1]
    rows = []
    for run, evaluation, nats in zip(runs, evaluations, resampled, strict=False):
        bits = nats / math.log(2) / resampled[-1] + _spelled(evaluation)
        per_word = nats / resampled[-1] * (evaluation.bytes / max(1, words))
        with np.errstate(over="ignore"):  # a perplexity may be infinite
            perplexities = np.exp(per_word)
        rows.append(
            TextRow(run.name, evaluation, interval(bits, pieces), interval(perplexities, pieces))
        )
    order = sorted(
        range(len(rows)),
        key=lambda i: (rows[i].evaluation.pseudo, rows[i].evaluation.bits_per_byte),
    )
    p_value = None
    if len(rows) > 1 and len({rows[i].evaluation.pseudo for i in order[:2]}) == 1:
        first, second = (
            table[i] + math.log(2) * table[-1] * _spelled(rows[i].evaluation) for i in order[:2]
        )
        with np.errstate(invalid="ignore"):  # NaN where both give a piece no probability
            p_value = paired(second - first)
    return TextComparison([rows[i] for i in order], p_value, pieces)


def _spelled(evaluation: Evaluation) -> float:
    """Return the part of bits per byte that spelling out unknown words costs."""
    if math.isinf(evaluation.nll):
        return 0.0
    return evaluation.bits_per_byte - evaluation.nll / math.log(2) / evaluation.bytes
