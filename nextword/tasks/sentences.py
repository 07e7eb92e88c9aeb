"""The task of BERT: masked words, and whether one segment of text follows another."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from ..files import Paths
from ..scratch import temporary_folder
from ..screen import Bar, Bars
from ..text.corpus import Corpus
from ..text.reader import Span
from ..types import Ability
from .results import Validation
from .task import Options, Origin, Prepared, within_context
from .text import TextTask, predicted

if TYPE_CHECKING:
    from ..config import Config
    from ..evaluation.documents import DocumentScores
    from ..evaluation.figures import Evaluation
    from ..evaluation.reading import Reading
    from ..evaluation.sentences import SentenceScore
    from ..evaluation.surprisal import Rows, Surprisal
    from ..evaluation.token_scores import TokenScores
    from ..run import Run


class SentencesTask(TextTask):
    """Predict masked words, and whether one segment of text follows another."""

    name = "sentences"
    reads = "sentences with words masked"
    does = "fills gaps"
    abilities: ClassVar[dict[Ability, str]] = {
        Ability.FILL: 'nextword fill {run} "a [MASK] ."',
        Ability.EVALUATE: "nextword evaluate {run} --data FILE",
        Ability.SCORE: "nextword score {run} FILE",
        Ability.PREDICT: "nextword evaluate {run} --data FILE",
        Ability.GENERATE_MASKED: 'nextword generate {run} --prompt "..." --tokens 8',
        Ability.EMBED: "nextword embed {run} FILE",
    }
    streams = ("masked",)
    objectives = ("masked",)
    options = frozenset()
    new_vocabulary = False

    def prepare(
        self,
        train: list[Span],
        valid: list[Span],
        config: Config,
        origin: Origin | None,
        folder: Path,
        *,
        bars: Bars,
        bptt_is_given: bool,
    ) -> Prepared:
        context: int = config.model.context
        shorter = within_context(config, context, bptt_is_given)
        prepared = super().prepare(
            train, valid, shorter, origin, folder, bars=bars, bptt_is_given=bptt_is_given
        )
        if shorter is config:
            return prepared
        note = f"train.bptt = {config.train.bptt} is shortened to model.context = {context}"
        return Prepared(prepared.config, [*prepared.notes, note])

    def validate(self, run: Run, corpus: Corpus, rows: int) -> Validation:
        """Predict masked words and next sentences; every validation masks the same words."""
        import torch

        from ..data.masked import Masked

        stream = Masked.of(corpus, run.config.train, seed=0)
        totals: dict[str, list[float]] = {}
        with torch.no_grad():
            for batch in stream:
                terms, _ = run.config.objective(run.model, batch.to(run.device), None)
                for name, term in terms.items():
                    total = totals.setdefault(name, [0.0, 0.0])
                    total[0] += float(term.total)
                    total[1] += term.count
        means = {name: total / count for name, (total, count) in totals.items()}
        found = predicted(means["nll"], means["accuracy"])
        more = {name: means[name] for name in ("next_accuracy",) if name in means}
        return Validation(found.nll, found.figures | more)

    def evaluate(self, run: Run, data: Paths, options: Options) -> Evaluation:

        from ..evaluation.perplexity import load_text
        from ..evaluation.pseudo import evaluate_pseudo

        with temporary_folder() as folder:
            return evaluate_pseudo(run, load_text(run, data, folder), options.bar)[0]

    def evaluate_corpus(
        self, run: Run, corpus: Corpus, how: Reading, bar: Bar | None
    ) -> tuple[Evaluation, TokenScores]:
        from ..evaluation.pseudo import evaluate_pseudo

        return evaluate_pseudo(run, corpus, bar)

    def score_lines(
        self, run: Run, lines: Iterable[str], batch_size: int = 64
    ) -> Iterator[SentenceScore]:
        from ..evaluation.pseudo import score_pseudo_lines

        return score_pseudo_lines(run, lines)

    def surprisal(self, run: Run, lines: Iterable[str], how: Rows) -> Iterator[Surprisal]:
        from ..evaluation.surprisal_scoring import pseudo_rows

        return pseudo_rows(run, lines, how)

    def score_documents(
        self, run: Run, texts: Sequence[str], workers: int | None = None
    ) -> DocumentScores:
        from ..evaluation.documents import as_lines, counted
        from ..evaluation.pseudo import sum_pseudo_documents

        texts = [as_lines(text) for text in texts]
        return counted(texts, sum_pseudo_documents(run, texts), words_are_tokens=False)
