"""`compare`: any runs, whatever their tokenizers, on the same text in one table.

The text is cut into pieces that are the same for every tokenizer (about 256 bytes, ending where
a word or a line does; in long texts neighbours are joined until a thousand are left). The pieces'
costs give confidence intervals by the bootstrap (Efron 1979) and, for the best two runs, a paired
bootstrap test (Koehn 2004, section 4).
"""

from __future__ import annotations

import math
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..errors import InputError
from ..run import Run
from .dynamic import Dynamic
from .perplexity import Evaluation, Reading, evaluate_corpus, load_text
from .stream import Bar

PIECE = 256  # bytes
PIECES = 1000
SAMPLES = 10_000


@dataclass(frozen=True)
class Row:
    """One run of the comparison."""

    name: str
    evaluation: Evaluation
    bits_per_byte_interval: tuple[float, float]  # 95 %
    word_perplexity_interval: tuple[float, float]  # 95 %


@dataclass(frozen=True)
class Comparison:
    """Rows from the best to the worst by bits per byte; those whose figures are no probabilities
    (models that read both ways) come last."""

    rows: list[Row]
    p_value: float | None  # two-sided, best against second; None where no two compare
    pieces: int

    @property
    def significant(self) -> bool:
        return self.p_value is not None and self.p_value < 0.05

    def as_dict(self) -> dict[str, Any]:
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


def compare(
    runs: Sequence[Run],
    data: Any,
    *,
    dynamic: Dynamic | None = None,
    stripes: int = 1,
    bar: Bar | None = None,
) -> Comparison:
    """Evaluate every run on the same text files and rank them by bits per byte.

    Raises:
        InputError: no run, or a text that cannot be read.
    """
    if not runs:
        raise InputError("name at least one run to compare")
    evaluations, costs, sizes, words = [], [], np.zeros(0), 0
    for run in runs:
        with tempfile.TemporaryDirectory(prefix="nextword-") as folder:
            corpus = load_text(run, data, folder, segment=PIECE)
            how = Reading(dynamic, stripes=stripes)
            evaluation, scores = evaluate_corpus(run, corpus, how, bar=bar)
        assert corpus.segment_ends is not None and corpus.segment_bytes is not None
        sums = np.concatenate([[0.0], np.cumsum(-scores.log_prob, dtype=np.float64)])
        nats = np.diff(sums[np.concatenate([[0], corpus.segment_ends])])
        evaluations.append(evaluation)
        costs.append(nats)
        sizes, words = corpus.segment_bytes, evaluation.words
    table = _join(np.stack([*costs, sizes]))  # (R + 1, S)
    resampled = _bootstrap(table)
    rows = []
    for run, evaluation, nats in zip(runs, evaluations, resampled, strict=False):
        bits = nats / math.log(2) / resampled[-1] + _spelled(evaluation)
        per_word = nats / resampled[-1] * (evaluation.bytes / max(1, words))
        rows.append(
            Row(run.name, evaluation, _interval(bits), _interval(np.exp(np.minimum(per_word, 700))))
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
        p_value = _paired(second - first)
    return Comparison([rows[i] for i in order], p_value, table.shape[1])


def _spelled(evaluation: Evaluation) -> float:
    """Bits per byte that spelling unknown words costs."""
    return evaluation.bits_per_byte - evaluation.nll / math.log(2) / evaluation.bytes


def _join(columns: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """columns (R, S) → (R, at most PIECES), neighbours added up."""
    pieces = columns.shape[1]
    starts = np.unique(np.linspace(0, pieces, min(pieces, PIECES), endpoint=False).astype(int))
    return np.add.reduceat(columns, starts, axis=1)


def _bootstrap(columns: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """columns (R, S): sums over S pieces drawn with replacement, (R, SAMPLES)."""
    rng = np.random.default_rng(0)
    pieces = columns.shape[1]
    sums = np.empty((len(columns), SAMPLES))
    step = max(1, 1_000_000 // pieces)
    for start in range(0, SAMPLES, step):
        count = min(step, SAMPLES - start)
        drawn = rng.integers(0, pieces, (count, pieces))
        sums[:, start : start + count] = columns[:, drawn].sum(axis=-1)
    return sums


def _interval(samples: np.ndarray[Any, Any]) -> tuple[float, float]:
    low, high = np.percentile(samples, [2.5, 97.5])
    return float(low), float(high)


def _paired(differences: np.ndarray[Any, Any]) -> float:
    """Two-sided p of "no difference" for the pieces' differences (S,)."""
    if not differences.any():
        return 1.0
    sums = _bootstrap(differences[None])[0]
    tail = min((sums <= 0).mean(), (sums >= 0).mean())
    return float(min(1.0, 2 * max(tail, 1 / SAMPLES)))
