"""`evaluate`, `compare` and `score` for every kind of run: the run's task knows how."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

from ..errors import InputError
from ..run import Run
from ..screen import Bar
from . import task_of
from .task import Options, Paths

if TYPE_CHECKING:
    from ..evaluation.cache import Cache
    from ..evaluation.dynamic import Dynamic
    from ..evaluation.sentences import SentenceScore
    from ..generation.translate import Decoding


def evaluate(
    run: Run,
    data: Any,
    targets: Paths = (),
    *,
    decoding: Decoding | None = None,
    dynamic: Dynamic | None = None,
    cache: Cache | None = None,
    mc_dropout: int = 0,
    stripes: int = 1,
    warmup: int = 256,
    bar: Bar | None = None,
) -> Any:
    """Read files of what the run reads and tell how well it does.

    - A model of text predicts it: `Evaluation`, perplexity and its relatives.
    - A translator translates pairs: `TranslationEvaluation`, BLEU and chrF too.
    - A classifier or tagger answers: `ClassifierEvaluation`, `TaggerEvaluation`, accuracy and F1.

    All of them have `as_dict()` and `lines()`.

    Args:
        data: one file or several.
        targets: of a translator: the translations, where `data` has the sources alone.
        decoding: of a translator: how it searches.
        dynamic, cache, mc_dropout, stripes, warmup: of a model of running text, see
            `nextword.evaluation.perplexity.evaluate_text`.
        bar: starts a progress bar: total → function told of every few done.

    Raises:
        InputError: a file cannot be read, an option is not for this run, or two options exclude
            each other.

    Example:
        nextword.evaluate(nextword.load("runs/mine"), "book.txt").perplexity
    """
    options = Options(targets, decoding, dynamic, cache, mc_dropout, stripes, warmup, bar)
    task = task_of(run.config)
    task.check_options(run.name, options)
    return task.evaluate(run, data, options)


def compare(
    runs: Sequence[Run],
    data: Any,
    targets: Paths = (),
    *,
    decoding: Decoding | None = None,
    dynamic: Dynamic | None = None,
    stripes: int = 1,
    bar: Bar | None = None,
) -> Any:
    """Evaluate every run on the same files, with confidence intervals and a test of the difference.

    - Models of text are ranked by bits per byte: `TextComparison`.
    - Translators are ranked by BLEU: `TranslationComparison`.
    - Classifiers are ranked by accuracy, taggers by the F1 of spans (or accuracy):
      `LabelComparison`.

    All of them have `rows`, best first, and `as_dict()`.

    Args:
        targets: of translators: the translations, where `data` has the sources alone.
        decoding: of translators: how they search.
        dynamic, stripes: of models of running text, see `evaluate`.
        bar: starts a progress bar: total → function told of every few done.

    Raises:
        InputError: there is no run, the runs do different things, or a text cannot be read.

    Example:
        print(nextword.compare([nextword.load("runs/a"), nextword.load("runs/b")], "book.txt").rows)
    """
    if not runs:
        raise InputError("name at least one run to compare")
    options = Options(targets, decoding, dynamic, stripes=stripes, bar=bar)
    first = task_of(runs[0].config)
    for run in runs:
        task = task_of(run.config)
        if task.ranked_by != first.ranked_by:
            raise InputError(
                f"'{runs[0].name}' {first.does}, '{run.name}' {task.does}: there is no figure to "
                "compare them by"
            )
        task.check_options(run.name, options)
    return first.compare(runs, data, options)


def score(run: Run, texts: Iterable[str], batch_size: int = 64) -> list[SentenceScore]:
    """The log-probability of each text as a whole line: higher is more natural.

    Compare lines of the same words (word order, word choice) by `log_prob`, lines of different
    lengths by `perplexity`. A translator reads source, tab, target and says how probable the target
    is. A model that reads both ways gives pseudo-log-likelihoods, marked `pseudo`.

    Args:
        batch_size: how many texts are read at once; it changes memory and speed, not the result.

    Raises:
        InputError: the run scores no sentences, or a line does not fit it.

    Example:
        [one.log_prob for one in nextword.score(run, ["a likely line", "line likely a"])]
    """
    return list(task_of(run.config).score_lines(run, texts, batch_size))
