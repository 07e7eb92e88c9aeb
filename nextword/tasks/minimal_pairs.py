"""The public functions `evaluate_minimal_pairs` and `compare_minimal_pairs`."""

from __future__ import annotations

from collections.abc import Sequence

from ..arguments import checked
from ..errors import InputError, shown
from ..evaluation.compare_minimal_pairs import MinimalPairComparison, ranked
from ..evaluation.figures import signature
from ..evaluation.minimal_pairs import MinimalPairEvaluation, Outcome
from ..files import Paths, path_list
from ..run import Run
from ..screen import Bar
from ..text.minimal_pairs import MinimalPair, read_minimal_pairs
from ..text.source import streams_kept
from ..types import Ability
from . import task_of


@checked
@streams_kept()
def evaluate_minimal_pairs(
    run: Run,
    files: Paths,
    *,
    by: str = "sum",
    normalise: str = "none",
    batch_size: int = 64,
    bar: Bar | None = None,
) -> MinimalPairEvaluation:
    """Measure how often a run gives the good sentence of a minimal pair the higher score.

    Args:
        run: any run that scores sentences: a language model of any kind, a mixture, a BERT.
        files: the path of a file of pairs, or a list of paths; see
            `nextword.text.minimal_pairs.read_minimal_pairs`.
        by: "sum" compares log-probabilities of whole sentences, "mean" log-probabilities per token,
            which do not prefer short sentences.
        normalise: what is done to the sentences first: "none", "tokenised", "nfkc" or "ccnet".
        batch_size: number of sentences per call of the model; it does not change the result.
        bar: starts a progress bar: called with the number of pairs, it returns a function to call
            with the number just done.

    Raises:
        InputError: the run cannot score sentences, or a file is not one of pairs.

    Example:
        nextword.evaluate_minimal_pairs(run, "pairs.tsv").accuracy
    """
    if by not in ("sum", "mean"):
        raise InputError(f"by is '{shown(by)}'; give sum or mean")
    run.require(Ability.SCORE)
    pairs = [(str(path), pair) for path in path_list(files) for pair in read_minimal_pairs(path)]
    if not pairs:
        raise InputError("name a file of minimal pairs")
    return _evaluate(run.normalised(normalise), pairs, by, batch_size, bar)


@checked
@streams_kept()
def compare_minimal_pairs(
    runs: Sequence[Run],
    files: Paths,
    *,
    by: str = "sum",
    normalise: str = "none",
    bar: Bar | None = None,
) -> MinimalPairComparison:
    """Evaluate several runs on the same minimal pairs, and test each against the best.

    The test is McNemar's in its exact form: it looks at the pairs that one of the two runs has
    right and the other has not.

    Args:
        runs: runs that score sentences, of any kind.
        others: see `evaluate_minimal_pairs`. A run that was trained with `text.normalise` reads the
            sentences in its own way, so `normalise` is refused for it.

    Raises:
        InputError: there is no run; or see `evaluate_minimal_pairs`.

    Example:
        print(nextword.compare_minimal_pairs([ngram, lstm], "pairs.tsv").rows)
    """
    if not runs:
        raise InputError("name at least one run to compare")
    found = [
        evaluate_minimal_pairs(run, files, by=by, normalise=normalise, bar=bar) for run in runs
    ]
    return ranked([run.name for run in runs], found)


def _evaluate(
    run: Run, pairs: list[tuple[str, MinimalPair]], by: str, batch_size: int, bar: Bar | None
) -> MinimalPairEvaluation:
    advance = bar(len(pairs)) if bar else None
    sentences = (text for _, pair in pairs for text in (pair.good, pair.bad))
    scores = iter(task_of(run.config).score_lines(run, sentences, batch_size))
    outcomes, pseudo = [], False
    for file, pair in pairs:
        try:
            good, bad = next(scores), next(scores)
        except InputError as error:  # it counts sentences, not the lines of the files
            raise InputError(f"of the sentences, two for each pair, {error}") from None
        pseudo = good.pseudo
        values = [one.log_prob / (one.tokens if by == "mean" else 1) for one in (good, bad)]
        unknown = bool(good.oov or bad.oov)
        outcomes.append(Outcome(file, pair.phenomenon, values[0], values[1], unknown))
        if advance:
            advance(1)
    return MinimalPairEvaluation(outcomes, by, pseudo, signature(run, "sentence", [f"by:{by}"]))
